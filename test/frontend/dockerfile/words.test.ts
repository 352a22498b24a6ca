// The forms of the Dockerfile reference and the corners that decide digests, as a table.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BakeError } from "../../../src/diagnostic/error.ts";
import {
  environmentFromPairs,
  expandWord,
  type WordOptions,
} from "../../../src/frontend/dockerfile/words.ts";

const environment = environmentFromPairs([
  ["a", "one.two.three"],
  ["empty", ""],
  ["sp", "x  y"],
  ["ünï", "uni"],
]);

const rows: readonly (readonly [string, string])[] = [
  ["$a", "one.two.three"],
  ["${a}b", "one.two.threeb"],
  ["$unset-", "-"],
  ["${unset:-w}${empty:-w}${empty-w}", "ww"],
  ["${a:+w}${empty:+w}${empty+w}${unset+w}", "ww"],
  ["${a#*.}", "two.three"],
  ["${a##*.}", "three"],
  ["${a%.*}", "one.two"],
  ["${a%%.*}", "one"],
  ["${a/t*e/X}", "one.X"],
  ["${a//t/T}", "one.Two.Three"],
  ["${a//o/[$0]}", "[]ne.tw[].three"],
  ["${a/?/\\}}", "\\}ne.two.three"],
  ["${unset:-${a#*.}}", "two.three"],
  ["'$a' \"$a\"", "$a one.two.three"],
  ['"a\\nb\\"c\\$d"', 'a\\nb"c$d'],
  ["a\\ b\\$c", "a b$c"],
  ["$ $$ ${a}$", "$  one.two.three$"],
  ["$1x", "x"],
  ["$ünï", "uni"],
  ["a\\", "a"],
  ["<<EOF", "<<EOF"],
];

test("words expand as in the Dockerfile reference", () => {
  for (const [word, expected] of rows) assert.equal(expandWord(word, environment).text, expected, word);
});

test("patterns take the shortest or the longest match and never run away", () => {
  const values = environmentFromPairs([
    ["v", "abcabc"],
    ["n", "a\nb"],
    ["long", "a".repeat(5000)],
  ]);
  const cases: readonly (readonly [string, string])[] = [
    ["${v#*b}", "cabc"],
    ["${v##*b}", "c"],
    ["${v%b*}", "abca"],
    ["${v%%b*}", "a"],
    ["${v//*/X}", "X"],
    ["${v//b/}", "acac"],
    ["${v//?/-}", "------"],
    ["${v///-}", "-a-b-c-a-b-c-"],
    ["${v//c/$0$0}", "abab"],
    ["${v//c/\\$0}", "ab\\cab\\c"],
    ["${n#*b}", "a\nb"],
    ["${long##*a*a*a*a*a*a*a*a*b}", "a".repeat(5000)],
  ];
  for (const [word, expected] of cases) assert.equal(expandWord(word, values).text, expected, word);
});

test("nesting has an end", () => {
  const word = "${u:-".repeat(100_000);
  assert.throws(() => expandWord(word, environment), /nested more than/);
});

test("values are split at blanks, quoted ones are not", () => {
  assert.deepEqual(expandWord('$sp "$sp" a\\ b', environment).words, ["x", "y", "x  y", "a b"]);
});

test("options keep quotes, escapes and unset names as they were written", () => {
  const cases: readonly (readonly [string, WordOptions, string])[] = [
    [`"a" 'b'`, { rawQuotes: true }, `"a" 'b'`],
    ["a\\b", { rawEscapes: true }, "a\\b"],
    ["$no ${no} ${no:-x}", { keepUnset: true }, "$no ${no} ${no:-x}"],
    [`"$empty' \\$`, { plainQuotes: true }, `"' $`],
    ["a`$b\\", { escape: "`" }, "a$b\\"],
  ];
  for (const [word, options, expected] of cases)
    assert.equal(expandWord(word, environment, options).text, expected, word);
});

test("names that were read are told apart by whether they are set", () => {
  const { matched, unmatched } = expandWord("$a ${no} ${empty:-$other}", environment);
  assert.deepEqual(
    [[...matched], [...unmatched]],
    [
      ["a", "empty"],
      ["no", "other"],
    ],
  );
});

test("malformed words are refused with what is missing", () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ["${a", /"}" is missing/],
    ["${", /"}" is missing/],
    ["${}", /a name must follow/],
    ["${a:-b", /"}" is missing/],
    ["${a/b", /"\/" is missing/],
    ["${a:#b}", /not a known form/],
    ["${a^b}", /not a known form/],
    ["${no?because}", /no: because/],
    ["${empty:?}", /is not allowed to be empty/],
    ["'a", /closing ' is missing/],
    ['"a', /closing " is missing/],
    ["${a#\\x}", /not a known escape/],
  ];
  for (const [word, message] of cases) {
    assert.throws(
      () => expandWord(word, environment),
      (error: unknown) => error instanceof BakeError && message.test(error.message),
      word,
    );
  }
});
