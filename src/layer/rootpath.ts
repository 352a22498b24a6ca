// Resolves paths inside a tree as if the tree were the whole file system: symlinks, absolute ones included, and ".."
// never lead out of it. Every path that a build step or an archive names goes through here before it is used.
import { lstatSync, readlinkSync } from "node:fs";
import { BakeError } from "../diagnostic/error.ts";
import { errnoOf } from "./errno.ts";

/** Linux gives up after 40; a chain this long is a loop. */
const MAX_LINKS = 255;

export interface ResolveOptions {
  /** Whether a symlink at the end is followed too. */
  readonly followLast: boolean;
  /** Asked with the path (relative to the root) of each symlink on the way; the link is not followed when false. */
  readonly mayFollow?: (link: string) => boolean;
  /** Where on disk the entry of an absolute path of the tree is, when that is not the path itself. */
  readonly seenAt?: (absolute: string) => string;
}

/**
 * The absolute path on disk of `path` (slash-separated, taken from the tree's root whether it begins with a slash or
 * not). Components that do not exist are kept as they are. The answer is valid as long as nobody else changes the tree.
 * @throws BakeError "file-operation" when symlinks form a loop
 */
export function resolveInRoot(
  root: string,
  path: string,
  { followLast, mayFollow, seenAt }: ResolveOptions,
): string {
  const todo = path.split("/").reverse();
  const done: string[] = [];
  let links = 0;
  while (todo.length > 0) {
    const part = todo.pop();
    if (part === undefined || part === "" || part === ".") continue;
    if (part === "..") {
      done.pop();
      continue;
    }
    const isLast = !todo.some(rest => rest !== "" && rest !== ".");
    if (isLast && !followLast) {
      done.push(part);
      continue;
    }
    const place = joinRoot(root, [...done, part]);
    const target = linkTarget(seenAt?.(place) ?? place);
    if (target === undefined || mayFollow?.([...done, part].join("/")) === false) {
      done.push(part);
      continue;
    }
    if (++links > MAX_LINKS)
      throw new BakeError("file-operation", `cannot resolve "${path}": too many symbolic links`);
    if (target.startsWith("/")) done.length = 0;
    todo.push(...target.split("/").reverse());
  }
  return joinRoot(root, done);
}

/** The path of `absolute` seen from the tree's root: relative, slash-separated, "" for the root itself. */
export function relativeToRoot(root: string, absolute: string): string {
  if (absolute === root) return "";
  return absolute.slice(root === "/" ? 1 : root.length + 1);
}

/** `a/b` from `/a/./b/`, with ".." staying inside; "" is the root. */
export function cleanPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") parts.pop();
    else parts.push(part);
  }
  return parts.join("/");
}

/** Joins a root and a clean relative path. */
export function under(root: string, path: string): string {
  return path === "" ? root : root === "/" ? `/${path}` : `${root}/${path}`;
}

function joinRoot(root: string, parts: readonly string[]): string {
  return under(root, parts.join("/"));
}

function linkTarget(absolute: string): string | undefined {
  try {
    if (!(lstatSync(absolute, { throwIfNoEntry: false })?.isSymbolicLink() ?? false)) return undefined;
    return readlinkSync(absolute);
  } catch (thrown) {
    // Below a file there is nothing: the operation that uses the path will say so.
    if (errnoOf(thrown) === "ENOTDIR" || errnoOf(thrown) === "ENOENT") return undefined;
    throw thrown;
  }
}
