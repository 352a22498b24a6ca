// Copies of single files: by link to an earlier copy of the same state of the source, by reflink where the file system
// has them, else byte by byte, small ones at once and large ones several at a time off the main thread.
import {
  closeSync,
  constants,
  copyFileSync,
  fchmodSync,
  fstatSync,
  linkSync,
  openSync,
  readlinkSync,
  realpathSync,
  readSync,
  writeSync,
} from "node:fs";
import { copyFile } from "node:fs/promises";
import { errnoOf } from "./errno.ts";
import type { Slicer } from "./slice.ts";
import { type CopySparse, isSparse } from "./sparse.ts";
import { isRacy, isSameFile, type StatTable, UNKNOWN_STATE } from "./stattable.ts";
import type { EntryStats } from "./walk.ts";

/** Lets a copy share files with an earlier one that was made with the same options and never changes any more. */
export interface CopySharing {
  readonly earlier:
    | {
        /** The root of the earlier destination, on the same file system. */
        readonly root: string;
        /** The states of the sources that its files were copied from, by path from the root. */
        readonly sources: StatTable;
        /** Whether the copy may leave it in place, and make only what is to be laid over it. */
        readonly mayStay: boolean;
      }
    | undefined;
  /** Receives the same of this copy, unless that only adds to the earlier one. */
  readonly sources: StatTable;
}

export interface SourceFile {
  readonly absolute: string;
  /** As the walk saw it. */
  readonly stats: EntryStats;
}

/** Up to here a file is read and written at once. */
const SMALL_BYTES = 256n * 1024n;
/** As many as libuv has threads. */
const PARALLEL = 4;
/** POSIX stat(2) counts blocks of this size, whatever the file system's own. */
export const BLOCK_BYTES = 512;
const NO_VALUE = new Uint8Array(0);
/** Answers to link(2) that a copy helps against: it is gone, other file system, too many names, files of others. */
const COPIED_INSTEAD = new Set(["ENOENT", "EXDEV", "EMLINK", "EPERM", "EACCES", "ENOTDIR"]);
const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

export class FileCopier {
  /** Allocated on disk for the files made so far. */
  bytes = 0;
  readonly #root: string;
  readonly #realRoot: string;
  readonly #sharing: CopySharing | undefined;
  readonly #copySparse: CopySparse | undefined;
  readonly #slicer: Slicer;
  readonly #scratch = Buffer.allocUnsafe(Number(SMALL_BYTES) + 1);
  /** Whether files can be cloned from the source's to the destination's file system; found out with the first. */
  #clones: boolean | undefined;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  /** `root` is the source's. */
  constructor(
    root: string,
    sharing: CopySharing | undefined,
    copySparse: CopySparse | undefined,
    slicer: Slicer,
  ) {
    this.#root = root === "/" ? "" : root;
    this.#realRoot = root === "/" ? "" : realpathSync(root);
    this.#sharing = sharing;
    this.#copySparse = copySparse;
    this.#slicer = slicer;
  }

  /** Links the earlier copy of the source, owner, mode and times included; false when there is none. */
  link({ stats }: SourceFile, path: string, target: string): boolean {
    const earlier = this.#sharing?.earlier;
    if (earlier?.sources.get(path, stats) === undefined) return false;
    if (!linkOrNothing(`${earlier.root}/${path}`, target)) return false;
    this.#sharing?.sources.set(path, stats, NO_VALUE);
    return true;
  }

  /**
   * Makes a new file with the content and a mode; at once when it is small. `path` is the target from the destination's
   * root, `seenMs` when the walk saw the source. Fails with EEXIST when the place is taken.
   */
  copy(
    source: SourceFile,
    path: string,
    target: string,
    { mode, seenMs }: { readonly mode: number; readonly seenMs: number },
  ): Promise<void> | undefined {
    const { absolute, stats } = source;
    const from = openSync(absolute, READ);
    let pending: Promise<void> | undefined;
    try {
      const found = fstatSync(from, { bigint: true });
      if (!found.isFile())
        throw Object.assign(new Error("it became another kind of file"), { code: "ESTALE" });
      // A directory on the way may have become a symlink to elsewhere since it was read.
      if (readlinkSync(descriptorPath(from)) !== this.#realRoot + absolute.slice(this.#root.length))
        throw Object.assign(new Error("a directory above it was replaced while it was copied"), {
          code: "ESTALE",
        });
      // A change after this moves ctime, so that the state never counts as this one again.
      const isKnown = isSameFile(found, stats) && !isRacy(stats, seenMs);
      this.#sharing?.sources.set(path, isKnown ? stats : UNKNOWN_STATE, NO_VALUE);
      const isSmall = found.size <= SMALL_BYTES;
      if (this.#copySparse !== undefined && isSparse(found))
        pending = this.#sparse(from, target, mode, Number(found.size), this.#copySparse);
      else if (this.#clone(from, target)) this.#finish(target, mode);
      else if (!isSmall || !this.#small(from, target, mode)) pending = this.#large(from, target, mode);
      return pending;
    } finally {
      if (pending === undefined) closeSync(from);
    }
  }

  #clone(from: number, target: string): boolean {
    if (this.#clones === false) return false;
    try {
      copyFileSync(descriptorPath(from), target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE);
      this.#clones = true;
      return true;
    } catch (thrown) {
      if (errnoOf(thrown) === "EEXIST" || errnoOf(thrown) === "ENOSPC") throw thrown;
      this.#clones = false;
      return false;
    }
  }

  /** False when the file grew meanwhile; nothing is made then. */
  #small(from: number, target: string, mode: number): boolean {
    const scratch = this.#scratch;
    let length = 0;
    for (;;) {
      const read = readSync(from, scratch, length, scratch.length - length, length);
      length += read;
      if (read === 0) break;
      if (length === scratch.length) return false;
    }
    const to = openSync(target, CREATE, 0o600);
    try {
      for (let at = 0; at < length;) at += writeSync(to, scratch, at, length - at);
      fchmodSync(to, mode);
      this.bytes += fstatSync(to).blocks * BLOCK_BYTES;
    } finally {
      closeSync(to);
    }
    return true;
  }

  async #large(from: number, target: string, mode: number): Promise<void> {
    try {
      if (this.#running >= PARALLEL) await new Promise<void>(resolve => this.#waiting.push(resolve));
      this.#running++;
      try {
        await copyFile(descriptorPath(from), target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
        this.#finish(target, mode);
      } finally {
        this.#running--;
        this.#waiting.shift()?.();
      }
    } finally {
      closeSync(from);
    }
  }

  #finish(target: string, mode: number): void {
    const fd = openSync(target, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      fchmodSync(fd, mode);
      this.bytes += fstatSync(fd).blocks * BLOCK_BYTES;
    } finally {
      closeSync(fd);
    }
  }

  async #sparse(
    from: number,
    target: string,
    mode: number,
    size: number,
    copySparse: CopySparse,
  ): Promise<void> {
    try {
      const to = openSync(target, CREATE, 0o600);
      try {
        await copySparse(from, to, size, this.#slicer);
        fchmodSync(to, mode);
        this.bytes += fstatSync(to).blocks * BLOCK_BYTES;
      } finally {
        closeSync(to);
      }
    } finally {
      closeSync(from);
    }
  }
}

/** Makes another name of a file; false when it cannot have one, and a copy must do. */
export function linkOrNothing(first: string, target: string): boolean {
  try {
    linkSync(first, target);
    return true;
  } catch (thrown) {
    if (COPIED_INSTEAD.has(errnoOf(thrown) ?? "")) return false;
    throw thrown;
  }
}

function descriptorPath(fd: number): string {
  return `/proc/self/fd/${fd}`;
}
