// What a pattern is compiled to: instructions for the matcher, and the sets of characters they test
// (the automaton of Thompson and Pike that RE2 uses).

export type Instruction =
  | { readonly op: "char"; readonly set: CharacterSet; readonly next: number }
  /** Tries `next` first. */
  | { readonly op: "split"; readonly next: number; readonly other: number }
  | { readonly op: "save"; readonly slot: number; readonly next: number }
  | { readonly op: "assert"; readonly kind: Assertion; readonly next: number }
  | { readonly op: "match" };

export type Assertion = "textStart" | "textEnd" | "lineStart" | "lineEnd" | "wordBoundary" | "noWordBoundary";

export interface Program {
  readonly instructions: readonly Instruction[];
  readonly start: number;
  /** How many groups there are, the whole match included. */
  readonly groups: number;
  /** Names by group; undefined for groups without. */
  readonly names: readonly (string | undefined)[];
}

export interface CharacterSet {
  /** Pairs of first and last code point. */
  readonly ranges: readonly (readonly [number, number])[];
  /** Classes that are not written as ranges. */
  readonly classes: readonly { readonly test: RegExp; readonly negated: boolean }[];
  /** Sets within a set, such as \D. */
  readonly inner: readonly CharacterSet[];
  readonly negated: boolean;
  /** Whether letters match in both cases. */
  readonly fold: boolean;
}

export function hasCharacter(set: CharacterSet, code: number): boolean {
  const found = holds(set, code) || (set.fold && foldsOf(code).some(other => holds(set, other)));
  return found !== set.negated;
}

function holds({ ranges, classes, inner }: CharacterSet, code: number): boolean {
  for (const [first, last] of ranges) if (code >= first && code <= last) return true;
  for (const { test, negated } of classes) if (test.test(String.fromCodePoint(code)) !== negated) return true;
  return inner.some(set => hasCharacter(set, code));
}

const folds = new Map<number, readonly number[]>();

/** The other cases of a letter. */
function foldsOf(code: number): readonly number[] {
  let found = folds.get(code);
  if (found === undefined) {
    const letter = String.fromCodePoint(code);
    const lower = letter.toLowerCase();
    const upper = letter.toUpperCase();
    found = [lower, upper, upper.toLowerCase(), lower.toUpperCase()]
      .filter(other => [...other].length === 1 && other !== letter)
      .map(other => other.codePointAt(0) ?? code);
    if (folds.size > 5000) folds.clear();
    folds.set(code, found);
  }
  return found;
}
