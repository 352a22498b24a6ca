// What a copy has to make when an earlier one of the same name stays in place below it: the entries that changed, the
// directories that hold them, and marks for what is gone. Laid over the earlier copy this shows what a copy of everything
// would have made.
import type { StatTable } from "./stattable.ts";
import type { WalkList } from "./walklist.ts";

export interface Revision {
  /** By place in the list. */
  readonly isWanted: Uint8Array;
  /** Paths from the destination's root that are to be hidden; nothing is there, and their directories are made. */
  readonly gone: readonly string[];
}

export interface RevisionRequest {
  readonly list: WalkList;
  /** Where the list's first entry, a directory, is copied to, from the destination's root. */
  readonly place: string;
  /** What the earlier copy made, from the destination's root, and from what. */
  readonly earlier: StatTable;
  /** Directories made by this copy on the way. */
  readonly made: readonly string[];
}

/** So many entries, and a part of the rest, are made again in each revision before the earlier copy is given up. */
const SMALL_COUNT = 8;
const SMALL_BYTES = 1024 * 1024;
const PART = 16;

/** Undefined when so much changed that copying everything pays, or it cannot be said what is gone. */
export function planRevision({ list, place, earlier, made }: RevisionRequest): Revision | undefined {
  const { length } = list;
  const isWanted = new Uint8Array(length);
  const isThere = new Uint8Array(earlier.size);
  const note = (path: string): number | undefined => {
    const at = earlier.placeOf(path);
    if (at !== undefined) isThere[at] = 1;
    return at;
  };
  for (const path of made) note(path);

  /** Places of the directories above the present entry. */
  const above: number[] = [];
  const names: string[] = [];
  /** The place of each directory that was seen, by its path from the destination's root. */
  const folders = new Map<string, number>();
  /** Of each entry, that of its directory. */
  const parents = new Int32Array(length).fill(-1);
  const linked = new Map<string, number[]>();
  let totalBytes = 0;
  for (let at = 0; at < length; at++) {
    const { path, kind, stats, matched } = list.entry(at);
    while (names.length > 0 && !isBelow(path, names.at(-1) ?? "")) {
      names.pop();
      above.pop();
    }
    parents[at] = above.at(-1) ?? -1;
    const target = path === "" ? place : place === "" ? path : `${place}/${path}`;
    const known = note(target);
    if (known === undefined || !matched || !earlier.isSame(known, stats)) isWanted[at] = 1;
    if (kind === "directory") {
      above.push(at);
      names.push(path);
      folders.set(target, at);
      continue;
    }
    totalBytes += Number(stats.size);
    if (stats.nlink < 2n) continue;
    const inode = `${stats.dev}:${stats.ino}`;
    const others = linked.get(inode);
    if (others === undefined) linked.set(inode, [at]);
    else others.push(at);
  }
  // Names of one file are made together, or not at all.
  for (const group of linked.values())
    if (group.some(at => isWanted[at] === 1)) for (const at of group) isWanted[at] = 1;

  const absent = new Set<string>();
  const gone: string[] = [];
  for (const [at, path] of earlier.paths.entries()) {
    if (isThere[at] === 1) continue;
    absent.add(path);
    const parent = path.slice(0, Math.max(0, path.lastIndexOf("/")));
    // With the directory goes what is in it.
    if (absent.has(parent)) continue;
    const folder = folders.get(parent);
    if (folder !== undefined) {
      isWanted[folder] = 1;
      gone.push(path);
      continue;
    }
    // The directory is something else now, which hides it; what is in any other is none of this copy's.
    if (made.includes(parent) || earlier.placeOf(parent) === undefined) return undefined;
  }
  if (length > 0) isWanted[0] = 1;

  let wanted = 0;
  let wantedBytes = 0;
  // From the last to the first, a directory comes after all that is in it.
  for (let at = length - 1; at >= 0; at--) {
    if (isWanted[at] !== 1) continue;
    const parent = parents[at] ?? -1;
    if (parent >= 0) isWanted[parent] = 1;
    wanted++;
    const { kind, stats } = list.entry(at);
    if (kind === "file") wantedBytes += Number(stats.size);
  }
  if (wanted + gone.length > SMALL_COUNT + length / PART) return undefined;
  if (wantedBytes > SMALL_BYTES + totalBytes / PART) return undefined;
  return { isWanted, gone };
}

function isBelow(path: string, directory: string): boolean {
  return directory === "" ? path !== "" : path.startsWith(`${directory}/`);
}
