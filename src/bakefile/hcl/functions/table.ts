// The standard library of the bake language: every function by name. `try`, `can` and `convert` are part of the
// evaluation itself, since they look at expressions.
import { textFunctions } from "./text.ts";
import type { BakeFunction } from "./function.ts";

export const standardLibrary: ReadonlyMap<string, BakeFunction> = new Map([
  ...Object.entries(textFunctions),
]);
