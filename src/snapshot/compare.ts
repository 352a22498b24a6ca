// What one tree changes over another, in the form a layer has: removals are told one by one, for a directory that hides
// all that was below it must not hide what it never knew when the layer is laid over something else (OCI image spec,
// layer.md: explicit whiteouts). An entry that was touched but is as it was counts as unchanged.
import {
  type BigIntStats,
  closeSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
} from "node:fs";
import type { Libc } from "../content/libc.ts";
import { compareTreePaths } from "../layer/pack.ts";
import { createSlicer, type Slicer } from "../layer/slice.ts";
import { isPortableXattr } from "../layer/xattr.ts";
import type { Change } from "./snapshotter.ts";

const COMPARE_BYTES = 128 * 1024;
const OPAQUE = ["trusted.overlay.opaque", "user.overlay.opaque"] as const;

export interface Comparison {
  readonly libc: Libc;
  readonly upper: string;
  /** The whole lower tree; undefined is an empty one. */
  readonly lower: string | undefined;
  /**
   * `tree`: the upper side is a whole tree. `layer`: it is the upper directory of an overlay, which lacks what it did
   * not change and says what it removed (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories").
   */
  readonly form: "tree" | "layer";
  /** Nanoseconds: an upper inode with an older ctime is a copy of the lower one that nobody touched. */
  readonly untouchedBefore?: bigint;
}

/** Sorted by path component (bytes of UTF-8), parents before children. */
export async function compareTrees(comparison: Comparison): Promise<readonly Change[]> {
  const { lower, form } = comparison;
  const work: Work = { ...comparison, slicer: createSlicer(), changes: [], changed: new Set(), same: [] };
  await compareFolder(work, { path: "", inLower: lower !== undefined, complete: form === "tree" });
  const linked = linkedAnew(work);
  if (linked.length === 0) return work.changes;
  const upserts = linked.map(({ path }): Change => ({ kind: "upsert", path }));
  return [...work.changes, ...upserts].sort((a, b) => compareTreePaths(a.path, b.path));
}

/**
 * The names that are as they were but for what they are names of. A new name of a file that was there can only be told
 * as a link with the old name beside it; and files that became one file, or one that became several, are what steps
 * see, whatever else is as it was.
 */
function linkedAnew({ same, changed }: Work): readonly LinkedName[] {
  const joined = divided(same, ({ inode, former }) => [inode, former]);
  const parted = divided(same, ({ inode, former }) => [former, inode]);
  return same.filter(({ inode, former }) => changed.has(inode) || joined.has(inode) || parted.has(former));
}

/** The keys that have more than one value. */
function divided(
  names: readonly LinkedName[],
  pairOf: (name: LinkedName) => readonly [key: string, value: string],
): ReadonlySet<string> {
  const first = new Map<string, string>();
  const found = new Set<string>();
  for (const [key, value] of names.map(pairOf)) {
    const before = first.get(key);
    if (before === undefined) first.set(key, value);
    else if (before !== value) found.add(key);
  }
  return found;
}

interface Work extends Comparison {
  readonly slicer: Slicer;
  readonly changes: Change[];
  /** Inodes, of files with several names, among the changes; and the names of such files, now or before, that did not change. */
  readonly changed: Set<string>;
  readonly same: LinkedName[];
}

/** What a path is a name of, in the upper and in the lower tree. */
interface LinkedName {
  readonly path: string;
  readonly inode: string;
  readonly former: string;
}

interface Folder {
  readonly path: string;
  /** Whether the lower side has a directory there. */
  readonly inLower: boolean;
  /** Whether what the upper side lacks is gone. */
  readonly complete: boolean;
}

async function compareFolder(work: Work, { path: folder, inLower, complete }: Folder): Promise<void> {
  const { upper, changes, libc } = work;
  const lower = inLower ? work.lower : undefined;
  const names = new Set(readdirSync(join(upper, folder)));
  const before = complete && lower !== undefined ? readdirSync(join(lower, folder)) : [];
  for (const name of [...new Set([...names, ...before])].sort(compareBytes)) {
    const paused = work.slicer.pause();
    if (paused !== undefined) await paused;
    const path = join(folder, name);
    const stats = names.has(name) ? lstatSync(join(upper, path), { bigint: true }) : undefined;
    const former =
      lower === undefined ? undefined : lstatSync(join(lower, path), { bigint: true, throwIfNoEntry: false });
    if (stats === undefined || (work.form === "layer" && stats.isCharacterDevice() && stats.rdev === 0n)) {
      if (former !== undefined) changes.push({ kind: "delete", path });
      continue;
    }
    const isChange = former === undefined || lower === undefined || differs(work, path, stats, lower, former);
    if (isChange) changes.push({ kind: "upsert", path });
    if (!stats.isDirectory()) {
      if (isChange && stats.nlink > 1n) work.changed.add(inodeOf(stats));
      else if (!isChange && (stats.nlink > 1n || former.nlink > 1n))
        work.same.push({ path, inode: inodeOf(stats), former: inodeOf(former) });
      continue;
    }
    await compareFolder(work, {
      path,
      inLower: former?.isDirectory() === true,
      complete: complete || OPAQUE.some(name => libc.getXattr(join(upper, path), name)?.toString() === "y"),
    });
  }
}

function inodeOf({ dev, ino }: BigIntStats): string {
  return `${dev}:${ino}`;
}

/** A directory's time is not compared: it changes with what is in it. */
function differs(
  { libc, upper, untouchedBefore }: Work,
  path: string,
  current: BigIntStats,
  lower: string,
  former: BigIntStats,
): boolean {
  if (current.mode !== former.mode || current.uid !== former.uid || current.gid !== former.gid) return true;
  if (untouchedBefore !== undefined && current.ctimeNs < untouchedBefore) return false;
  if (current.rdev !== former.rdev) return true;
  const [now, then] = [join(upper, path), join(lower, path)];
  if (!sameAttributes(libc, now, then)) return true;
  if (current.isDirectory()) return false;
  if (current.mtimeNs !== former.mtimeNs || current.size !== former.size) return true;
  if (current.isSymbolicLink()) return readlinkSync(now) !== readlinkSync(then);
  return current.isFile() && !sameBytes(now, then);
}

function sameAttributes(libc: Libc, a: string, b: string): boolean {
  const names = (path: string): readonly string[] => libc.listXattr(path).filter(isPortableXattr).sort();
  const [one, other] = [names(a), names(b)];
  return (
    one.join("\0") === other.join("\0") &&
    one.every(name => Buffer.compare(valueOf(libc, a, name), valueOf(libc, b, name)) === 0)
  );
}

function valueOf(libc: Libc, path: string, name: string): Buffer {
  return libc.getXattr(path, name) ?? Buffer.alloc(0);
}

function sameBytes(a: string, b: string): boolean {
  const left = openSync(a, "r");
  try {
    const right = openSync(b, "r");
    try {
      const [one, two] = [Buffer.alloc(COMPARE_BYTES), Buffer.alloc(COMPARE_BYTES)];
      for (;;) {
        const read = readSync(left, one, 0, COMPARE_BYTES, null);
        if (read !== readSync(right, two, 0, COMPARE_BYTES, null)) return false;
        if (one.compare(two, 0, read, 0, read) !== 0) return false;
        if (read === 0) return true;
      }
    } finally {
      closeSync(right);
    }
  } finally {
    closeSync(left);
  }
}

function join(folder: string, name: string): string {
  return folder === "" ? name : name === "" ? folder : `${folder}/${name}`;
}

/** The order of names is that of their UTF-8 bytes, the same on every machine. */
function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
