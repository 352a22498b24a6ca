// Goal: files as programs write them, long or deep, are lowered in bounded time and never end the stack.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BakeError } from "../../../src/diagnostic/error.ts";
import { lowerText } from "../host.ts";

const repeat = (count: number, line: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => line(index)).join("\n");

test("long files are lowered", async () => {
  const count = 15_000;
  const files = [
    `FROM alpine\n${repeat(count, index => `ENV A${index}=$A${index - 1}`)}\n`,
    `FROM alpine AS s\n${repeat(count, index => `FROM ${index === 0 ? "s" : `s${index - 1}`} AS s${index}`)}\n`,
    `FROM scratch AS s\n${repeat(4000, index => `FROM scratch AS s${index}\nCOPY --from=s${index === 0 ? "" : index - 1} a b`)}\n`,
  ];
  for (const file of files) assert.equal((await lowerText(file)).images.length, 1);
});

test("variables nested too deeply are an error that quotes only their start", async () => {
  const depth = 10_000;
  for (const open of ["${a:-", "${PATH:+", "${PATH#"]) {
    await assert.rejects(
      lowerText(`FROM alpine\nENV A=${open.repeat(depth)}x${"}".repeat(depth)}\n`),
      (thrown: unknown) =>
        thrown instanceof BakeError && thrown.code !== "internal" && thrown.message.length < 400,
    );
  }
});
