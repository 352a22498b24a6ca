// The one error class of the program. Anything else that reaches a boundary is converted by `BakeError.from`.
import { codes, type Code } from "./codes.ts";
import type { Diagnostic } from "./diagnostic.ts";
import type { Range } from "./source.ts";

export interface BakeErrorOptions {
  readonly range?: Range | undefined;
  readonly hint?: string | undefined;
  readonly targets?: Diagnostic["targets"];
  readonly related?: Diagnostic["related"];
  readonly reported?: Diagnostic["reported"];
  /** Further problems found beside the main one. */
  readonly others?: readonly Diagnostic[] | undefined;
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
        ...(options.targets && { targets: options.targets }),
        ...(options.related && { related: options.related }),
        ...(options.reported && { reported: options.reported }),
      },
      ...(options.others ?? []),
    ];
  }

  /** An error that carries the diagnostics of a language; the first error among them names the code. */
  static ofDiagnostics(diagnostics: readonly Diagnostic[]): BakeError {
    const main = diagnostics.find(diagnostic => diagnostic.severity === "error");
    if (main === undefined) throw new Error("BUG: no error among the diagnostics");
    const { code, message, ...place } = main;
    return new BakeError(code, message, {
      ...place,
      others: diagnostics.filter(diagnostic => diagnostic !== main),
    });
  }

  /** The same error as one of steps of targets, unless it is known to be that already. */
  of(targets: readonly string[]): BakeError {
    const [main, ...others] = this.diagnostics;
    if (main === undefined || main.targets !== undefined || targets.length === 0) return this;
    const { code, message, ...place } = main;
    return new BakeError(code, message, { ...place, targets, others, cause: this.cause ?? this });
  }

  /** Converts anything thrown into a BakeError, keeping the original as `cause`. */
  static from(thrown: unknown): BakeError {
    if (thrown instanceof BakeError) return thrown;
    if (isSuppressed(thrown)) return BakeError.from(thrown.suppressed);
    if (isAbort(thrown)) return new BakeError("interrupted", "interrupted", { cause: thrown });
    if (isErrno(thrown)) return ofErrno(thrown);
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new BakeError("internal", message, { cause: thrown });
  }

  get exitCode(): number {
    return codes[this.code].exit;
  }

  /** The same error pointing at a place in a source, unless it already has one. */
  at(range: Range | undefined, options: Pick<BakeErrorOptions, "reported"> = {}): BakeError {
    const main = this.diagnostics[0];
    if (range === undefined || main === undefined || main.range !== undefined) return this;
    const { code, message, ...place } = main;
    const others = this.diagnostics.slice(1);
    return new BakeError(code, message, { ...options, ...place, range, others, cause: this.cause ?? this });
  }
}

/** Whether a thrown value is the result of an aborted signal. */
export function isAbort(thrown: unknown): boolean {
  if (thrown instanceof BakeError) return thrown.code === "interrupted";
  return thrown instanceof Error && thrown.name === "AbortError";
}

/** A scope that failed, and then failed again to give back what it held (`using`): the first failure is the reason. */
function isSuppressed(thrown: unknown): thrown is Error & { readonly suppressed: unknown } {
  return thrown instanceof Error && thrown.name === "SuppressedError" && "suppressed" in thrown;
}

interface ErrnoError extends Error {
  readonly code: string;
  readonly path?: string;
}

function isErrno(thrown: unknown): thrown is ErrnoError {
  return thrown instanceof Error && "errno" in thrown && "code" in thrown && typeof thrown.code === "string";
}

/** System errors that say something about the user's machine; any other one was not expected where it came up. */
const errnoCodes: Readonly<Record<string, readonly [Code, string]>> = {
  ENOENT: ["file-missing", "there is no such file or folder"],
  ENOTDIR: ["file-missing", "a part of the path is not a folder"],
  EACCES: ["file-denied", "permission denied"],
  EPERM: ["file-denied", "operation not permitted"],
  EROFS: ["file-denied", "the file system is read-only"],
  ENOSPC: ["disk-full", "there is no space left"],
  EDQUOT: ["disk-full", "the disk quota is used up"],
  EIO: ["state-unusable", "its disk fails (input/output error)"],
  EMFILE: ["file-denied", "too many files are open (ulimit -n)"],
  ENFILE: ["file-denied", "too many files are open on this machine"],
};

function ofErrno(error: ErrnoError): BakeError {
  const row = errnoCodes[error.code];
  if (row === undefined) return new BakeError("internal", error.message, { cause: error });
  const [code, reason] = row;
  const subject = error.path === undefined ? "the build's files" : `"${error.path}"`;
  return new BakeError(code, `cannot use ${subject}: ${reason}`, { cause: error });
}

/** Throws when something that cannot happen has happened. Stays on in releases. `message` begins with "BUG: ". */
export function invariant(condition: unknown, message: `BUG: ${string}`): asserts condition {
  if (!condition) throw new BakeError("internal", message);
}
