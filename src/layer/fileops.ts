// Single changes inside a tree: directories, files, symlinks, removals (LLB's mkdir, mkfile, symlink and rm actions).
// Paths are resolved inside the root, so no symlink leads out of it.
import {
  chmodSync,
  constants,
  closeSync,
  fchmodSync,
  fchownSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  rmSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import { BakeError } from "../diagnostic/error.ts";
import { errnoOf, fileFailure } from "./errno.ts";
import { cleanPath, relativeToRoot, resolveInRoot, under } from "./rootpath.ts";
import { matchSources } from "./sources.ts";
import { loadSetTimes, type SetTimes } from "./times.ts";
import { createTreeView } from "./view.ts";

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

export interface PlaceOptions {
  /** Absolute path of the tree, without symlinks. */
  readonly root: string;
  /** From the tree's root. */
  readonly path: string;
  /** Default is the user of this process, for root 0:0. */
  readonly owner?: Owner | undefined;
  /** Nanoseconds since the epoch; default is the present. */
  readonly timestampNs?: bigint | undefined;
}

/** Makes a directory; one that exists already is left as it is. @throws BakeError "file-operation" */
export async function mkdirAt({
  root,
  path,
  mode,
  makeParents,
  owner,
  timestampNs,
}: PlaceOptions & { readonly mode: number; readonly makeParents: boolean }): Promise<void> {
  const setTimes = await loadSetTimes();
  const target = resolveInRoot(root, path, { followLast: true });
  try {
    if (makeParents) {
      makeDirectories(root, target, { mode: mode & 0o777, owner, timestampNs }, setTimes);
      return;
    }
    if (lstatSync(target, { throwIfNoEntry: false })?.isDirectory() === true) return;
    mkdirSync(target, { mode: mode & 0o777 });
    chmodSync(target, mode & 0o777);
    finish(target, owner, timestampNs, setTimes);
  } catch (thrown) {
    throw fileFailure("make directory", path, thrown);
  }
}

/** Writes a file, replacing the content of one that exists; its parent must exist. @throws BakeError "file-operation" */
export async function mkfileAt({
  root,
  path,
  mode,
  data,
  owner,
  timestampNs,
}: PlaceOptions & { readonly mode: number; readonly data: Uint8Array }): Promise<void> {
  const setTimes = await loadSetTimes();
  const target = resolveInRoot(root, path, { followLast: true });
  try {
    const fd = openSync(
      target,
      constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW,
      mode & 0o777,
    );
    try {
      for (let at = 0; at < data.length;) at += writeSync(fd, data, at);
      if (owner !== undefined) fchownSync(fd, owner.uid, owner.gid);
      fchmodSync(fd, mode & 0o777);
    } finally {
      closeSync(fd);
    }
    finish(target, undefined, timestampNs, setTimes);
  } catch (thrown) {
    throw fileFailure("write", path, thrown);
  }
}

/** Makes a symlink; `target` is stored as it is. The place must be free. @throws BakeError "file-operation" */
export async function symlinkAt({
  root,
  path,
  target,
  owner,
  timestampNs,
}: PlaceOptions & { readonly target: string }): Promise<void> {
  const setTimes = await loadSetTimes();
  const place = resolveInRoot(root, path, { followLast: false });
  try {
    symlinkSync(target, place);
    finish(place, owner, timestampNs, setTimes);
  } catch (thrown) {
    throw fileFailure("make symlink", path, thrown);
  }
}

/**
 * Removes a path with everything below it; a symlink is removed, not what it points to. With `allowWildcard` all that
 * matches is removed, which may be nothing.
 * @throws BakeError "file-operation" when the path does not exist (unless `allowNotFound`) or is the root
 */
export async function removeAt({
  root,
  path,
  allowWildcard,
  allowNotFound,
}: {
  readonly root: string;
  readonly path: string;
  readonly allowWildcard: boolean;
  readonly allowNotFound: boolean;
}): Promise<void> {
  const matches = allowWildcard
    ? matchSources(createTreeView(root), path, { wildcard: true, followSymlink: false }).map(
        match => match.found,
      )
    : [path];
  if (matches.length === 0 && !allowNotFound && !/[*?[]/.test(path)) throw missing(path);
  for (const match of matches) {
    if (cleanPath(match) === "")
      throw new BakeError("file-operation", `cannot remove "${path}": it is the root`);
    const target = resolveInRoot(root, match, { followLast: false });
    try {
      if (!allowNotFound && !exists(target)) throw missing(path);
      rmSync(target, { recursive: true, force: true });
    } catch (thrown) {
      throw fileFailure("remove", path, thrown);
    }
    await Promise.resolve();
  }
}

function missing(path: string): BakeError {
  return new BakeError("file-operation", `cannot remove "${path}": no such file or directory`);
}

function exists(target: string): boolean {
  try {
    return lstatSync(target, { throwIfNoEntry: false }) !== undefined;
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOTDIR") return false;
    throw thrown;
  }
}

/** Makes a directory and its missing parents, all alike; `target` is inside `root` and resolved. Gives those made. */
export function makeDirectories(
  root: string,
  target: string,
  {
    mode,
    owner,
    timestampNs,
  }: { readonly mode: number; readonly owner: Owner | undefined; readonly timestampNs: bigint | undefined },
  setTimes: SetTimes,
): readonly string[] {
  const made: string[] = [];
  let at = root;
  for (const part of relativeToRoot(root, target).split("/")) {
    at = under(at, part);
    const stats = lstatSync(at, { throwIfNoEntry: false });
    if (stats === undefined) {
      mkdirSync(at, { mode });
      chmodSync(at, mode);
      if (owner !== undefined) lchownSync(at, owner.uid, owner.gid);
      made.push(at);
    } else if (!stats.isDirectory()) {
      throw Object.assign(new Error(`"${relativeToRoot(root, at)}" is not a directory`), { code: "ENOTDIR" });
    }
  }
  // Innermost first: making a child touches its parent.
  if (timestampNs !== undefined)
    for (const path of made.toReversed()) setTimes(path, timestampNs, timestampNs);
  return made;
}

function finish(
  path: string,
  owner: Owner | undefined,
  timestampNs: bigint | undefined,
  setTimes: SetTimes,
): void {
  if (owner !== undefined) lchownSync(path, owner.uid, owner.gid);
  if (timestampNs !== undefined) setTimes(path, timestampNs, timestampNs);
}
