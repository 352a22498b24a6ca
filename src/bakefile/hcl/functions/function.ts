// What a function of the bake language is: a row with a name, parameters and an implementation.
import { BakeError } from "../../../diagnostic/error.ts";
import { formatNumber, toSafeInt, type Num } from "../number.ts";
import { DYNAMIC, type Type, type Value } from "../value.ts";

export interface Parameter {
  readonly name: string;
  readonly type: Type;
  /** Whether null may be passed; default false. */
  readonly nullable?: boolean;
}

export interface BakeFunction {
  readonly params: readonly Parameter[];
  /** Takes all further arguments. */
  readonly variadic?: Parameter;
  /** Arguments are converted to the parameters' types before. @throws BakeError "bake-evaluate" */
  readonly call: (args: readonly Value[], host: FunctionHost, spend: Spend) => Value;
}

/** Takes steps from what all bake files together may use. @throws BakeError when nothing is left */
export type Spend = (steps: number) => void;

/** What functions need from outside: the language itself reads no clock, no chance and no environment. */
export interface FunctionHost {
  readonly now: () => Date;
  /** 16 random bytes, for uuidv4. */
  readonly randomBytes: () => Uint8Array;
  readonly homeDirectory: string | undefined;
}

export function param(name: string, type: Type = DYNAMIC, nullable = false): Parameter {
  return { name, type, nullable };
}

/** Longest text and most items a function may make; more is a mistake and would fill memory. */
export const MAX_TEXT = 16 * 1024 * 1024;
export const MAX_ITEMS = 1_000_000;

export function fail(message: string, hint?: string): BakeError {
  return new BakeError("bake-evaluate", message, { hint });
}

export function argument(args: readonly Value[], index: number): Value {
  const value = args[index];
  if (value === undefined) throw fail("BUG: missing argument");
  return value;
}

export function textOf(args: readonly Value[], index: number): string {
  const value = argument(args, index);
  if (value.kind !== "string") throw fail("expected a string");
  return value.value;
}

export function numberOf(args: readonly Value[], index: number): Num {
  const value = argument(args, index);
  if (value.kind !== "number") throw fail("expected a number");
  return value.value;
}

/** A whole number in the safe range. */
export function intOf(args: readonly Value[], index: number): number {
  const number = numberOf(args, index);
  const int = toSafeInt(number);
  if (int === undefined) throw fail(`expected a whole number, found ${formatNumber(number)}`);
  return int;
}

export function boolOf(args: readonly Value[], index: number): boolean {
  const value = argument(args, index);
  if (value.kind !== "bool") throw fail("expected a bool");
  return value.value;
}
