// The standard library of the bake language: every function by name. `try`, `can` and `convert` are part of the
// evaluation itself, since they look at expressions.
import { collectionFunctions } from "./collection.ts";
import { encodingFunctions } from "./encoding.ts";
import { formatFunctions } from "./format.ts";
import { networkFunctions } from "./network.ts";
import { numberFunctions } from "./number.ts";
import { textFunctions } from "./text.ts";
import { timeFunctions } from "./time.ts";
import { versionFunctions } from "./version.ts";
import type { BakeFunction } from "./function.ts";

export const standardLibrary: ReadonlyMap<string, BakeFunction> = new Map([
  ...Object.entries(textFunctions),
  ...Object.entries(numberFunctions),
  ...Object.entries(collectionFunctions),
  ...Object.entries(encodingFunctions),
  ...Object.entries(formatFunctions),
  ...Object.entries(timeFunctions),
  ...Object.entries(networkFunctions),
  ...Object.entries(versionFunctions),
]);
