// Slash paths with the semantics of Go's path package, which decide op bytes.
import { normalize } from "node:path/posix";

/** A path in which something may be left out. */
const UNCLEAN = /^$|^\.|\/\/|\/\.|\/$/;

/** The shortest form of a path by its text alone; "" becomes ".". */
export function cleanPath(path: string): string {
  if (!UNCLEAN.test(path)) return path;
  const clean = normalize(path);
  return clean.length > 1 && clean.endsWith("/") ? clean.slice(0, -1) : clean;
}

/** Joins the parts that are not empty with slashes and cleans the result; "" when all are empty. */
export function joinPath(...parts: readonly string[]): string {
  const kept = parts.filter(part => part !== "");
  return kept.length === 0 ? "" : cleanPath(kept.join("/"));
}

/** A path in a file action: absolute, relative ones under `dir`; `keepSlash` keeps a trailing "/" or "/.". */
export function resolvePath(dir: string, path: string, { keepSlash = false } = {}): string {
  let resolved = cleanPath(path);
  if (!resolved.startsWith("/")) resolved = joinPath("/", dir, resolved);
  if (!keepSlash) return resolved;
  if (path.endsWith("/")) return resolved.endsWith("/") ? resolved : `${resolved}/`;
  if (path.endsWith("/.")) return resolved === "/" ? "/." : `${resolved}/.`;
  return resolved;
}
