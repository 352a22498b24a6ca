import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { countGraphemes, lineText, positionAt, rangeOfLines } from "../../src/diagnostic/source.ts";

test("lines and columns count from one, columns by what an editor shows as one character", () => {
  const source = { name: "f", text: "ab\ncd\r\né👍x" };
  assert.deepEqual(positionAt(source, 0), { line: 1, column: 1 });
  assert.deepEqual(positionAt(source, 4), { line: 2, column: 2 });
  assert.deepEqual(positionAt(source, source.text.indexOf("x")), { line: 3, column: 3 });
});

test("an offset outside the text gives its start or end", () => {
  const source = { name: "f", text: "ab\n" };
  assert.deepEqual(positionAt(source, -5), { line: 1, column: 1 });
  assert.deepEqual(positionAt(source, 99), { line: 2, column: 1 });
});

test("the text of a line comes without its end, and is empty where there is no line", () => {
  const source = { name: "f", text: "ab\r\ncd\n" };
  assert.deepEqual(
    [1, 2, 3, 4, 0].map(line => lineText(source, line)),
    ["ab", "cd", "", "", ""],
  );
});

test("a range of lines spans them without the last line end", () => {
  const source = { name: "f", text: "one\ntwo\r\nthree" };
  const sliced = (first: number, last: number): string => {
    const { start, end } = rangeOfLines(source, first, last);
    return source.text.slice(start, end);
  };
  assert.equal(sliced(1, 2), "one\ntwo");
  assert.equal(sliced(3, 3), "three");
  assert.equal(sliced(9, 9), "");
});

test("counting is the same with and without the short way for ASCII", () => {
  assert.equal(countGraphemes("plain text"), 10);
  assert.equal(countGraphemes("e\u0301"), 1);
  assert.equal(countGraphemes(""), 0);
});

test("position and line text agree for every offset", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom("a", "é", "\n", "\t", "👍", " ") }),
      fc.nat(60),
      (text, offset) => {
        const source = { name: "f", text };
        const { line, column } = positionAt(source, offset);
        assert.equal(line, text.slice(0, Math.min(offset, text.length)).split("\n").length);
        assert.ok(column >= 1 && column <= countGraphemes(lineText(source, line)) + 1);
      },
    ),
  );
});
