// Errors of the operating system, recognised and turned into failures of file operations.
import { BakeError, isAbort } from "../diagnostic/error.ts";

/** The symbolic code ("ENOENT") of an operating system error, or undefined. */
export function errnoOf(thrown: unknown): string | undefined {
  return thrown instanceof Error && "code" in thrown && typeof thrown.code === "string"
    ? thrown.code
    : undefined;
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  ENOENT: "no such file or directory",
  ENOTDIR: "a parent is not a directory",
  EISDIR: "it is a directory",
  EEXIST: "it exists already",
  ENOTEMPTY: "the directory is not empty",
  ELOOP: "too many symbolic links",
  ENAMETOOLONG: "the name or path is too long",
  EINVAL: "invalid argument",
  EROFS: "the file system is read-only",
  EIO: "input/output error",
  EBUSY: "it is in use",
  EMLINK: "too many hard links",
  EOVERFLOW: "value too large",
};

/**
 * A failed operation on a path as users know it: `cannot read "src/a": permission denied`. Aborts and BakeErrors pass
 * through; a full disk gets its own code.
 */
export function fileFailure(action: string, path: string, thrown: unknown, hint?: string): unknown {
  if (thrown instanceof BakeError || isAbort(thrown)) return thrown;
  const code = errnoOf(thrown);
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new BakeError("disk-full", `cannot ${action} "${path}": no space left on the device`, {
      cause: thrown,
      hint,
    });
  }
  const reason = REASONS[code ?? ""] ?? (thrown instanceof Error ? thrown.message : String(thrown));
  return new BakeError("file-operation", `cannot ${action} "${path}": ${reason}`, { cause: thrown, hint });
}

const REMEDIES: Readonly<Record<string, string>> = {
  EACCES: "make it readable or ignore it",
  ENAMETOOLONG: "its path is longer than this system can read: ignore it, or a folder above it",
};

/** The failure to read something of a tree, with what can be done about it. */
export function readFailure(action: "read" | "read directory", path: string, thrown: unknown): unknown {
  return fileFailure(action, path, thrown, REMEDIES[errnoOf(thrown) ?? ""]);
}

/** What tells that an entry is no longer what it was when it was found: gone, a link (O_NOFOLLOW), no link, a directory. */
const REPLACED = new Set(["ENOENT", "ENOTDIR", "ELOOP", "EINVAL", "EISDIR", "ENXIO"]);

/** The failure to read an entry that was found a moment ago. */
export function entryFailure(path: string, thrown: unknown): unknown {
  if (!REPLACED.has(errnoOf(thrown) ?? "")) return readFailure("read", path, thrown);
  return new BakeError("file-operation", `cannot read "${path}": it was replaced or removed meanwhile`, {
    cause: thrown,
    hint: "build again when nothing else writes there, or ignore it",
  });
}
