// Lays changes down as the upper directory of an overlay. Files are shared with where they come from by link(2), since
// neither side is ever written to; what cannot be linked is copied.
import {
  chmodSync,
  constants,
  copyFileSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readlinkSync,
  type BigIntStats,
  symlinkSync,
} from "node:fs";
import { type Libc, SystemError } from "../content/libc.ts";
import { createSlicer } from "../layer/slice.ts";
import { loadSetTimes, type SetTimes } from "../layer/times.ts";
import { isPortableXattr } from "../layer/xattr.ts";
import type { Change } from "./snapshotter.ts";

export interface LayOptions {
  readonly libc: Libc;
  /** Where the content of upserts is seen. */
  readonly source: string;
  /** The same file where it can be linked from: a mount is another file system than what it shows. */
  readonly origin: (path: string) => string;
  readonly changes: readonly Change[];
  /** The empty upper directory, and the tree it will lie over. */
  readonly target: string;
  readonly base: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** @returns the changes as laid, with the directories above each of them. */
export async function layChanges(options: LayOptions): Promise<readonly Change[]> {
  const layer = new Layer(options, await loadSetTimes());
  const slicer = createSlicer(options.signal);
  for (const change of options.changes) {
    const paused = slicer.pause();
    if (paused !== undefined) await paused;
    layer.add(change);
  }
  layer.finish();
  return layer.laid;
}

/** Answers to link(2) that a copy helps against: other file system, too many names, files of others. */
const COPIED_INSTEAD = new Set(["EXDEV", "EMLINK", "EPERM", "EACCES"]);
const WHITEOUT_MODE = 0o020000;
const FORMAT_BITS = 0o170000n;

class Layer {
  readonly laid: Change[] = [];
  readonly #options: LayOptions;
  readonly #setTimes: SetTimes;
  readonly #directories = new Map<string, BigIntStats>();
  /** First copies of files with several names, by inode. */
  readonly #copies = new Map<string, string>();

  constructor(options: LayOptions, setTimes: SetTimes) {
    this.#options = options;
    this.#setTimes = setTimes;
  }

  add({ kind, path }: Change): void {
    const { source, target, base, libc } = this.#options;
    const hasParent = this.#addParents(path);
    if (kind === "delete") {
      this.laid.push({ kind, path });
      if (hasParent && base !== undefined && entryBelow(base, path) !== undefined)
        libc.mknod(`${target}/${path}`, WHITEOUT_MODE, 0);
      return;
    }
    const stats = lstatSync(`${source}/${path}`, { bigint: true });
    if (stats.isDirectory()) return this.#addDirectory(path, stats);
    this.laid.push({ kind, path });
    this.#place(path, stats);
  }

  /** Their times come last: what is made in them would change them. */
  finish(): void {
    for (const [path, { atimeNs, mtimeNs }] of [...this.#directories].reverse())
      this.#setTimes(`${this.#options.target}/${path}`, atimeNs, mtimeNs);
  }

  /** Whether there is a place for `path`: what holds only removals may itself be gone. */
  #addParents(path: string): boolean {
    for (let slash = path.indexOf("/"); slash >= 0; slash = path.indexOf("/", slash + 1)) {
      const directory = path.slice(0, slash);
      if (this.#directories.has(directory)) continue;
      const stats = entryBelow(this.#options.source, directory);
      if (stats?.isDirectory() !== true) return false;
      this.#addDirectory(directory, stats);
    }
    return true;
  }

  #addDirectory(path: string, stats: BigIntStats): void {
    if (this.#directories.has(path)) return;
    const target = `${this.#options.target}/${path}`;
    mkdirSync(target, 0o700);
    this.#describe(path, target, stats);
    this.#directories.set(path, stats);
    this.laid.push({ kind: "upsert", path });
  }

  #place(path: string, stats: BigIntStats): void {
    const { source, target: root, origin } = this.#options;
    const target = `${root}/${path}`;
    // A fifo that two trees share would be a way between them.
    if (!stats.isFIFO() && !stats.isSocket() && linked(origin(path), target)) return;
    const inode = `${stats.dev}:${stats.ino}`;
    const first = stats.nlink > 1n ? this.#copies.get(inode) : undefined;
    if (first !== undefined && linked(first, target)) return;
    this.#copies.set(inode, target);
    if (stats.isSymbolicLink()) symlinkSync(readlinkSync(`${source}/${path}`), target);
    else if (stats.isFile())
      copyFileSync(`${source}/${path}`, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    else this.#options.libc.mknod(target, Number(stats.mode & FORMAT_BITS) | 0o600, Number(stats.rdev));
    this.#describe(path, target, stats);
    this.#setTimes(target, stats.atimeNs, stats.mtimeNs);
  }

  #describe(path: string, target: string, { uid, gid, mode }: BigIntStats): void {
    const { libc, source } = this.#options;
    if (process.geteuid?.() === 0) lchownSync(target, Number(uid), Number(gid));
    // After the owner, because changing that drops the setuid bit and capabilities.
    if ((mode & FORMAT_BITS) !== 0o120000n) chmodSync(target, Number(mode & 0o7777n));
    for (const name of libc.listXattr(`${source}/${path}`)) {
      const value = isPortableXattr(name) ? libc.getXattr(`${source}/${path}`, name) : undefined;
      if (value !== undefined) setWherePossible(libc, target, name, value);
    }
  }
}

/** Some file systems and users cannot have some attributes; a lack of space is a failure. */
function setWherePossible(libc: Libc, path: string, name: string, value: Uint8Array): void {
  try {
    libc.setXattr(path, name, value);
  } catch (thrown) {
    if (!(thrown instanceof SystemError) || thrown.code === "ENOSPC" || thrown.code === "EDQUOT")
      throw thrown;
  }
}

function linked(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (thrown) {
    if (thrown instanceof Error && "code" in thrown && COPIED_INSTEAD.has(String(thrown.code))) return false;
    throw thrown;
  }
}

/** What a tree has at a path, none of whose parents may be a symlink. */
function entryBelow(root: string, path: string): BigIntStats | undefined {
  for (let slash = path.indexOf("/"); slash >= 0; slash = path.indexOf("/", slash + 1)) {
    const above = lstatSync(`${root}/${path.slice(0, slash)}`, { bigint: true, throwIfNoEntry: false });
    if (above?.isDirectory() !== true) return undefined;
  }
  return lstatSync(`${root}/${path}`, { bigint: true, throwIfNoEntry: false });
}
