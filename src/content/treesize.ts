// What a file tree takes on its disk, as du(1) counts it: allocated blocks, each file once however many names it has.
import { readdirSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { join } from "node:path";
import { lstatIfThere } from "../system/lstat.ts";
import { isCode } from "./root.ts";

/** POSIX stat(2) counts blocks of this size, whatever the file system's own. */
const BLOCK_BYTES = 512;
/** Calls that do not wait are ten times as quick as those that do; others get their turn after this long. */
const SLICE_MS = 4;

export interface TreeSize {
  readonly bytes: number;
  /** Some files have names outside the tree: they are counted in part, so that all who share them add up to the whole. */
  readonly isShared: boolean;
  /** With every file counted whole. */
  readonly wholeBytes: number;
}

/** Size in bytes of a file or folder with everything in it; what vanishes meanwhile counts as nothing. */
export async function treeSize(path: string, signal?: AbortSignal): Promise<number> {
  return (await measureTree(path, signal)).bytes;
}

/** As `treeSize`, and whether files are shared with other trees. Other file systems mounted inside are left out. */
export async function measureTree(path: string, signal?: AbortSignal): Promise<TreeSize> {
  const linked = new Map<number, { readonly bytes: number; readonly links: number; names: number }>();
  const top = lstatIfThere(path);
  if (top === undefined) return { bytes: 0, isShared: false, wholeBytes: 0 };
  let bytes = top.blocks * BLOCK_BYTES;
  const folders = top.isDirectory() ? [path] : [];
  let turnMs = Date.now();
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    signal?.throwIfAborted();
    for (const name of namesIfThere(folder)) {
      const found = lstatIfThere(join(folder, name));
      if (found === undefined || found.dev !== top.dev) continue;
      const size = found.blocks * BLOCK_BYTES;
      if (found.isDirectory()) folders.push(join(folder, name));
      else if (found.nlink > 1) {
        const known = linked.get(found.ino) ?? { bytes: size, links: found.nlink, names: 0 };
        known.names++;
        linked.set(found.ino, known);
        continue;
      }
      bytes += size;
    }
    if (Date.now() - turnMs < SLICE_MS) continue;
    await nextTurn();
    turnMs = Date.now();
  }
  let isShared = false;
  let wholeBytes = bytes;
  for (const file of linked.values()) {
    isShared ||= file.names < file.links;
    wholeBytes += file.bytes;
    bytes += (file.bytes * Math.min(file.names, file.links)) / file.links;
  }
  return { bytes: Math.round(bytes), isShared, wholeBytes };
}

function namesIfThere(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (thrown) {
    if (isCode(thrown, "ENOENT") || isCode(thrown, "ENOTDIR")) return [];
    throw thrown;
  }
}
