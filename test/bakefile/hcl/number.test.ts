// Numbers are exact where decimals are, and print as the shortest text that reads back.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as number from "../../../src/bakefile/hcl/number.ts";

function parse(text: string): number.Num {
  const value = number.parseNumber(text);
  assert.ok(value, text);
  return value;
}

function show(value: number.Num | undefined): string {
  assert.ok(value);
  return number.formatNumber(value);
}

test("decimal fractions add up without binary noise", () => {
  assert.equal(show(number.add(parse("0.1"), parse("0.2"))), "0.3");
});

test("whole numbers of any size keep all digits", () => {
  assert.equal(
    show(number.multiply(parse("123456789012345678901234567890"), parse("10"))),
    "1234567890123456789012345678900",
  );
});

test("a third has 154 digits and a rounded last one", () => {
  assert.match(show(number.divide(parse("1"), parse("3"))), /^0\.3{154}5$/);
});

test("a number by zero is infinite, zero by zero is undefined", () => {
  assert.equal(show(number.divide(parse("-1"), parse("0"))), "-Inf");
  assert.equal(number.divide(parse("0"), parse("0")), undefined);
});

test("a double keeps its binary value in further steps", () => {
  const noisy = number.numberFromDouble(0.1);
  assert.equal(show(noisy), "0.1");
  assert.equal(
    show(number.multiply(noisy, parse("3"))),
    "0.3000000000000000166533453693773481063544750213623046875",
  );
});

test("the remainder has the sign of the dividend", () => {
  assert.equal(show(number.modulo(parse("-7"), parse("3"))), "-1");
  assert.equal(show(number.modulo(parse("7"), parse("0"))), "7");
});

test("law: every double prints as JavaScript prints it, up to the exponent form", () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e15, max: 1e15 }), value => {
      const text = number.formatNumber(number.numberFromDouble(value));
      assert.equal(Number(text), value);
      if (!String(value).includes("e") && !Object.is(value, -0)) assert.equal(text, String(value));
    }),
  );
});

test("law: whole numbers behave like BigInt", () => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: -(10n ** 60n), max: 10n ** 60n }),
      fc.bigInt({ min: -(10n ** 60n), max: 10n ** 60n }),
      (a, b) => {
        const [x, y] = [parse(String(a)), parse(String(b))];
        assert.equal(show(number.add(x, y)), String(a + b));
        // Zero keeps a sign, which a BigInt has not.
        const isMinusZero = a * b === 0n && (a < 0n || b < 0n);
        assert.equal(show(number.multiply(x, y)), isMinusZero ? "-0" : String(a * b));
        assert.equal(Math.sign(number.compareNumbers(x, y)), a < b ? -1 : a > b ? 1 : 0);
        if (b !== 0n) assert.equal(number.truncate(number.modulo(x, y) ?? x), a % b);
      },
    ),
  );
});
