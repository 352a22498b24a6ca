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
  // A new name of a file that was there: only with the old name beside it can it be told as a link.
  const linked = work.same.filter(({ inode }) => work.changed.has(inode));
  if (linked.length === 0) return work.changes;
  const upserts = linked.map(({ path }): Change => ({ kind: "upsert", path }));
  return [...work.changes, ...upserts].sort((a, b) => compareTreePaths(a.path, b.path));
}

interface Work extends Comparison {
  readonly slicer: Slicer;
  readonly changes: Change[];
  /** Inodes, of files with several names, among the changes; and the names of such files that did not change. */
  readonly changed: Set<string>;
  readonly same: { readonly path: string; readonly inode: string }[];
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
    if (stats.nlink > 1n && !stats.isDirectory()) {
      const inode = `${stats.dev}:${stats.ino}`;
      if (isChange) work.changed.add(inode);
      else work.same.push({ path, inode });
    }
    if (!stats.isDirectory()) continue;
    await compareFolder(work, {
      path,
      inLower: former?.isDirectory() === true,
      complete: complete || OPAQUE.some(name => libc.getXattr(join(upper, path), name)?.toString() === "y"),
    });
  }
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
export function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
