// One evaluation of expressions: the names that they see, the work and size that they may reach, and how they fail.
// Work is counted, so that no file can keep the program busy for ever.
import { BakeError } from "../../diagnostic/error.ts";
import { didYouMean } from "../../diagnostic/suggest.ts";
import type { Range } from "../../diagnostic/source.ts";
import { convert } from "./convert.ts";
import type { BakeFunction, FunctionHost } from "./functions/function.ts";
import { BOOL, type Type, type Value } from "./value.ts";

/** Names visible to an expression; inner scopes hide outer ones. */
export interface Scope {
  readonly parent: Scope | undefined;
  readonly variables: ReadonlyMap<string, Value>;
}

/** What all expressions of one set of files share. */
export interface Evaluation {
  readonly functions: ReadonlyMap<string, BakeFunction>;
  readonly host: FunctionHost;
  /** Steps left. */
  budget: number;
  /** Names that may still be searched for the one that was meant: in a file full of slips nobody reads all. */
  hints: number;
}

/** Names that one set of files may have searched for: nobody reads more. */
export const MAX_HINTS = 100;

/** Evaluations of one set of files may take this many steps: about a second of work. */
export const STEP_BUDGET = 2_000_000;

/** A hint, while there are any left; `known` is only asked then. */
export function hintFor(run: Evaluation, name: string, known: () => Iterable<string>): string | undefined {
  return run.hints-- > 0 ? didYouMean(name, known()) : undefined;
}

/** Takes steps from the budget. @throws BakeError when it is used up */
export function spend(run: Evaluation, steps: number, range: Range): void {
  run.budget -= steps;
  if (run.budget >= 0) return;
  throw new BakeError("bake-evaluate", "the bake files need too much work to evaluate", {
    range,
    hint: "look for loops within loops or functions that call others many times",
  });
}

/** How many values a value holds, each as often as it is reached: shared parts make a small tree of a huge one. */
const weights = new WeakMap<Value, number>();
const MAX_WEIGHT = 500_000;

function weightOf(value: Value): number {
  const parts = "items" in value ? value.items : "entries" in value ? value.entries.values() : undefined;
  if (parts === undefined) return 1;
  let weight = weights.get(value);
  if (weight === undefined) {
    weight = 1;
    for (const part of parts) weight += weightOf(part);
    weights.set(value, weight);
  }
  return weight;
}

/** The value itself, unless it is too large. @throws BakeError */
export function weighed(value: Value, range: Range): Value {
  if (weightOf(value) > MAX_WEIGHT) throw failAt(range, `a value holds more than ${MAX_WEIGHT} others`);
  return value;
}

/** An error of an expression, at its place. */
export function failAt(range: Range, message: string, hint?: string): BakeError {
  return new BakeError("bake-evaluate", message, { range, hint });
}

/** Converts, pointing at `range` on failure. */
export function convertAt(value: Value, type: Type, range: Range): Value {
  try {
    return convert(value, type);
  } catch (thrown) {
    throw thrown instanceof BakeError ? thrown.at(range) : thrown;
  }
}

/** Whether a condition holds. @throws BakeError for what is neither true nor false */
export function conditionHolds(value: Value, range: Range): boolean {
  if (value.kind === "null") throw failAt(range, "a condition must be true or false, found null");
  const decided = convertAt(value, BOOL, range);
  return decided.kind === "bool" && decided.value;
}
