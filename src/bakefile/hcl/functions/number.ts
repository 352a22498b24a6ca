// Functions on numbers and booleans, and the comparison functions.
import { boolOf, fail, intOf, numberOf, param, textOf, argument, type BakeFunction } from "./function.ts";
import * as number from "../number.ts";
import { BOOL, NUMBER, STRING, boolValue, equalValues, numberValue, type Value } from "../value.ts";

const num = param("num", NUMBER);
const a = param("a", NUMBER);
const b = param("b", NUMBER);

function defined(value: number.Num | undefined): Value {
  if (value === undefined) throw fail("the result is not defined for these numbers");
  return numberValue(value);
}

function binary(apply: (x: number.Num, y: number.Num) => number.Num | undefined): BakeFunction {
  return { params: [a, b], call: args => defined(apply(numberOf(args, 0), numberOf(args, 1))) };
}

function compare(holds: (order: number) => boolean): BakeFunction {
  return {
    params: [a, b],
    call: args => boolValue(holds(number.compareNumbers(numberOf(args, 0), numberOf(args, 1)))),
  };
}

/** Through doubles: the result has their precision. */
function viaDouble(names: readonly [string, string], apply: (x: number, y: number) => number): BakeFunction {
  return {
    params: [param(names[0], NUMBER), param(names[1], NUMBER)],
    call: args => {
      const result = apply(number.toDouble(numberOf(args, 0)), number.toDouble(numberOf(args, 1)));
      if (Number.isNaN(result)) throw fail("the result is not a number");
      return numberValue(number.numberFromDouble(result));
    },
  };
}

function extreme(sign: number): BakeFunction {
  return {
    params: [],
    variadic: param("numbers", NUMBER),
    call: args => {
      if (args.length === 0) throw fail("needs at least one number");
      let best = numberOf(args, 0);
      for (let i = 1; i < args.length; i++) {
        const next = numberOf(args, i);
        if (number.compareNumbers(next, best) * sign > 0) best = next;
      }
      return numberValue(best);
    },
  };
}

const DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz";
const MANY_DIGITS = `${DIGITS}ABCDEFGHIJKLMNOPQRSTUVWXYZ`;

function parseInBase(text: string, base: number): bigint | undefined {
  const match = /^([+-]?)([0-9a-zA-Z]+)$/.exec(text);
  if (match === null || text.length > 5000) return undefined;
  const alphabet = base <= 36 ? DIGITS : MANY_DIGITS;
  let out = 0n;
  for (const letter of match[2] ?? "") {
    const digit = alphabet.indexOf(base <= 36 ? letter.toLowerCase() : letter);
    if (digit < 0 || digit >= base) return undefined;
    out = out * BigInt(base) + BigInt(digit);
  }
  return match[1] === "-" ? -out : out;
}

export const numberFunctions: Readonly<Record<string, BakeFunction>> = {
  absolute: { params: [num], call: args => numberValue(number.absolute(numberOf(args, 0))) },
  negate: { params: [num], call: args => numberValue(number.negate(numberOf(args, 0))) },
  ceil: { params: [num], call: args => numberValue(number.ceil(numberOf(args, 0))) },
  floor: { params: [num], call: args => numberValue(number.floor(numberOf(args, 0))) },
  int: {
    params: [num],
    call: args => {
      const value = numberOf(args, 0);
      return numberValue(
        value.infinite || number.isInteger(value) ? value : number.numberFromBigInt(number.truncate(value)),
      );
    },
  },
  signum: {
    params: [num],
    call: args => {
      const value = numberOf(args, 0);
      if (!number.isInteger(value)) throw fail("expected a whole number");
      return numberValue(number.numberFromInt(number.isZero(value) ? 0 : value.sign));
    },
  },
  add: binary(number.add),
  subtract: binary(number.subtract),
  multiply: binary(number.multiply),
  divide: binary(number.divide),
  modulo: binary(number.modulo),
  log: viaDouble(["num", "base"], (x, base) => Math.log(x) / Math.log(base)),
  pow: viaDouble(["num", "power"], (x, y) => x ** y),
  max: extreme(1),
  min: extreme(-1),
  greaterthan: compare(order => order > 0),
  greaterthanorequalto: compare(order => order >= 0),
  lessthan: compare(order => order < 0),
  lessthanorequalto: compare(order => order <= 0),
  equal: {
    params: [param("a", undefined, true), param("b", undefined, true)],
    call: args => boolValue(equalValues(argument(args, 0), argument(args, 1))),
  },
  notequal: {
    params: [param("a", undefined, true), param("b", undefined, true)],
    call: args => boolValue(!equalValues(argument(args, 0), argument(args, 1))),
  },
  and: {
    params: [param("a", BOOL), param("b", BOOL)],
    call: args => boolValue(boolOf(args, 0) && boolOf(args, 1)),
  },
  or: {
    params: [param("a", BOOL), param("b", BOOL)],
    call: args => boolValue(boolOf(args, 0) || boolOf(args, 1)),
  },
  not: { params: [param("val", BOOL)], call: args => boolValue(!boolOf(args, 0)) },
  parseint: {
    params: [param("number", STRING), param("base", NUMBER)],
    call: args => {
      const base = intOf(args, 1);
      if (base < 2 || base > 62) throw fail("the base must be a whole number from 2 to 62");
      const value = parseInBase(textOf(args, 0), base);
      if (value === undefined) throw fail(`"${textOf(args, 0)}" is no whole number in base ${base}`);
      return numberValue(number.numberFromBigInt(value));
    },
  },
};
