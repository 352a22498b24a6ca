// Problems found while bake files are evaluated: gathered, so that one run shows all of them.
import { BakeError } from "../diagnostic/error.ts";
import type { Diagnostic } from "../diagnostic/diagnostic.ts";
import { positionAt, type Range } from "../diagnostic/source.ts";
import type { Block } from "./hcl/ast.ts";

export interface Problems {
  readonly add: (problem: Diagnostic) => void;
  /** Whether any error was added. */
  readonly failed: () => boolean;
  /** Adds a thrown BakeError, at `range` when it has no place of its own; throws on anything else. */
  readonly report: (thrown: unknown, range: Range) => void;
  /** Runs one step; its failure becomes a problem and the result undefined. */
  readonly attempt: <T>(range: Range, step: () => T) => T | undefined;
}

/** Fails because of a problem that has been told already: not told again. */
export class FollowUp extends BakeError {
  constructor(range: Range) {
    super("bake-evaluate", "this depends on something that failed", { range });
  }
}

/** More problems than this are not kept: they have few causes and nobody reads them. */
const MAX_PROBLEMS = 100;

/** Gathers into `problems`. */
export function createProblems(problems: Diagnostic[]): Problems {
  const errorsBefore = countErrors();

  function countErrors(): number {
    return problems.filter(problem => problem.severity === "error").length;
  }

  function failed(): boolean {
    return countErrors() > errorsBefore;
  }

  function report(thrown: unknown, range: Range): void {
    if (!(thrown instanceof BakeError)) throw thrown;
    if (thrown instanceof FollowUp) return;
    for (const diagnostic of thrown.at(range).diagnostics) {
      if (problems.length >= MAX_PROBLEMS) return;
      const again = problems.some(
        known =>
          known.message === diagnostic.message &&
          known.range?.source === diagnostic.range?.source &&
          known.range?.start === diagnostic.range?.start,
      );
      if (!again) problems.push(diagnostic);
    }
  }

  function attempt<T>(range: Range, step: () => T): T | undefined {
    try {
      return step();
    } catch (thrown) {
      report(thrown, range);
      return undefined;
    }
  }

  return { add: problem => problems.push(problem), failed, report, attempt };
}

/** Runs one step; its failure also tells the block it is in, unless that begins on the same line. */
export function inBlock<T>(block: Block, step: () => T): T {
  try {
    return step();
  } catch (thrown) {
    if (!(thrown instanceof BakeError) || thrown instanceof FollowUp) throw thrown;
    const label = block.labels[0]?.text;
    const message = `in ${block.type}${label === undefined ? "" : ` "${label}"`}`;
    throw BakeError.ofDiagnostics(
      thrown.diagnostics.map(diagnostic => withPlace(diagnostic, message, block.headRange)),
    );
  }
}

/** The problem with what it is in as a further place, unless that is on the same line. */
export function withPlace(diagnostic: Diagnostic, message: string, range: Range): Diagnostic {
  const place = diagnostic.range;
  if (place === undefined) return diagnostic;
  const line = positionAt(range.source, range.start).line;
  if (place.source === range.source && positionAt(place.source, place.start).line === line) return diagnostic;
  return { ...diagnostic, related: [...(diagnostic.related ?? []), { message, range }] };
}

/** A file says what no bake file may say. */
export function schemaError(message: string, range: Range, hint?: string): BakeError {
  return new BakeError("bake-schema", message, { range, hint });
}

/** An expression has no value. */
export function evaluateError(message: string, range: Range, hint?: string): BakeError {
  return new BakeError("bake-evaluate", message, { range, hint });
}
