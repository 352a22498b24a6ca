// Shell-like wildcards on one path, with the rules of Go's path.Match: `*` and `?` stop at "/", `[a-z]` and `[^a-z]`
// are classes, `\` takes the next character literally.
import { BakeError } from "../diagnostic/error.ts";

export interface Wildcard {
  readonly matches: (path: string) => boolean;
}

/** Compiles a pattern that must match a whole path. @throws BakeError "pattern-invalid" */
export function compileWildcard(pattern: string): Wildcard {
  if (!hasWildcard(pattern) && !pattern.includes("\\")) return { matches: path => path === pattern };
  let source = "";
  for (let at = 0; at < pattern.length;) {
    const piece = readPiece(pattern, at);
    source += piece.kind === "star" ? "[^/]*" : piece.source;
    at = piece.next;
  }
  const regex = new RegExp(`^${source}$`, "u");
  return { matches: path => regex.test(path) };
}

/** Whether a pattern has an unescaped `*`, `?` or `[`. */
export function hasWildcard(pattern: string): boolean {
  return /^(?:[^\\]|\\[^])*?[*?[]/.test(pattern);
}

export type Piece =
  | { readonly kind: "star"; readonly next: number }
  /** `?`, a class or an escaped character: `source` is regular expression source for exactly one character. */
  | { readonly kind: "one"; readonly source: string; readonly next: number }
  | { readonly kind: "literal"; readonly source: string; readonly next: number };

/** Reads one element of a pattern at an offset. @throws BakeError "pattern-invalid" */
export function readPiece(pattern: string, at: number): Piece {
  const code = pattern.codePointAt(at) ?? 0;
  const next = at + (code > 0xffff ? 2 : 1);
  switch (String.fromCodePoint(code)) {
    case "*":
      return { kind: "star", next };
    case "?":
      return { kind: "one", source: "[^/]", next };
    case "[":
      return readClass(pattern, at);
    case "\\": {
      const escaped = pattern.codePointAt(next);
      if (escaped === undefined) throw invalid(pattern, "it ends with an escape character");
      return { kind: "one", source: literal(escaped), next: next + (escaped > 0xffff ? 2 : 1) };
    }
    default:
      return { kind: "literal", source: literal(code), next };
  }
}

function readClass(pattern: string, start: number): Piece {
  let at = start + 1;
  const negated = pattern[at] === "^";
  if (negated) at++;
  const bound = (): number => {
    let character = pattern[at];
    if (character === undefined) throw invalid(pattern, `the "[" is not closed`);
    if (character === "-" || character === "]")
      throw invalid(pattern, `"${character}" must be escaped at this place in "[…]"`);
    if (character === "\\") {
      at++;
      character = pattern[at];
    }
    const code = pattern.codePointAt(at);
    if (character === undefined || code === undefined) throw invalid(pattern, `the "[" is not closed`);
    at += code > 0xffff ? 2 : 1;
    return code;
  };
  let ranges = "";
  for (let count = 0; ; count++) {
    if (pattern[at] === "]" && count > 0) break;
    const low = bound();
    let high = low;
    if (pattern[at] === "-") {
      at++;
      high = bound();
    }
    // A range that runs backwards matches nothing, as in Go; a regular expression would not compile.
    if (low <= high) ranges += `${literal(low)}-${literal(high)}`;
  }
  return { kind: "one", source: `[${negated ? "^" : ""}${ranges}]`, next: at + 1 };
}

function literal(code: number): string {
  return `\\u{${code.toString(16)}}`;
}

function invalid(pattern: string, why: string): BakeError {
  return new BakeError("pattern-invalid", `invalid file pattern "${pattern}": ${why}`);
}
