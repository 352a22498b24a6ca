// Copies files from one tree into another with the rules of LLB's copy action (BuildKit's solver/llbsolver/file and
// fsutil's copy): neither side's symlinks lead out of its root, directories merge, files replace.
import {
  chmodSync,
  constants,
  copyFileSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readlinkSync,
  rmSync,
  type Stats,
  symlinkSync,
  unlinkSync,
} from "node:fs";
import { copyFile } from "node:fs/promises";
import { BakeError } from "../diagnostic/error.ts";
import { applyLayer } from "./apply.ts";
import { errnoOf, fileFailure } from "./errno.ts";
import { makeDirectories, type Owner } from "./fileops.ts";
import { loadMakeNode, type MakeNode, S_IFBLK, S_IFCHR, S_IFIFO, splitDevice } from "./mknod.ts";
import { relativeToRoot, resolveInRoot, under } from "./rootpath.ts";
import { type ModeChange, parseModeChange } from "./modestring.ts";
import { createSlicer } from "./slice.ts";
import { expectVisible, matchSources } from "./sources.ts";
import { loadSetTimes, type SetTimes } from "./times.ts";
import { openArchive } from "./unpack.ts";
import { compileRules, createTreeView, type RuleSet, type TreeFilter, type TreeView } from "./view.ts";
import { walkTree, type WalkEntry } from "./walk.ts";
import { isPortableXattr, loadXattrs, type Xattrs } from "./xattr.ts";

export interface CopyOptions {
  /** Absolute, without symlinks; so is `destRoot`. */
  readonly srcRoot: string;
  /** From the source's root, a pattern when `allowWildcard`. */
  readonly src: string;
  readonly destRoot: string;
  /** From the destination's root; a slash at the end means "into this directory". */
  readonly dest: string;
  /** Of everything copied and made; default is the owner of the source. */
  readonly owner?: Owner | undefined;
  /** Permission bits of everything copied and made; default is the mode of the source. */
  readonly mode?: number | undefined;
  /** The same as a symbolic change (`u+x`) of the source's mode; goes before `mode`. */
  readonly modeStr?: string | undefined;
  /** Whether a symlink named as the source is followed (inside its root). */
  readonly followSymlink: boolean;
  /** Whether a directory's content is copied, not the directory itself. */
  readonly dirCopyContents: boolean;
  /** Whether missing directories above the destination are made. */
  readonly createDestPath: boolean;
  readonly allowWildcard: boolean;
  readonly allowEmptyWildcard: boolean;
  /** Filters on what is below a source directory, relative to it. */
  readonly includePatterns?: readonly string[] | undefined;
  readonly excludePatterns?: readonly string[] | undefined;
  /** Literal paths from the source's root that must exist although only patterns select them (COPY --parents). */
  readonly requiredPaths?: readonly string[] | undefined;
  /** Time of everything copied and made, nanoseconds since the epoch; default is the time of the source. */
  readonly timestampNs?: bigint | undefined;
  /** Whether source files that are archives are extracted into the destination instead (ADD). */
  readonly attemptUnpack?: boolean;
  /** Whether what is in the way is removed although it is of another kind. */
  readonly alwaysReplace?: boolean;
  /** What of the source tree is visible at all. */
  readonly filter?: TreeFilter | undefined;
  /** Sources count as owned by 0:0: for users' directories. */
  readonly resetOwner?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Directories made on the way get this mode, as upstream. */
const DIRECTORY_MODE = 0o755;
/** Larger files are copied off the main thread. */
const SYNC_COPY_BYTES = 1024n * 1024n;

/**
 * Copies one source, or all that a wildcard matches, to a destination.
 * @throws BakeError "file-operation" naming the path: a missing source, a directory in the way of a file, …
 */
export async function copyInto(options: CopyOptions): Promise<void> {
  const view = createTreeView(options.srcRoot, options.filter);
  const matches = matchSources(view, options.src, {
    wildcard: options.allowWildcard,
    followSymlink: options.followSymlink,
  });
  if (matches.length === 0) {
    if (options.allowWildcard && options.allowEmptyWildcard && /[*?[]/.test(options.src)) return;
    throw new BakeError("file-operation", `cannot copy "${options.src}": it does not exist`);
  }
  expectVisible(view, options.requiredPaths);
  if (!options.createDestPath) expectParent(options);
  const copier = new Copier(options, view, await loadXattrs(), await loadMakeNode(), await loadSetTimes());
  for (const match of matches) {
    if (options.attemptUnpack === true && (await copier.unpack(match.named, match.found))) continue;
    await copier.copy(match.named, match.found);
  }
}

function expectParent({ destRoot, dest }: CopyOptions): void {
  const target = resolveInRoot(destRoot, dest, { followLast: true });
  const parent = target === destRoot ? destRoot : target.slice(0, target.lastIndexOf("/"));
  if (statOrUndefined(parent) === undefined) {
    throw new BakeError(
      "file-operation",
      `cannot copy to "${dest}": the directory it should be in does not exist`,
    );
  }
}

/** A directory that is being filled: its own metadata is set once that is done. */
interface OpenDirectory {
  readonly entry: WalkEntry;
  readonly target: string;
  readonly describe: "all" | "times" | "nothing";
}

class Copier {
  readonly #options: CopyOptions;
  readonly #view: TreeView;
  readonly #rules: RuleSet;
  readonly #xattrs: Xattrs;
  readonly #makeNode: MakeNode;
  readonly #setTimes: SetTimes;
  readonly #mode: ModeChange | undefined;
  /** Where the first name of a file with several names went, by device and inode. */
  readonly #links = new Map<string, string>();

  constructor(options: CopyOptions, view: TreeView, xattrs: Xattrs, makeNode: MakeNode, setTimes: SetTimes) {
    this.#options = options;
    this.#view = view;
    this.#rules = compileRules(options.includePatterns, options.excludePatterns);
    this.#xattrs = xattrs;
    this.#makeNode = makeNode;
    this.#setTimes = setTimes;
    const { mode, modeStr } = options;
    this.#mode =
      modeStr !== undefined ? parseModeChange(modeStr) : mode !== undefined ? () => mode & 0o7777 : undefined;
  }

  /** Extracts a source that is an archive; false when it is something else. */
  async unpack(named: string, found: string): Promise<boolean> {
    const { destRoot, dest, owner, timestampNs, signal } = this.#options;
    const source = under(this.#view.root, found);
    if (!lstatSync(source).isFile()) return false;
    const archive = await openArchive(source, signal);
    if (archive === undefined) return false;
    try {
      const target = resolveInRoot(destRoot, dest, { followLast: true });
      makeDirectories(destRoot, target, { mode: DIRECTORY_MODE, owner, timestampNs }, this.#setTimes);
      await applyLayer(archive, target, { signal, owner, whiteouts: false });
      return true;
    } catch (thrown) {
      throw fileFailure(`extract "${named}" to`, dest, thrown);
    }
  }

  async copy(named: string, found: string): Promise<void> {
    const made: string[] = [];
    const target = this.#destination(named, found, made);
    const slicer = createSlicer(this.#options.signal);
    const open: OpenDirectory[] = [];
    for await (const entry of walkTree(this.#view, {
      signal: this.#options.signal,
      start: found,
      rules: this.#rules,
    })) {
      const paused = slicer.pause();
      if (paused !== undefined) await paused;
      for (
        let last = open.at(-1);
        last !== undefined && !isBelow(entry.path, last.entry.path);
        last = open.at(-1)
      ) {
        open.pop();
        this.#close(last);
      }
      const place = under(target, entry.path);
      const shown = [named, entry.path].filter(part => part !== "").join("/") || "/";
      try {
        if (entry.kind === "directory") open.push(this.#openDirectory(entry, place));
        else await this.#copyEntry(entry, place);
      } catch (thrown) {
        const where = relativeToRoot(this.#options.destRoot, place);
        throw errnoOf(thrown) === "ENOENT" && statOrUndefined(entry.absolute) === undefined
          ? new BakeError("file-operation", `cannot copy "${shown}": it vanished while it was copied`, {
              cause: thrown,
            })
          : fileFailure(`copy "${shown}" to`, `/${where}`, thrown, ownerHint(thrown));
      }
    }
    for (const last of open.toReversed()) this.#close(last);
    const { timestampNs } = this.#options;
    if (timestampNs !== undefined)
      for (const path of made.toReversed()) this.#setTimes(path, timestampNs, timestampNs);
  }

  /** The place of a source in the destination's tree; makes the directories above. */
  #destination(named: string, found: string, made: string[]): string {
    const { destRoot, dest, dirCopyContents, mode, owner } = this.#options;
    const details = { mode: mode ?? DIRECTORY_MODE, owner, timestampNs: undefined };
    try {
      const intoDirectory = /(?:^|\/)\.?$/.test(dest);
      const before = intoDirectory ? dest : dest.slice(0, dest.lastIndexOf("/") + 1);
      made.push(
        ...makeDirectories(
          destRoot,
          resolveInRoot(destRoot, before, { followLast: true }),
          details,
          this.#setTimes,
        ),
      );
      let target = resolveInRoot(destRoot, dest, { followLast: true });
      const source = lstatSync(under(this.#view.root, found));
      const existing = statOrUndefined(target);
      const isTree = source.isDirectory();
      const base = named.slice(named.lastIndexOf("/") + 1);
      if (isTree ? !dirCopyContents && existing !== undefined : existing?.isDirectory() === true)
        target = under(target, base);
      const needed =
        isTree && dirCopyContents && existing === undefined ? target : parentOf(target, destRoot);
      made.push(...makeDirectories(destRoot, needed, details, this.#setTimes));
      return target;
    } catch (thrown) {
      throw fileFailure(`copy "${named === "" ? "/" : named}" to`, dest, thrown);
    }
  }

  #openDirectory(entry: WalkEntry, target: string): OpenDirectory {
    let existing = lstatSync(target, { throwIfNoEntry: false });
    if (existing?.isDirectory() === false && this.#options.alwaysReplace === true && entry.matched) {
      unlinkSync(target);
      existing = undefined;
    }
    if (existing === undefined) {
      mkdirSync(target, 0o700);
      return { entry, target, describe: "all" };
    }
    if (!existing.isDirectory())
      throw Object.assign(new Error("a file is in the way of the directory"), { code: "" });
    if (!entry.matched) return { entry, target, describe: "nothing" };
    // The directory that receives the content of another keeps its owner and mode; those below it are overwritten.
    return { entry, target, describe: entry.path === "" ? "times" : "all" };
  }

  #close({ entry, target, describe }: OpenDirectory): void {
    if (describe === "nothing") return;
    try {
      if (describe === "all") this.#describe(entry, target);
      else this.#applyTimes(entry, target);
    } catch (thrown) {
      throw fileFailure("copy", relativeToRoot(this.#options.destRoot, target), thrown, ownerHint(thrown));
    }
  }

  async #copyEntry(entry: WalkEntry, target: string): Promise<void> {
    if (entry.kind === "socket") return;
    this.#clearPlace(target);
    const { stats } = entry;
    if (stats.nlink > 1n && entry.kind !== "symlink") {
      const inode = `${stats.dev}:${stats.ino}`;
      const first = this.#links.get(inode);
      if (first !== undefined && linkOrNothing(first, target)) return;
      this.#links.set(inode, target);
    }
    switch (entry.kind) {
      case "file": {
        const flags = constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE;
        if (stats.size > SYNC_COPY_BYTES) await copyFile(entry.absolute, target, flags);
        else copyFileSync(entry.absolute, target, flags);
        break;
      }
      case "symlink":
        symlinkSync(readlinkSync(entry.absolute), target);
        break;
      case "fifo":
      case "char":
      case "block": {
        const type = entry.kind === "fifo" ? S_IFIFO : entry.kind === "char" ? S_IFCHR : S_IFBLK;
        const { major, minor } = entry.kind === "fifo" ? { major: 0, minor: 0 } : splitDevice(stats.rdev);
        const failure = this.#makeNode(target, type | 0o600, major, minor);
        if (failure !== undefined)
          throw Object.assign(new Error(`mknod failed: ${failure}`), { code: failure });
        break;
      }
      case "directory":
        throw new Error("BUG: directories are copied elsewhere");
      default: {
        const never: never = entry.kind;
        return never;
      }
    }
    this.#describe(entry, target);
  }

  #clearPlace(target: string): void {
    const existing = lstatSync(target, { throwIfNoEntry: false });
    if (existing === undefined) return;
    if (!existing.isDirectory()) unlinkSync(target);
    else if (this.#options.alwaysReplace === true) rmSync(target, { recursive: true });
    else throw Object.assign(new Error("a directory is in the way of the file"), { code: "" });
  }

  #describe(entry: WalkEntry, target: string): void {
    const { stats, kind } = entry;
    const { owner, resetOwner } = this.#options;
    const oldMode = Number(stats.mode & 0o7777n);
    const uid = owner?.uid ?? (resetOwner === true ? 0 : Number(stats.uid));
    const gid = owner?.gid ?? (resetOwner === true ? 0 : Number(stats.gid));
    if (process.geteuid?.() === 0) lchownSync(target, uid, gid);
    // After the owner, because changing that drops the setuid bit and capabilities.
    if (kind !== "symlink") chmodSync(target, this.#mode?.(oldMode, kind === "directory") ?? oldMode);
    if (resetOwner !== true) {
      for (const { name, value } of this.#xattrs.read(entry.absolute, isPortableXattr))
        this.#xattrs.set(target, name, value);
    }
    this.#applyTimes(entry, target);
  }

  #applyTimes({ stats }: WalkEntry, target: string): void {
    const { timestampNs } = this.#options;
    this.#setTimes(target, timestampNs ?? stats.atimeNs, timestampNs ?? stats.mtimeNs);
  }
}

function linkOrNothing(first: string, target: string): boolean {
  try {
    linkSync(first, target);
    return true;
  } catch (thrown) {
    // The first copy was replaced since, or has as many links as the file system allows: copy once more.
    const code = errnoOf(thrown);
    if (code === "ENOENT" || code === "EMLINK" || code === "EPERM") return false;
    throw thrown;
  }
}

function isBelow(path: string, directory: string): boolean {
  return directory === "" ? path !== "" : path.startsWith(`${directory}/`);
}

function parentOf(target: string, root: string): string {
  return target === root ? root : target.slice(0, target.lastIndexOf("/")) || "/";
}

function statOrUndefined(absolute: string): Stats | undefined {
  try {
    return lstatSync(absolute, { throwIfNoEntry: false });
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOTDIR") return undefined;
    throw thrown;
  }
}

function ownerHint(thrown: unknown): string | undefined {
  return errnoOf(thrown) === "EINVAL"
    ? "its owner may lie outside this user's range in /etc/subuid and /etc/subgid"
    : undefined;
}
