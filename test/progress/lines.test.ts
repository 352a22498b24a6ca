import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createLineSplitter, safeLine } from "../../src/progress/lines.ts";

test("however the bytes are cut, the lines are those of the whole text", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: "grapheme" }).map(text => text.replace(/[\r\n]/g, ""))),
      fc.array(fc.nat()),
      (lines, cuts) => {
        const bytes = Buffer.from(lines.map(line => `${line}\n`).join(""));
        const points = [0, ...cuts.map(cut => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
        const splitter = createLineSplitter();
        const out = points.slice(1).flatMap((to, index) => splitter.feed(bytes.subarray(points[index], to)));
        assert.deepEqual([...out, ...splitter.flush()], lines);
      },
    ),
  );
});

test("a line without an end is passed on in pieces once it is long", () => {
  const splitter = createLineSplitter();
  const lines = splitter.feed(Buffer.alloc(200_000, "x"));
  assert.equal(lines.length, 3);
  assert.equal([...lines, ...splitter.flush()].join("").length, 200_000);
});

test("Windows line ends are line ends", () => {
  assert.deepEqual(createLineSplitter().feed(Buffer.from("a\r\nb\r\n")), ["a", "b"]);
});

test("no control character survives, whatever the line", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.boolean(), (line, color) => {
      const rest = safeLine(line, { color }).replace(/\x1b\[[0-9;:]*m/g, "");
      assert.doesNotMatch(rest, /[\x00-\x1f\x7f\x80-\x9f]/);
    }),
  );
});

test("colours stay and are closed, cursor movements and titles go", () => {
  assert.equal(safeLine("\x1b[1;32mok\x1b[2K\x1b]0;title\x07!", { color: true }), "\x1b[1;32mok!\x1b[0m");
  assert.equal(safeLine("\x1b[1;32mok\x1b[2K", { color: false }), "ok");
});

test("what overwrote itself shows its last state", () => {
  assert.equal(safeLine("10%\r50%\r100%\r", { color: false }), "100%");
});
