// Which entries of a tree the source of a copy means: one path, or all that a wildcard matches.
import { lstatSync, readdirSync } from "node:fs";
import { BakeError } from "../diagnostic/error.ts";
import { compareUtf8 } from "../oci/json.ts";
import { compileWildcard, hasWildcard } from "../pattern/wildcard.ts";
import { errnoOf } from "./errno.ts";
import { cleanPath, under } from "./rootpath.ts";
import { resolveInView, stateInView, type TreeView } from "./view.ts";

export interface SourceMatch {
  /** The path as named, relative to the root: its last element names the copy. */
  readonly named: string;
  /** Where it is found, symlinks resolved, relative to the root. */
  readonly found: string;
}

export interface SourceOptions {
  readonly wildcard: boolean;
  readonly followSymlink: boolean;
}

/**
 * Sorted matches; none when a wildcard matches nothing or the path is not visible. Wildcards do not go through
 * symlinked directories, the part of the path before them does.
 * @throws BakeError "file-operation" when a wildcard matches a symlink that is to be followed and leads nowhere
 */
export function matchSources(
  view: TreeView,
  source: string,
  { wildcard, followSymlink }: SourceOptions,
): readonly SourceMatch[] {
  const path = cleanPath(source);
  const parts = path.split("/");
  const firstWild = wildcard ? parts.findIndex(hasWildcard) : -1;
  if (firstWild < 0) {
    const found = resolveInView(view, path, followSymlink);
    return found === undefined ? [] : [{ named: path, found }];
  }
  const before = parts.slice(0, firstWild).join("/");
  const base = resolveInView(view, before, followSymlink);
  if (base === undefined) return [];
  const matches = expand(view, base, before, parts.slice(firstWild));
  return matches.flatMap(match => {
    const found = resolveInView(view, match.found, followSymlink);
    if (found !== undefined) return [{ named: match.named, found }];
    // A directory may hold nothing visible; a link that leads nowhere is a mistake in what was named.
    if (!lstatSync(under(view.root, match.found)).isSymbolicLink()) return [];
    throw new BakeError(
      "file-operation",
      `"${match.named}" is a symbolic link to something that does not exist`,
    );
  });
}

/** @throws BakeError "file-operation" naming the first path that is not visible */
export function expectVisible(view: TreeView, paths: readonly string[] = []): void {
  const absent = paths.find(path => resolveInView(view, cleanPath(path), false) === undefined);
  if (absent !== undefined) throw new BakeError("file-operation", `"${absent}" does not exist`);
}

function expand(
  view: TreeView,
  dir: string,
  named: string,
  parts: readonly string[],
): readonly SourceMatch[] {
  const [part, ...rest] = parts;
  if (part === undefined) return [{ named, found: dir }];
  const { matches } = compileWildcard(part);
  return readNames(under(view.root, dir), rest.length > 0)
    .filter(matches)
    .flatMap(name => {
      const path = dir === "" ? name : `${dir}/${name}`;
      const state = stateInView(view, path);
      if (state !== undefined && !state.included && !state.descend) return [];
      return expand(view, path, named === "" ? name : `${named}/${name}`, rest);
    });
}

function readNames(absolute: string, directoriesOnly: boolean): string[] {
  try {
    return readdirSync(absolute, { withFileTypes: true })
      .filter(entry => !directoriesOnly || entry.isDirectory())
      .map(entry => entry.name)
      .sort(compareUtf8);
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOTDIR" || errnoOf(thrown) === "ENOENT") return [];
    throw thrown;
  }
}
