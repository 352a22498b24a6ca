// One problem, as data. Languages return lists of these; machines throw them inside a BakeError.
import type { Code } from "./codes.ts";
import type { Range } from "./source.ts";

export interface Diagnostic {
  readonly severity: "error" | "warning";
  readonly code: Code;
  /** Action first, values quoted, no blame, no full stop: `target "app" inherits from unknown target "x"`. */
  readonly message: string;
  /** The piece of source the user should look at. */
  readonly range?: Range;
  /** What to do next, printed beside the underline: `did you mean "base"?`. */
  readonly hint?: string;
  /** The targets whose builds have the problem, when it came up in one of their steps. */
  readonly targets?: readonly string[];
  /** Further places that explain the problem ("first defined here"). */
  readonly related?: readonly { readonly message: string; readonly range: Range }[];
  /**
   * The lines that a BuildKit client is told of, a list a place, where BuildKit's own frontend names others than those
   * of `range` or none. People are always shown `range`.
   */
  readonly reported?: readonly (readonly number[])[];
}

/** The result of a language: a value when there is one, and every problem found, not only the first. */
export interface Diagnosed<T> {
  readonly value: T | undefined;
  readonly diagnostics: readonly Diagnostic[];
}

export function hasErrors(diagnostics: readonly Diagnostic[]): boolean {
  return diagnostics.some(diagnostic => diagnostic.severity === "error");
}
