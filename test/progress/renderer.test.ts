import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { BakeError } from "../../src/diagnostic/error.ts";
import type { ProgressEvent } from "../../src/progress/event.ts";
import { chooseProgressMode, createRenderer, type ProgressMode } from "../../src/progress/choose.ts";

const events: readonly ProgressEvent[] = [
  { type: "step", id: "sha256:a", name: "[1/2] RUN a", inputs: [] },
  { type: "step", id: "sha256:b", name: "[2/2] RUN b", inputs: ["sha256:a"] },
  { type: "cached", id: "sha256:a", at: 1_000 },
  { type: "started", id: "sha256:b", at: 2_000 },
  { type: "log", id: "sha256:b", at: 2_500, stream: 2, data: Buffer.from("oh\n") },
  { type: "status", id: "sha256:b", part: "x", at: 2_600, current: 5, total: 10, done: false },
  { type: "failed", id: "sha256:b", at: 3_000, message: "exit code: 1" },
];

async function render(mode: ProgressMode, isTTY = false): Promise<string> {
  const stream = Object.assign(new PassThrough(), {
    isTTY,
    columns: 60,
    rows: 20,
  }) as unknown as NodeJS.WriteStream & PassThrough;
  const renderer = await createRenderer(mode, stream);
  for (const event of events) renderer.emit(event);
  await renderer.close();
  stream.end();
  return Buffer.concat(await stream.toArray()).toString();
}

test("plain mode prints the build and what failed", async () => {
  assert.equal(
    await render("plain"),
    "#1 [1/2] RUN a\n#1 CACHED\n\n#2 [2/2] RUN b\n#2 x 5B / 10B\n#2 0.500 oh\n#2 ERROR: exit code: 1\n------\n > [2/2] RUN b:\n0.500 oh\n------\n",
  );
});

test("quiet mode tells only the output of what failed", async () => {
  assert.equal(await render("quiet"), "------\n > [2/2] RUN b:\n0.500 oh\n------\n");
});

test("rawjson gives one object a line in the form of BuildKit's status messages", async () => {
  const lines = (await render("rawjson"))
    .trimEnd()
    .split("\n")
    .map(line => JSON.parse(line) as unknown);
  assert.deepEqual(lines, [
    { vertexes: [{ digest: "sha256:a", name: "[1/2] RUN a" }] },
    { vertexes: [{ digest: "sha256:b", inputs: ["sha256:a"], name: "[2/2] RUN b" }] },
    {
      vertexes: [
        {
          digest: "sha256:a",
          name: "[1/2] RUN a",
          started: "1970-01-01T00:00:01.000Z",
          completed: "1970-01-01T00:00:01.000Z",
          cached: true,
        },
      ],
    },
    {
      vertexes: [
        {
          digest: "sha256:b",
          inputs: ["sha256:a"],
          name: "[2/2] RUN b",
          started: "1970-01-01T00:00:02.000Z",
        },
      ],
    },
    { logs: [{ vertex: "sha256:b", stream: 2, data: "b2gK", timestamp: "1970-01-01T00:00:02.500Z" }] },
    {
      statuses: [
        {
          id: "x",
          vertex: "sha256:b",
          total: 10,
          current: 5,
          timestamp: "1970-01-01T00:00:02.600Z",
          started: "1970-01-01T00:00:02.600Z",
        },
      ],
    },
    {
      vertexes: [
        {
          digest: "sha256:b",
          inputs: ["sha256:a"],
          name: "[2/2] RUN b",
          started: "1970-01-01T00:00:02.000Z",
          completed: "1970-01-01T00:00:03.000Z",
          error: "exit code: 1",
        },
      ],
    },
  ]);
});

test("on a terminal the cursor comes back and the last frame stays", async () => {
  const text = await render("tty", true);
  assert.ok(text.includes("\x1b[?25h"), "the cursor is shown again");
  assert.ok(text.lastIndexOf("\x1b[?25h") > text.lastIndexOf("\x1b[?25l"));
  assert.match(text, /\[\+\] Failed .*\(2\/2\), 1 cached, 1 failed/);
  assert.match(text, /------\n > \[2\/2\] RUN b:\n0\.500 oh\n------\n$/);
});

test("auto is tty on a terminal and plain elsewhere", () => {
  assert.equal(chooseProgressMode("auto", { isTTY: true }), "tty");
  assert.equal(chooseProgressMode("", {}), "plain");
  assert.equal(chooseProgressMode("rawjson", {}), "rawjson");
});

test("a wrong mode is refused with the nearest right one", () => {
  assert.throws(
    () => chooseProgressMode("plian", {}),
    (error: unknown) =>
      error instanceof BakeError &&
      error.code === "usage" &&
      error.diagnostics[0]?.hint === `did you mean "plain"?`,
  );
  assert.throws(() => chooseProgressMode("tty", {}), /needs a terminal/);
});
