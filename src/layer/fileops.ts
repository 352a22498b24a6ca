// Single changes inside a tree: directories, files, symlinks, removals (LLB's mkdir, mkfile, symlink and rm actions).
// Everything is done through open directories, so no symlink leads out of the tree, even one that appears meanwhile.
import {
  closeSync,
  constants,
  fchmodSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { BakeError } from "../diagnostic/error.ts";
import { chmodEntry, type Directory, DirectoryTrail, locate, type Place } from "./directory.ts";
import { errnoOf, fileFailure } from "./errno.ts";
import { type Owner, setOwner } from "./owner.ts";
import { cleanPath } from "./rootpath.ts";
import { matchSources } from "./sources.ts";
import { loadSetTimes, type SetTimes } from "./times.ts";
import { createTreeView } from "./view.ts";

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

/**
 * Makes a directory. What exists already is left as it is; with `makeParents` it must be a directory, without it may be
 * anything, as in BuildKit.
 * @throws BakeError "file-operation"
 */
export async function mkdirAt({
  root,
  path,
  mode,
  makeParents,
  owner,
  timestampNs,
}: PlaceOptions & { readonly mode: number; readonly makeParents: boolean }): Promise<void> {
  const setTimes = await loadSetTimes();
  try {
    using place = locate(root, path, { followLast: true });
    const details = { mode: mode & 0o777, owner, timestampNs };
    if (makeParents) {
      using trail = new DirectoryTrail();
      openMaking(place, trail, details);
      setTimesOf(trail, timestampNs, setTimes);
      return;
    }
    const target = entryOf(place);
    if (lstatSync(target, { throwIfNoEntry: false }) !== undefined) return;
    makeDirectory(target, details);
    finish(target, undefined, timestampNs, setTimes);
  } catch (thrown) {
    throw fileFailure("make directory", path, thrown);
  }
}

/**
 * Writes a file; its parent must exist. One that exists gets the new content and keeps its mode, and its owner unless
 * one is given, as in BuildKit.
 * @throws BakeError "file-operation"
 */
export async function mkfileAt({
  root,
  path,
  mode,
  data,
  owner,
  timestampNs,
}: PlaceOptions & { readonly mode: number; readonly data: Uint8Array }): Promise<void> {
  const setTimes = await loadSetTimes();
  try {
    using place = locate(root, path, { followLast: true });
    const target = entryOf(place);
    const isNew = lstatSync(target, { throwIfNoEntry: false }) === undefined;
    // A fifo that nobody reads must not hold up the build.
    const flags = constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const fd = openSync(
      target,
      flags | (isNew ? constants.O_CREAT | constants.O_EXCL : constants.O_TRUNC),
      0o600,
    );
    try {
      for (let at = 0; at < data.length;) at += writeSync(fd, data, at);
      if (owner !== undefined) setOwner(target, owner.uid, owner.gid);
      if (isNew) fchmodSync(fd, mode & 0o777);
    } finally {
      closeSync(fd);
    }
    finish(target, undefined, timestampNs, setTimes);
  } catch (thrown) {
    throw fileFailure("write", path, thrown);
  }
}

/**
 * Makes a symlink; `target` is stored as it is. The place must be free; when a symlink is there, the place is where that
 * leads to, as in BuildKit.
 * @throws BakeError "file-operation"
 */
export async function symlinkAt({
  root,
  path,
  target,
  owner,
  timestampNs,
}: PlaceOptions & { readonly target: string }): Promise<void> {
  const setTimes = await loadSetTimes();
  try {
    using place = locate(root, path, { followLast: true });
    symlinkSync(target, entryOf(place));
    finish(entryOf(place), owner, timestampNs, setTimes);
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
  const matches = allowWildcard ? matchesIn(root, path) : [path];
  if (matches.length === 0 && !allowNotFound && !/[*?[]/.test(path)) throw missing(path);
  for (const match of matches) {
    if (cleanPath(match) === "")
      throw new BakeError("file-operation", `cannot remove "${path}": it is the root`);
    try {
      using place = locate(root, match, { followLast: false });
      const [name] = place.names;
      if (name === undefined)
        throw new BakeError("file-operation", `cannot remove "${path}": it is the root`);
      const gone = place.names.length > 1 || place.directory.stat(name) === undefined;
      if (gone && !allowNotFound) throw missing(path);
      if (!gone) removeEntry(place.directory, name);
    } catch (thrown) {
      throw fileFailure("remove", path, thrown);
    }
    await Promise.resolve();
  }
}

function matchesIn(root: string, path: string): readonly string[] {
  try {
    const view = createTreeView(root);
    return matchSources(view, path, { wildcard: true, followSymlink: false }).map(({ found }) => found);
  } catch (thrown) {
    throw fileFailure("remove", path, thrown);
  }
}

function missing(path: string): BakeError {
  return new BakeError("file-operation", `cannot remove "${path}": no such file or directory`);
}

/** An entry that is still there after so many tries is being filled by somebody. */
const MAX_TRIES = 1000;

/** Removes an entry with everything below it. Absence is success, a symlink is not followed. */
export function removeEntry(directory: Directory, name: string): void {
  for (let tries = 1; ; tries++) {
    try {
      if (directory.stat(name)?.isDirectory() === true) {
        emptyDirectory(directory, name);
        rmdirSync(directory.at(name));
      } else unlinkSync(directory.at(name));
      return;
    } catch (thrown) {
      const code = errnoOf(thrown);
      if (code === "ENOENT") return;
      // Others fill it, or make another thing of it, while it is removed.
      const again = code === "EISDIR" || code === "ENOTDIR" || code === "ELOOP" || code === "ENOTEMPTY";
      if (!again || tries >= MAX_TRIES) throw thrown;
    }
  }
}

function emptyDirectory(directory: Directory, name: string): void {
  using inner = directory.enter(name);
  for (const child of readdirSync(inner.at(""))) removeEntry(inner, child);
}

/** Of directories that are made. */
interface DirectoryDetails {
  readonly mode: number;
  readonly owner: Owner | undefined;
}

/** Opens the directory at a place, making it and its missing parents, all alike; the trail knows which. */
function openMaking(place: Place, trail: DirectoryTrail, details: DirectoryDetails): Directory {
  return trail.enter(place.directory, place.names, path => makeDirectory(path, details));
}

function makeDirectory(path: string, { mode, owner }: DirectoryDetails): void {
  mkdirSync(path, { mode });
  chmodEntry(path, mode);
  if (owner !== undefined) setOwner(path, owner.uid, owner.gid);
}

/** Sets the times of what was made, innermost first: making a child touches its parent. */
function setTimesOf({ made }: DirectoryTrail, timestampNs: bigint | undefined, setTimes: SetTimes): void {
  if (timestampNs === undefined) return;
  for (const { parent, name } of made.toReversed()) setTimes(parent.at(name), timestampNs, timestampNs);
}

/** The path of the entry at a place whose parent is there. */
function entryOf({ directory, names }: Place): string {
  const [name = "", ...below] = names;
  // Nothing may be named through what is no open directory: it could become a symlink.
  if (below.length > 0) {
    const code = directory.stat(name) === undefined ? "ENOENT" : "ENOTDIR";
    throw Object.assign(new Error(`"${name}" is not a directory`), { code });
  }
  return directory.at(name);
}

function finish(
  path: string,
  owner: Owner | undefined,
  timestampNs: bigint | undefined,
  setTimes: SetTimes,
): void {
  if (owner !== undefined) setOwner(path, owner.uid, owner.gid);
  if (timestampNs !== undefined) setTimes(path, timestampNs, timestampNs);
}
