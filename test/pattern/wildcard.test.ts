// Rules of Go's path.Match, as a table.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BakeError } from "../../src/diagnostic/error.ts";
import { compileWildcard, hasWildcard } from "../../src/pattern/wildcard.ts";

const rows: readonly (readonly [string, string, boolean])[] = [
  ["abc", "abc", true],
  ["*", "abc", true],
  ["*c", "abc", true],
  ["a*", "a", true],
  ["a*", "ab/c", false],
  ["a*/b", "abc/b", true],
  ["a*/b", "a/c/b", false],
  ["a*b*c*d*e*/f", "axbxcxdxexxx/f", true],
  ["ab[c]", "abc", true],
  ["ab[b-d]", "abc", true],
  ["ab[e-g]", "abc", false],
  ["ab[^c]", "abc", false],
  ["ab[^e-g]", "abc", true],
  ["a\\*b", "a*b", true],
  ["a\\*b", "ab", false],
  ["a?b", "a☺b", true],
  ["a?b", "a😀b", true],
  ["a[^a]b", "a☺b", true],
  ["a???b", "a☺b", false],
  ["[a-ζ]*", "α", true],
  ["a?b", "a/b", false],
  ["[\\]a]", "]", true],
  ["[\\-x]", "-", true],
  ["[z-a]", "b", false],
  ["a.c", "abc", false],
  ["(a|b)+", "a", false],
];

test("patterns match as path.Match does", () => {
  for (const [pattern, path, expected] of rows) {
    assert.equal(compileWildcard(pattern).matches(path), expected, `${pattern} on ${path}`);
  }
});

test("malformed patterns are refused", () => {
  for (const pattern of ["[", "[^", "[]a]", "[-]", "[x-]", "[a", "a\\", "[a-", "[^]x]", "[\\"]) {
    assert.throws(
      () => compileWildcard(pattern),
      (error: unknown) => error instanceof BakeError && error.code === "pattern-invalid",
      pattern,
    );
  }
});

test("an escaped wildcard is none", () => {
  assert.deepEqual(["a", "a*", "\\*", "\\\\*", "a[", "a\\[b?", ""].map(hasWildcard), [
    false,
    true,
    false,
    true,
    true,
    true,
    false,
  ]);
});
