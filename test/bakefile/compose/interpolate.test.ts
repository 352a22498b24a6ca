// Variables in strings, by the rules of the Compose specification, "Interpolation".
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { substitute } from "../../../src/bakefile/compose/interpolate.ts";
import { BakeError } from "../../../src/diagnostic/error.ts";

const values: Readonly<Record<string, string>> = { A: "a", EMPTY: "", _x1: "under" };

function expand(text: string): { readonly text: string; readonly missing: readonly string[] } {
  const missing: string[] = [];
  const result = substitute(text, {
    lookUp: name => (Object.hasOwn(values, name) ? values[name] : undefined),
    names: () => Object.keys(values),
    missing: name => missing.push(name),
  });
  return { text: result, missing };
}

const rows: readonly (readonly [text: string, becomes: string])[] = [
  ["plain", "plain"],
  ["$A", "a"],
  ["${A}-${A}", "a-a"],
  ["$A.b", "a.b"],
  ["$_x1!", "under!"],
  ["$$A $$${A}", "$A $a"],
  ["$1 $ $", "$1 $ $"],
  ["${EMPTY:-d}${EMPTY-d}", "d"],
  ["${NONE:-d}${NONE-e}", "de"],
  ["${A:-d}${A-d}", "aa"],
  ["${A:+yes}${EMPTY:+yes}${NONE:+yes}", "yes"],
  ["${A+yes}${EMPTY+yes}${NONE+yes}", "yesyes"],
  ["${A:?no}${EMPTY?no}", "a"],
  ["${NONE:-${ALSO:-$A}}", "a"],
  ["${NONE:-{x}}", "{x}"],
  ["${NONE-}", ""],
  ["${NONE:-a:-b?c+d}", "a:-b?c+d"],
  ["${NONE:-two words} and ${A}", "two words and a"],
];

for (const [text, becomes] of rows) {
  test(`${text} becomes "${becomes}"`, () => assert.equal(expand(text).text, becomes));
}

test("a variable that is not set becomes empty and is reported", () => {
  assert.deepEqual(expand("[$NONE${NONE}]"), { text: "[]", missing: ["NONE", "NONE"] });
});

for (const [text, message, hint] of [
  ["${NONE:?set $A}", 'the variable "NONE" must have a value: set a', undefined],
  ["${EMPTY:?}", 'the variable "EMPTY" must have a value', undefined],
  ["${EMPY?}", 'the variable "EMPY" must have a value', 'did you mean "EMPTY"?'],
  ["x${A", '"${A" has no closing brace', "write $$ for a dollar sign that stays one"],
  ["${}", '"${}" is not a variable', undefined],
  ["${1}", '"${1}" is not a variable', undefined],
  ["${A!}", '"${A!}" is not a variable', undefined],
] as const) {
  test(`${text} is refused`, () => {
    assert.throws(
      () => expand(text),
      (thrown: unknown) => {
        assert.ok(thrown instanceof BakeError);
        assert.equal(thrown.message, message);
        if (hint !== undefined) assert.equal(thrown.diagnostics[0]?.hint, hint);
        return true;
      },
    );
  });
}

test("defaults nested without end are refused, not followed", () => {
  assert.throws(() => expand("${N:-".repeat(5000) + "}".repeat(5000)), /nest deeper than 100/);
});

test("any text with its dollar signs doubled stays as it was", () => {
  fc.assert(fc.property(fc.string(), text => assert.equal(expand(text.replaceAll("$", "$$$$")).text, text)));
});
