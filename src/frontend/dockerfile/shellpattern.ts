// Patterns of `${name#pattern}` and its kin: `*`, `?` and literal text. Matched position by position, so that no pattern
// takes more than time in proportion to its length times that of the text.
import { goQuote } from "./text.ts";

/** A pattern that cannot be read; the message says why. */
export class PatternProblem extends Error {}

type Token =
  { readonly kind: "star" } | { readonly kind: "any" } | { readonly kind: "rune"; readonly rune: string };

export interface StripOptions {
  /** Remove from the end instead of the start. */
  readonly suffix: boolean;
  /** Remove as much as matches instead of as little. */
  readonly greedy: boolean;
}

/** The text without the start (or end) that matches. @throws PatternProblem */
export function stripPattern(text: string, pattern: string, { suffix, greedy }: StripOptions): string {
  const runes = [...text];
  const tokens = readTokens(pattern);
  if (suffix) {
    runes.reverse();
    tokens.reverse();
  }
  const end = matchAt(tokens, runes, 0, greedy) ?? 0;
  const rest = runes.slice(end);
  return (suffix ? rest.reverse() : rest).join("");
}

/** The text with the first longest match replaced. @throws PatternProblem */
export function replaceFirst(text: string, pattern: string, replacement: string): string {
  const runes = [...text];
  const tokens = readTokens(pattern);
  for (let start = 0; start <= runes.length; start++) {
    const end = matchAt(tokens, runes, start, true);
    if (end !== undefined) return runes.slice(0, start).join("") + replacement + runes.slice(end).join("");
  }
  return text;
}

/**
 * The text with every longest match replaced; like Go's ReplaceAll, nothing is inserted right behind a match.
 * References in the template (`$0`, `${name}`) are filled in: `$0` is the match, other names are empty.
 * @throws PatternProblem
 */
export function replaceAll(text: string, pattern: string, template: string): string {
  const runes = [...text];
  const tokens = readTokens(pattern);
  let out = "";
  let lastEnd = 0;
  for (let start = 0; start <= runes.length;) {
    const end = matchAt(tokens, runes, start, true);
    if (end === undefined) {
      start++;
      continue;
    }
    out += runes.slice(lastEnd, start).join("");
    if (end > lastEnd || start === 0) out += fillTemplate(template, runes.slice(start, end).join(""));
    lastEnd = end;
    start = Math.max(end, start + 1);
  }
  return out + runes.slice(lastEnd).join("");
}

/** `\` escapes `*`, `?` and itself; before `}` and `/` it was needed by the word around the pattern. */
function readTokens(pattern: string): Token[] {
  const runes = [...pattern];
  const tokens: Token[] = [];
  for (let i = 0; i < runes.length; i++) {
    const rune = runes[i] ?? "";
    if (rune === "*") tokens.push({ kind: "star" });
    else if (rune === "?") tokens.push({ kind: "any" });
    else if (rune !== "\\") tokens.push({ kind: "rune", rune });
    else {
      const escaped = runes[++i];
      if (escaped === undefined || !"*?\\}/".includes(escaped)) {
        throw new PatternProblem(
          `"\\${escaped ?? ""}" is not a known escape in the pattern ${goQuote(pattern)}`,
        );
      }
      tokens.push({ kind: "rune", rune: escaped });
    }
  }
  return tokens;
}

/** Where a match from `start` ends, the furthest place when greedy, else the nearest. Wildcards stop at line ends. */
function matchAt(
  tokens: readonly Token[],
  runes: readonly string[],
  start: number,
  greedy: boolean,
): number | undefined {
  let reached = new Set([start]);
  for (const token of tokens) {
    const next = new Set<number>();
    for (const at of reached) {
      if (token.kind === "star") {
        let end = at;
        // A place reached before has had the same run behind it.
        while (!next.has(end)) {
          next.add(end);
          if (end >= runes.length || runes[end] === "\n") break;
          end++;
        }
      } else if (at < runes.length && matchesRune(token, runes[at])) {
        next.add(at + 1);
      }
    }
    if (next.size === 0) return undefined;
    reached = next;
  }
  let best: number | undefined;
  for (const at of reached) if (best === undefined || (greedy ? at > best : at < best)) best = at;
  return best;
}

function matchesRune(token: Exclude<Token, { readonly kind: "star" }>, rune: string | undefined): boolean {
  return token.kind === "any" ? rune !== "\n" : rune === token.rune;
}

function fillTemplate(template: string, match: string): string {
  return template.replace(
    /\$(?:\$|\{([\p{L}\p{Nd}_]+)\}|([\p{L}\p{Nd}_]+))/gu,
    (whole, braced?: string, plain?: string) => {
      if (whole === "$$") return "$";
      return /^0+$/.test(braced ?? plain ?? "") ? match : "";
    },
  );
}
