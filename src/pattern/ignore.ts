// Lists of file patterns as .dockerignore files and LLB's include and exclude patterns use them (rules of
// moby/patternmatcher): `**` crosses directories, `!` takes back, a pattern that matches a directory matches all
// below it, and the last pattern that matches decides.
import { BakeError } from "../diagnostic/error.ts";
import { readPiece } from "./wildcard.ts";

/** What is known of a path; hand that of the parent directory to `step` for its children. */
export interface MatchState {
  readonly matched: boolean;
  /** Index of the pattern that decided, -1 when none applied. */
  readonly decidedBy: number;
  /** Per pattern whether it matched this path or a directory above it. */
  readonly hits: readonly boolean[];
}

export interface PatternList {
  /** The patterns that are left after trimming and cleaning, with their `!`. */
  readonly patterns: readonly string[];
  /** Whether a path (slash-separated, relative, clean) is matched. */
  readonly matches: (path: string) => boolean;
  /** The pattern that decides about a path, whichever way; undefined when none applies. */
  readonly decidedBy: (path: string) => { readonly pattern: string; readonly index: number } | undefined;
  /** The incremental form of `matches` for walkers: `parent` is the state of the directory, undefined for the root. */
  readonly step: (parent: MatchState | undefined, path: string) => MatchState;
}

export interface IgnoreMatcher extends PatternList {
  /** Whether some `!` pattern could apply below a directory, so that a walk must enter it although it is ignored. */
  readonly mayReinclude: (directory: string) => boolean;
}

export interface IncludeMatcher extends PatternList {
  /** Whether something at or below a directory could match, so that a walk must enter it. "" is the root. */
  readonly mayContain: (directory: string) => boolean;
}

/** Compiles exclude patterns. An empty list ignores nothing. @throws BakeError "pattern-invalid" */
export function compileIgnore(patterns: readonly string[]): IgnoreMatcher {
  const rules = compileRules(patterns);
  const list = listFromRules(rules);
  return {
    ...list,
    mayReinclude: directory => rules.some(rule => rule.negated && reachesBelow(rule, directory)),
  };
}

/** Compiles include patterns. An empty list matches nothing: ask before. @throws BakeError "pattern-invalid" */
export function compileInclude(patterns: readonly string[]): IncludeMatcher {
  const rules = compileRules(patterns);
  const list = listFromRules(rules);
  return {
    ...list,
    mayContain: directory => rules.some(rule => !rule.negated && reachesBelow(rule, directory)),
  };
}

interface Rule {
  readonly text: string;
  readonly negated: boolean;
  readonly test: (path: string) => boolean;
  /** One test per path segment; the list ends where `**` makes anything possible. */
  readonly segments: readonly ((segment: string) => boolean)[];
  readonly open: boolean;
}

function compileRules(patterns: readonly string[]): Rule[] {
  return patterns.flatMap(raw => {
    const text = raw.trim();
    if (text === "") return [];
    const negated = text.startsWith("!");
    if (text === "!")
      throw new BakeError("pattern-invalid", `invalid file pattern "!": a pattern must follow`);
    const pattern = cleanPath(negated ? text.slice(1).trim() : text);
    const parts = pattern.split("/");
    const crossing = parts.findIndex(part => part.includes("**"));
    const closed = crossing < 0 ? parts : parts.slice(0, crossing);
    return {
      text: (negated ? "!" : "") + pattern,
      negated,
      test: compileRule(pattern),
      segments: closed.map(compileRule),
      open: crossing >= 0,
    };
  });
}

function listFromRules(rules: readonly Rule[]): PatternList {
  const root: MatchState = { matched: false, decidedBy: -1, hits: rules.map(() => false) };
  const step = (parent: MatchState | undefined, path: string): MatchState => {
    const above = parent?.hits;
    let matched = false;
    let decidedBy = -1;
    const hits = rules.map((rule, index) => {
      let hit = above?.[index] === true;
      // A rule that could not change the verdict is not evaluated, which decides what is inherited below (as upstream).
      if (!hit && rule.negated === matched) hit = rule.test(path);
      if (hit) {
        if (matched === rule.negated || decidedBy < 0) decidedBy = index;
        matched = !rule.negated;
      }
      return hit;
    });
    return { matched, decidedBy, hits };
  };
  const stateOf = (path: string): MatchState => {
    if (path === "" || path === ".") return root;
    let state: MatchState | undefined;
    for (let slash = path.indexOf("/"); slash >= 0; slash = path.indexOf("/", slash + 1)) {
      if (slash > 0) state = step(state, path.slice(0, slash));
    }
    return step(state, path);
  };
  return {
    patterns: rules.map(rule => rule.text),
    matches: path => stateOf(path).matched,
    decidedBy: path => {
      const index = stateOf(path).decidedBy;
      const rule = rules[index];
      return rule && { pattern: rule.text, index };
    },
    step,
  };
}

/** Whether a rule could match a directory, something above it, or something below it. */
function reachesBelow(rule: Rule, directory: string): boolean {
  if (directory === "" || directory === ".") return true;
  const parts = directory.split("/");
  const shared = Math.min(parts.length, rule.segments.length);
  for (let i = 0; i < shared; i++) if (rule.segments[i]?.(parts[i] ?? "") !== true) return false;
  return true;
}

/** Compiles one cleaned pattern. Patterns without special characters besides a leading or trailing `**` stay strings. */
function compileRule(pattern: string): (path: string) => boolean {
  if (pattern === "**") return () => true;
  if (!/[*?[\]\\]/.test(pattern)) {
    return path => path === pattern;
  }
  if (/^\*\*[^*?[\]\\]+$/.test(pattern)) {
    const suffix = pattern.slice(2);
    const whole = suffix.startsWith("/") ? suffix.slice(1) : undefined;
    return path => path.endsWith(suffix) || path === whole;
  }
  if (/^[^*?[\]\\]+\*\*$/.test(pattern)) {
    const prefix = pattern.slice(0, -2);
    return path => path.startsWith(prefix);
  }
  let source = "";
  for (let at = 0; at < pattern.length;) {
    if (pattern.startsWith("**", at)) {
      at += pattern[at + 2] === "/" ? 3 : 2;
      source += at >= pattern.length ? ".*" : "(?:.*/)?";
      continue;
    }
    const piece = readPiece(pattern, at);
    source += piece.kind === "star" ? "[^/]*" : piece.source;
    at = piece.next;
  }
  const regex = new RegExp(`^${source}$`, "u");
  return path => regex.test(path);
}

/** Go's path.Clean: no empty, `.` or inner `..` elements, no trailing slash; "" becomes ".". */
export function cleanPath(path: string): string {
  const rooted = path.startsWith("/");
  const out: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === ".." && out.length > 0 && out.at(-1) !== "..") out.pop();
    else if (part !== ".." || !rooted) out.push(part);
  }
  return (rooted ? "/" : "") + out.join("/") || ".";
}
