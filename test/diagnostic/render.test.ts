import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Diagnostic } from "../../src/diagnostic/diagnostic.ts";
import { renderDiagnostic } from "../../src/diagnostic/render.ts";
import type { Range } from "../../src/diagnostic/source.ts";

const piece = (text: string, found: string): Range => {
  const start = text.indexOf(found);
  return { source: { name: "bake.hcl", text }, start, end: start + found.length };
};
const render = (range: Range, hint?: string): string =>
  renderDiagnostic({ severity: "error", code: "bake-resolve", message: "m", range, ...(hint && { hint }) });

test("the piece is underlined and the hint stands beside it", () => {
  const text = 'target "app" {\n  inherits = ["_bas"]\n}\n';
  assert.equal(
    render(piece(text, "_bas"), 'did you mean "_base"?'),
    [
      "error: m",
      "  bake.hcl:2:16",
      '   2 |   inherits = ["_bas"]',
      '     |                ^^^^  did you mean "_base"?',
      "",
    ].join("\n"),
  );
});

test("a problem without a place shows its hint below", () => {
  const diagnostic: Diagnostic = { severity: "warning", code: "usage", message: "m", hint: "try again" };
  assert.equal(renderDiagnostic(diagnostic), "warning: m\n  try again\n");
});

test("targets stand beside the place, or alone; more than three are counted", () => {
  const diagnostic: Diagnostic = { severity: "error", code: "step-failed", message: "m", targets: ["app"] };
  assert.equal(renderDiagnostic(diagnostic), 'error: m\n  target "app"\n');
  const range = piece("RUN false\n", "RUN false");
  const rendered = renderDiagnostic({ ...diagnostic, range, targets: ["a", "b", "c", "d", "e"] });
  assert.equal(rendered.split("\n")[1], '  bake.hcl:1:1  targets "a", "b", "c" and 2 more');
});

test("a related place is shown with its own message", () => {
  const text = "a = 1\na = 2\n";
  const diagnostic: Diagnostic = {
    severity: "error",
    code: "bake-schema",
    message: "m",
    range: { source: { name: "f", text }, start: 6, end: 7 },
    related: [{ message: "first defined here", range: { source: { name: "f", text }, start: 0, end: 1 } }],
  };
  assert.match(
    renderDiagnostic(diagnostic),
    /2 \| a = 2[^]*first defined here\n {2}f:1:1\n {3}1 \| a = 1\n {5}\| \^\n$/,
  );
});

test("tabs, wide characters and emoji keep the marks below their text", () => {
  assert.match(render(piece("\tx = y", "y")), /\| {2}x = y\n {5}\| {6}\^\n/);
  assert.match(render(piece("名前 = y", "y")), /\| 名前 = y\n {5}\| {8}\^\n/);
  assert.match(render(piece("👩‍👩‍👧 = y", "y")), /bake.hcl:1:5\n.*\n {5}\| {6}\^\n/);
});

test("a piece that ends with its line is not carried to the next one", () => {
  const out = render({ source: { name: "f", text: "one\ntwo\n" }, start: 0, end: 4 });
  assert.equal(out, "error: m\n  f:1:1\n   1 | one\n     | ^^^\n");
});

test("a piece of many lines is shown by its first three", () => {
  const text = "a {\n  b\n  c\n  d\n}\n";
  const out = render({ source: { name: "f", text }, start: 0, end: text.length });
  assert.deepEqual(
    out.split("\n").filter(line => /\d \|/.test(line)),
    ["   1 | a {", "   2 |   b", "   3 |   c"],
  );
});

test("a very long line is cut around the piece", () => {
  const text = `${"x".repeat(5000)}HERE${"y".repeat(5000)}`;
  const out = render(piece(text, "HERE"));
  const [line = "", marks = ""] = out.split("\n").slice(2);
  assert.ok(line.length < 200, `${line.length} columns`);
  assert.equal(line.slice(marks.indexOf("^"), marks.lastIndexOf("^") + 1), "HERE");
});

test("what a source says cannot drive the terminal", () => {
  const text = "\x1b[31mred\u202egnp";
  const out = renderDiagnostic({
    severity: "error",
    code: "usage",
    message: `unknown "${text}"`,
    range: { source: { name: text, text }, start: 0, end: 1 },
    hint: text,
  });
  assert.doesNotMatch(out, /[\x1b\u202e]/);
});

test("colours appear when asked for, and only then", () => {
  const diagnostic: Diagnostic = { severity: "error", code: "usage", message: "m" };
  assert.equal(renderDiagnostic(diagnostic, { color: true }), "\x1b[31merror:\x1b[0m m\n");
  assert.equal(renderDiagnostic(diagnostic), "error: m\n");
});

test("any range of any text renders, with every mark below shown text", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", maxLength: 300 }), fc.nat(400), fc.nat(400), (text, a, b) => {
      const range = { source: { name: "f", text }, start: Math.min(a, b), end: Math.max(a, b) };
      const out = render(range);
      assert.match(out, /^error: m\n {2}f:\d+:\d+\n/);
      assert.match(out, /\| *…? *\^+\n/);
    }),
  );
});
