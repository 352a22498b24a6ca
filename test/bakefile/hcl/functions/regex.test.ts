// Regular expressions: RE2's syntax, a backtracking matcher's results (JavaScript's, where both mean the same), and
// time that stays bounded.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BakeError } from "../../../../src/diagnostic/error.ts";
import { findAllRegex, findRegex } from "../../../../src/bakefile/hcl/functions/regex.ts";

const free = (): void => undefined;

function groups(pattern: string, text: string): readonly (string | undefined)[] | undefined {
  return findRegex(pattern, text, free)?.groups;
}

function all(pattern: string, text: string): readonly (string | undefined)[] {
  return [...findAllRegex(pattern, text, free)].map(found => found.groups[0]);
}

const atom = fc.constantFrom(
  "a",
  "b",
  "c",
  ".",
  "[ab]",
  "[^a]",
  "\\d",
  "\\w",
  "(?:ab|a)",
  "1",
  "\\b",
  "^",
  "$",
);
const patterns = fc.letrec<{ pattern: string }>(tie => ({
  pattern: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    atom,
    fc.tuple(tie("pattern"), tie("pattern")).map(([a, b]) => a + b),
    fc.tuple(tie("pattern"), tie("pattern")).map(([a, b]) => `(?:${a}|${b})`),
    // A repetition of what may be empty is where the two differ.
    fc
      .tuple(
        fc.constantFrom("a", "b", "[ab]", ".", "ab", "a|b", "a|ab"),
        fc.constantFrom("*", "+", "?", "*?", "+?", "{1,2}"),
      )
      .map(([a, b]) => `(${a})${b}`),
  ),
})).pattern;

test("matches and groups are those of a backtracking matcher", () => {
  fc.assert(
    fc.property(
      patterns,
      fc.string({ unit: fc.constantFrom("a", "b", "c", "1", " ", "é"), maxLength: 12 }),
      (pattern, text) => {
        const expected = new RegExp(pattern, "u").exec(text);
        const actual = findRegex(pattern, text, free);
        assert.equal(actual?.start, expected?.index);
        assert.deepEqual(actual?.groups, expected === null ? undefined : [...expected]);
      },
    ),
    { numRuns: 3000 },
  );
});

test("flags, classes, escapes and groups of RE2", () => {
  assert.deepEqual(groups("(?i)ÀB[c-e]", "xàbD"), ["àbD"]);
  assert.deepEqual(groups("a(?i:b)c", "aBc"), ["aBc"]);
  assert.equal(groups("a(?i:b)c", "aBC"), undefined);
  assert.deepEqual(all("(?m)^.", "a\nb"), ["a", "b"]);
  assert.equal(groups("a.b", "a\nb"), undefined);
  assert.deepEqual(groups("(?s)a.b", "a\nb"), ["a\nb"]);
  assert.deepEqual(groups("(?U)a+", "aaa"), ["a"]);
  assert.deepEqual(groups("(?U)a+?", "aaa"), ["aaa"]);
  assert.deepEqual(groups("[[:alpha:]]+[[:^alpha:]]", "12ab3"), ["ab3"]);
  assert.deepEqual(groups("\\pL+\\p{Greek}", "1éλ"), ["éλ"]);
  assert.deepEqual(groups("\\Qa.b\\E+", "a.bb"), ["a.bb"]);
  assert.deepEqual(groups("\\x41\\x{1F600}\\101", "A😀A"), ["A😀A"]);
  assert.deepEqual(groups("[]a]+", "]a"), ["]a"]);
  assert.deepEqual(groups("a{,2}", "a{,2}"), ["a{,2}"]);
  assert.deepEqual(groups("\\Aa\\z", "a"), ["a"]);
  assert.deepEqual(findRegex("(?P<x>a)(?<y>b)", "ab", free)?.names, [undefined, "x", "y"]);
});

test("an empty match right behind another is none", () => {
  assert.deepEqual(all("b*", "abc"), ["", "b", ""]);
  assert.deepEqual(all("", "é😀"), ["", "", ""]);
});

test("what RE2 does not know is refused", () => {
  for (const pattern of [
    "(?=a)",
    "(?<!a)",
    "(a)\\1",
    "a**",
    "a{2}{3}",
    "*a",
    "(",
    ")",
    "[a",
    "a\\",
    "\\Z",
    "[b-a]",
    "a{1001}",
    "\\p{Nope}",
    "[[:nope:]]",
    "(?P<a>x)(?P<a>y)",
    "((((a{99}){99}){99}){99})",
    "(".repeat(5000),
  ])
    assert.throws(() => groups(pattern, "a"), BakeError, pattern.slice(0, 30));
});

test("the work grows with the text, not with the number of ways to match", () => {
  let steps = 0;
  const count = (more: number): void => void (steps += more);
  assert.equal(findRegex("(a|aa|a*)*(a+)+$", `${"a".repeat(2000)}b`, count), undefined);
  assert.ok(steps < 20_000, `${steps} steps`);
});
