// Plain scalars: the numbers, dates and constants of go-yaml, and the text each becomes as a build argument.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { floatText, scalarText } from "../../../src/bakefile/compose/node.ts";
import { plainScalar, taggedScalar } from "../../../src/bakefile/compose/scalar.ts";

const rows: readonly (readonly [text: string, kind: string, becomes: string])[] = [
  ["5", "int", "5"],
  ["+5", "int", "5"],
  ["-1", "int", "-1"],
  ["0755", "int", "493"],
  ["0o755", "int", "493"],
  ["0x1F", "int", "31"],
  ["-0x10", "int", "-16"],
  ["0b11", "int", "3"],
  ["1_000", "int", "1000"],
  ["18446744073709551615", "int", "18446744073709551615"],
  ["18446744073709551616", "float", "1.8446744073709552e+19"],
  ["08", "float", "8"],
  ["1e3", "float", "1000"],
  ["1.50", "float", "1.5"],
  [".5", "float", "0.5"],
  ["100000.5", "float", "100000.5"],
  ["1e6", "float", "1e+06"],
  ["1e21", "float", "1e+21"],
  ["0.00001", "float", "1e-05"],
  ["-0", "float", "-0"],
  [".inf", "float", "+Inf"],
  ["-.INF", "float", "-Inf"],
  [".NaN", "float", "NaN"],
  ["true", "bool", "true"],
  ["FALSE", "bool", "false"],
  ["yes", "string", "yes"],
  ["on", "string", "on"],
  ["tRue", "string", "tRue"],
  ["", "null", ""],
  ["~", "null", ""],
  ["Null", "null", ""],
  ["1:30", "string", "1:30"],
  ["1.2.3", "string", "1.2.3"],
  ["0x", "string", "0x"],
  ["0b2", "string", "0b2"],
  ["-", "string", "-"],
  ["2020-01-01", "time", "2020-01-01 00:00:00 +0000 UTC"],
  ["2020-1-2", "time", "2020-01-02 00:00:00 +0000 UTC"],
  ["2020-01-01T01:02:03Z", "time", "2020-01-01 01:02:03 +0000 UTC"],
  ["2020-01-01 01:02:03.50", "time", "2020-01-01 01:02:03.5 +0000 UTC"],
  ["2020-01-01t01:02:03+02:00", "time", "2020-01-01 01:02:03 +0200 +0200"],
  ["2020-02-30", "string", "2020-02-30"],
  ["2024-02-29", "time", "2024-02-29 00:00:00 +0000 UTC"],
  ["2020-01-01T25:00:00Z", "string", "2020-01-01T25:00:00Z"],
];

for (const [text, kind, becomes] of rows) {
  test(`"${text}" is a ${kind} and becomes "${becomes}"`, () => {
    const scalar = plainScalar(text);
    assert.equal(scalar.kind, kind);
    assert.equal(scalarText(scalar), becomes);
  });
}

test("tags decide what a scalar is, or refuse it", () => {
  assert.deepEqual(taggedScalar("str", "5"), { kind: "string", text: "5" });
  assert.deepEqual(taggedScalar("float", "5"), { kind: "float", value: 5 });
  assert.deepEqual(taggedScalar("int", "5"), { kind: "int", value: 5n });
  assert.equal(taggedScalar("int", "x"), undefined);
  assert.equal(taggedScalar("bool", "yes"), undefined);
});

test("the text of a float reads back as the same float", () => {
  fc.assert(
    fc.property(fc.double({ noDefaultInfinity: true, noNaN: true }), value => {
      assert.ok(Object.is(Number(floatText(value)), value));
    }),
  );
});

test("integers of 64 bits keep all of their digits", () => {
  fc.assert(
    fc.property(fc.bigInt(-(2n ** 63n), 2n ** 64n - 1n), value => {
      if (value !== 0n) assert.deepEqual(plainScalar(String(value)), { kind: "int", value });
    }),
  );
});
