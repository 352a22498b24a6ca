// The one error class of the program. Anything else that reaches a boundary is converted by `BakeError.from`.
import { codes, type Code } from "./codes.ts";
import type { Diagnostic } from "./diagnostic.ts";
import type { Range } from "./source.ts";

export interface BakeErrorOptions {
  readonly range?: Range | undefined;
  readonly hint?: string | undefined;
  readonly related?: Diagnostic["related"];
  readonly cause?: unknown;
}

/** A failure with a code from the closed list and one or more diagnostics, the first being the main one. */
export class BakeError extends Error {
  override readonly name = "BakeError";
  readonly code: Code;
  readonly diagnostics: readonly Diagnostic[];

  constructor(code: Code, message: string, options: BakeErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.diagnostics = [
      {
        severity: "error",
        code,
        message,
        ...(options.range && { range: options.range }),
        ...(options.hint && { hint: options.hint }),
        ...(options.related && { related: options.related }),
      },
    ];
  }

  /** An error that carries the diagnostics of a language; the first error among them names the code. */
  static ofDiagnostics(diagnostics: readonly Diagnostic[]): BakeError {
    const main = diagnostics.find(diagnostic => diagnostic.severity === "error");
    if (main === undefined) throw new Error("BUG: no error among the diagnostics");
    const error = new BakeError(main.code, main.message);
    const rest = diagnostics.filter(diagnostic => diagnostic !== main);
    (error as { diagnostics: readonly Diagnostic[] }).diagnostics = [main, ...rest];
    return error;
  }

  /** Converts anything thrown into a BakeError, keeping the original as `cause`. */
  static from(thrown: unknown): BakeError {
    if (thrown instanceof BakeError) return thrown;
    if (isAbort(thrown)) return new BakeError("interrupted", "interrupted", { cause: thrown });
    if (isErrno(thrown)) {
      const code: Code = thrown.code === "ENOSPC" ? "disk-full" : thrown.code === "ENOENT" ? "file-missing" : "internal";
      return new BakeError(code, thrown.message, { cause: thrown });
    }
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new BakeError("internal", message, { cause: thrown });
  }

  get exitCode(): number {
    return codes[this.code].exit;
  }

  /** The same error pointing at a place in a source, unless it already has one. */
  at(range: Range | undefined): BakeError {
    const main = this.diagnostics[0];
    if (range === undefined || main === undefined || main.range !== undefined) return this;
    const located = new BakeError(this.code, this.message, { cause: this.cause ?? this });
    (located as { diagnostics: readonly Diagnostic[] }).diagnostics = [{ ...main, range }, ...this.diagnostics.slice(1)];
    return located;
  }
}

/** Whether a thrown value is the result of an aborted signal. */
export function isAbort(thrown: unknown): boolean {
  return thrown instanceof Error && thrown.name === "AbortError";
}

function isErrno(thrown: unknown): thrown is Error & { readonly code: string } {
  return thrown instanceof Error && "errno" in thrown && "code" in thrown && typeof thrown.code === "string";
}

/** Throws when something that cannot happen has happened. Stays on in releases. `message` begins with "BUG: ". */
export function invariant(condition: unknown, message: `BUG: ${string}`): asserts condition {
  if (!condition) throw new BakeError("internal", message);
}
