// Regular expressions of the bake language: RE2's, matched in bounded time.
import { compilePattern } from "./re2/parse.ts";
import { findMatch, type Match } from "./re2/match.ts";
import type { Program } from "./re2/program.ts";
import type { Spend } from "./function.ts";

export interface Found extends Match {
  /** Names by group; undefined for groups without. */
  readonly names: readonly (string | undefined)[];
}

const cache = new Map<string, Program>();
const MAX_CACHED = 200;

/** Work of the matcher that counts as one step of evaluation. */
const STEPS = 16;

function compile(pattern: string): Program {
  let program = cache.get(pattern);
  if (program === undefined) {
    program = compilePattern(pattern);
    if (cache.size >= MAX_CACHED) cache.clear();
    cache.set(pattern, program);
  }
  return program;
}

/** The first match. @throws BakeError without a range for a pattern RE2 does not know */
export function findRegex(pattern: string, text: string, spend: Spend): Found | undefined {
  const program = compile(pattern);
  const found = findMatch(program, text, 0, work => spend(work / STEPS));
  return found && { ...found, names: program.names };
}

/** All matches; an empty one right behind another is none, as in Go. */
export function* findAllRegex(pattern: string, text: string, spend: Spend): Generator<Found> {
  const program = compile(pattern);
  let from = 0;
  let lastEnd = -1;
  while (from <= text.length) {
    const found = findMatch(program, text, from, work => spend(work / STEPS));
    if (found === undefined) return;
    if (found.end > found.start || found.start !== lastEnd) yield { ...found, names: program.names };
    lastEnd = found.end;
    // From an empty match on with the next character.
    const wide = (text.codePointAt(found.end) ?? 0) > 0xffff;
    from = found.end > found.start ? found.end : found.end + (wide ? 2 : 1);
  }
}

/** Fills `$1`, `$name` and `${name}` of a replacement; unknown groups are empty. */
export function expandReplacement(template: string, { groups, names }: Found): string {
  return template.replace(/\$(?:\$|(\w+)|\{(\w+)\})/g, (whole, bare?: string, braced?: string) => {
    if (whole === "$$") return "$";
    const name = bare ?? braced ?? "";
    return groups[/^\d+$/.test(name) ? Number(name) : names.indexOf(name)] ?? "";
  });
}
