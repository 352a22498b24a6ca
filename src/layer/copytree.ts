// Copies files from one tree into another with the rules of LLB's copy action (BuildKit's solver/llbsolver/file and
// fsutil's copy): neither side's symlinks lead out of its root, directories merge, files replace.
import { chmodSync, lstatSync, mkdirSync, readlinkSync, rmSync, symlinkSync, unlinkSync } from "node:fs";
import { BakeError } from "../diagnostic/error.ts";
import { applyLayer } from "./apply.ts";
import { CopiedMetadata, type MetadataOptions, type ParentDirectory } from "./copymetadata.ts";
import { Destination } from "./destination.ts";
import { errnoOf, fileFailure } from "./errno.ts";
import type { ListedMatch } from "./contenthash.ts";
import { BLOCK_BYTES, type CopySharing, FileCopier, linkOrNothing } from "./filecopy.ts";
import { lstatIfThere } from "../system/lstat.ts";
import { loadMakeNode, type MakeNode, S_IFBLK, S_IFCHR, S_IFIFO, splitDevice } from "./mknod.ts";
import { planRevision, type Revision } from "./revision.ts";
import { relativeToRoot, under } from "./rootpath.ts";
import { createSlicer, type Slicer } from "./slice.ts";
import { expectVisible, matchSources, type SourceMatch } from "./sources.ts";
import { loadCopySparse } from "./sparse.ts";
import { isRacy, UNKNOWN_STATE } from "./stattable.ts";
import { loadSetTimes, type SetTimes } from "./times.ts";
import { openArchive } from "./unpack.ts";
import { compileRules, createTreeView, type RuleSet, type TreeFilter, type TreeView } from "./view.ts";
import { walkTree, type WalkEntry } from "./walk.ts";
import { WalkList } from "./walklist.ts";
import { loadXattrs, type Xattrs } from "./xattr.ts";

export interface CopyOptions extends MetadataOptions {
  /** Absolute, without symlinks; so is `destRoot`. */
  readonly srcRoot: string;
  /** From the source's root, a pattern when `allowWildcard`. */
  readonly src: string;
  readonly destRoot: string;
  /** The tree that `destRoot` is the upper directory over, when it is one; not with `alwaysReplace` or `attemptUnpack`. */
  readonly destBelow?: string | undefined;
  /** What a walk over the one source gives, somewhere below `srcRoot`; default is a walk over the source there. */
  readonly walk?: Iterator<WalkEntry, void, void> | undefined;
  /** From the destination's root; a slash at the end means "into this directory". */
  readonly dest: string;
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
  /** Whether source files that are archives are extracted into the destination instead (ADD). */
  readonly attemptUnpack?: boolean;
  /** Whether what is in the way is removed although it is of another kind. */
  readonly alwaysReplace?: boolean;
  /** What of the source tree is visible at all. */
  readonly filter?: TreeFilter | undefined;
  readonly sharing?: CopySharing | undefined;
  /** What was seen at the source a moment ago, with the same filters: it is not walked again. Not with `attemptUnpack`. */
  readonly listed?: readonly ListedMatch[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Directories made on the way get this mode, as upstream. */
const DIRECTORY_MODE = 0o755;
/** So many copies of large files are begun before one must be done. */
const MAX_PENDING = 16;
const NO_VALUE = new Uint8Array(0);

export interface CopyResult {
  /** Allocated on disk for what was made, links left out; undefined when that is not known. */
  readonly bytes: number | undefined;
  /** Only what changed since the earlier copy of `sharing` was made, to be laid over that. */
  readonly isRevision: boolean;
}

/**
 * Copies one source, or all that a wildcard matches, to a destination.
 * @throws BakeError "file-operation" naming the path: a missing source, a directory in the way of a file, …
 */
export async function copyInto(options: CopyOptions): Promise<CopyResult> {
  const { listed, sharing, allowWildcard } = options;
  const view = createTreeView(options.srcRoot, options.filter);
  const matches: readonly (SourceMatch & Partial<ListedMatch>)[] =
    listed ??
    matchSources(view, options.src, { wildcard: allowWildcard, followSymlink: options.followSymlink });
  if (matches.length === 0) {
    if (allowWildcard && options.allowEmptyWildcard && /[*?[]/.test(options.src))
      return { bytes: 0, isRevision: false };
    throw new BakeError("file-operation", `cannot copy "${options.src}": it does not exist`);
  }
  if (listed === undefined) expectVisible(view, options.requiredPaths);
  const xattrs = await loadXattrs();
  const setTimes = await loadSetTimes();
  const destination = new Destination({ root: options.destRoot, below: options.destBelow }, xattrs, setTimes);
  if (!options.createDestPath) expectParent(destination, options.dest);
  const slicer = createSlicer(options.signal);
  const files = new FileCopier(view.root, sharing, await loadCopySparse(), slicer);
  const makeNode = await loadMakeNode();
  const copier = new Copier({ options, view, destination, files, slicer, xattrs, makeNode, setTimes });
  let isKnown = true;
  let isRevision = false;
  for (const match of matches) {
    if (options.attemptUnpack === true && (await copier.unpack(match.named, match.found))) isKnown = false;
    else isRevision = await copier.copy(match, { mayRevise: matches.length === 1 });
  }
  return { bytes: isKnown ? copier.directoryBytes + files.bytes : undefined, isRevision };
}

function expectParent(destination: Destination, dest: string): void {
  const target = destination.resolve(dest);
  if (destination.lstat(parentOf(target, destination.root)) === undefined) {
    throw new BakeError(
      "file-operation",
      `cannot copy to "${dest}": the directory it should be in does not exist`,
    );
  }
}

/** A directory that was filled: its own metadata is set when nothing is made in it any more. */
interface OpenDirectory extends ParentDirectory {
  readonly entry: WalkEntry;
  readonly target: string;
  readonly describe: "all" | "times" | "mode";
  /** Made by this copy: nothing is in it but what this copy put there. */
  readonly isNew: boolean;
}

interface CopierParts {
  readonly options: CopyOptions;
  readonly view: TreeView;
  readonly destination: Destination;
  readonly files: FileCopier;
  readonly slicer: Slicer;
  readonly xattrs: Xattrs;
  readonly makeNode: MakeNode;
  readonly setTimes: SetTimes;
}

class Copier {
  /** Allocated for the directories made. */
  directoryBytes = 0;
  readonly #options: CopyOptions;
  readonly #view: TreeView;
  readonly #destination: Destination;
  readonly #files: FileCopier;
  readonly #slicer: Slicer;
  readonly #rules: RuleSet;
  readonly #metadata: CopiedMetadata;
  readonly #makeNode: MakeNode;
  readonly #setTimes: SetTimes;
  /** When entries were looked at, in milliseconds since the epoch; undefined for just now. */
  #seenMs: number | undefined;
  /** Where a file with several names was copied to first, and from where; by device and inode. */
  readonly #links = new Map<string, { readonly target: string; readonly source: string }>();

  constructor(parts: CopierParts) {
    const { options } = parts;
    this.#options = options;
    this.#view = parts.view;
    this.#destination = parts.destination;
    this.#files = parts.files;
    this.#slicer = parts.slicer;
    this.#rules = compileRules(options.includePatterns, options.excludePatterns);
    this.#metadata = new CopiedMetadata(options, parts);
    this.#makeNode = parts.makeNode;
    this.#setTimes = parts.setTimes;
  }

  /** Extracts a source that is an archive; false when it is something else. */
  async unpack(named: string, found: string): Promise<boolean> {
    const { dest, owner, timestampNs, signal } = this.#options;
    const source = under(this.#view.root, found);
    if (!lstatSync(source).isFile()) return false;
    const archive = await openArchive(source, signal);
    if (archive === undefined) return false;
    try {
      const target = this.#destination.resolve(dest);
      const made = this.#destination.makeDirectories(target, { mode: DIRECTORY_MODE, owner });
      if (timestampNs !== undefined)
        for (const path of made.toReversed()) this.#setTimes(path, timestampNs, timestampNs);
      await applyLayer(archive, target, { signal, owner, whiteouts: false });
      return true;
    } catch (thrown) {
      throw fileFailure(`extract "${named}" to`, dest, thrown);
    }
  }

  /** Gives whether only a revision of the earlier copy was made. */
  async copy(
    { named, found, entries }: SourceMatch & Partial<ListedMatch>,
    { mayRevise }: { readonly mayRevise: boolean },
  ): Promise<boolean> {
    const made: string[] = [];
    const target = this.#place(named, found, made);
    const { sharing, timestampNs } = this.#options;
    const seeksRevision = mayRevise && sharing?.earlier?.mayStay === true;
    const list = entries ?? (seeksRevision ? await this.#list(found) : undefined);
    const revision = seeksRevision && list !== undefined ? this.#plan(list, target, made) : undefined;
    const walk =
      list === undefined
        ? (this.#options.walk ??
          walkTree(this.#view, { signal: this.#options.signal, start: found, rules: this.#rules }))
        : listedEntries(list, revision);
    this.#seenMs = list?.startedMs;
    if (revision === undefined)
      for (const path of made)
        sharing?.sources.set(relativeToRoot(this.#options.destRoot, path), UNKNOWN_STATE, NO_VALUE);
    const opened: OpenDirectory[] = [];
    /** Those that hold the present entry. */
    const stack: OpenDirectory[] = [];
    const pending = new Set<Promise<void>>();
    const failed: unknown[] = [];
    try {
      // What is listed comes at once: to wait for each of very many entries would take longer than copying them.
      for (let next = walk.next(); ; next = walk.next()) {
        const { value: entry, done } = next instanceof Promise ? await next : next;
        if (done === true) break;
        const paused = this.#slicer.pause();
        if (paused !== undefined) await paused;
        if (failed.length > 0) break;
        for (let last = stack.at(-1); last !== undefined; last = stack.at(-1)) {
          if (isBelow(entry.path, last.entry.path)) break;
          stack.pop();
        }
        const place = under(target, entry.path);
        const explain = (thrown: unknown): unknown => this.#failure(named, entry, place, thrown);
        try {
          const parent = stack.at(-1);
          if (entry.kind === "directory") {
            const directory = this.#openDirectory(entry, place, parent);
            this.#noteSource(entry, place);
            opened.push(directory);
            stack.push(directory);
            continue;
          }
          const later = this.#copyEntry(entry, place, parent);
          if (later === undefined) continue;
          const settled = later
            .catch((thrown: unknown) => {
              failed.push(explain(thrown));
            })
            .finally(() => pending.delete(settled));
          pending.add(settled);
          if (pending.size >= MAX_PENDING) await Promise.race(pending);
        } catch (thrown) {
          throw explain(thrown);
        }
      }
    } finally {
      await Promise.all(pending);
    }
    if (failed.length > 0) throw failed[0];
    for (const path of revision?.gone ?? []) this.#hide(under(this.#options.destRoot, path));
    for (const last of opened.reverse()) this.#close(last);
    if (timestampNs !== undefined)
      for (const path of made.toReversed()) this.#setTimes(path, timestampNs, timestampNs);
    return revision !== undefined;
  }

  async #list(found: string): Promise<WalkList> {
    const list = new WalkList(under(this.#view.root, found), Date.now());
    for await (const entry of walkTree(this.#view, {
      signal: this.#options.signal,
      start: found,
      rules: this.#rules,
    }))
      if (entry.kind !== "socket") list.add(entry);
    return list;
  }

  #plan(list: WalkList, target: string, made: readonly string[]): Revision | undefined {
    const { sharing, destRoot } = this.#options;
    if (sharing?.earlier === undefined || list.length === 0 || list.entry(0).kind !== "directory")
      return undefined;
    const revision = planRevision({
      list,
      place: relativeToRoot(destRoot, target),
      earlier: sharing.earlier.sources,
      made: made.map(path => relativeToRoot(destRoot, path)),
    });
    // To hide what the earlier copy made would hide what shows in its place, too.
    const isHidden = revision?.gone.some(path => this.#destination.showsBelow(under(destRoot, path)));
    return isHidden === true ? undefined : revision;
  }

  /** Marks an entry of the trees below as gone (overlayfs.rst, "whiteouts"). */
  #hide(target: string): void {
    const failure = this.#makeNode(target, S_IFCHR, 0, 0);
    if (failure !== undefined) throw Object.assign(new Error(`mknod failed: ${failure}`), { code: failure });
  }

  /** Notes what something at the destination was made from. */
  #noteSource(entry: WalkEntry, target: string): void {
    const sources = this.#options.sharing?.sources;
    if (sources === undefined) return;
    // How a directory that only holds something comes out is another matter than how one that was asked for does.
    const isKnown = entry.matched && !isRacy(entry.stats, this.#seenMs ?? Date.now());
    const path = relativeToRoot(this.#options.destRoot, target);
    sources.set(path, isKnown ? entry.stats : UNKNOWN_STATE, NO_VALUE);
  }

  #failure(named: string, entry: WalkEntry, place: string, thrown: unknown): unknown {
    const shown = [named, entry.path].filter(part => part !== "").join("/") || "/";
    if (errnoOf(thrown) === "ENOENT" && lstatIfThere(entry.absolute) === undefined)
      return new BakeError("file-operation", `cannot copy "${shown}": it vanished while it was copied`, {
        cause: thrown,
      });
    const where = relativeToRoot(this.#options.destRoot, place);
    return fileFailure(`copy "${shown}" to`, `/${where}`, thrown, ownerHint(thrown));
  }

  /** The place of a source in the destination's tree; makes the directories above. */
  #place(named: string, found: string, made: string[]): string {
    const { destRoot, dest, dirCopyContents, mode, owner } = this.#options;
    const details = { mode: mode ?? DIRECTORY_MODE, owner };
    try {
      const intoDirectory = /(?:^|\/)\.?$/.test(dest);
      const before = intoDirectory ? dest : dest.slice(0, dest.lastIndexOf("/") + 1);
      made.push(...this.#destination.makeDirectories(this.#destination.resolve(before), details));
      let target = this.#destination.resolve(dest);
      const source = lstatSync(under(this.#view.root, found));
      const existing = this.#destination.lstat(target);
      const isTree = source.isDirectory();
      const base = named.slice(named.lastIndexOf("/") + 1);
      if (isTree ? !dirCopyContents && existing !== undefined : existing?.isDirectory() === true)
        target = under(target, base);
      const needed =
        isTree && dirCopyContents && existing === undefined ? target : parentOf(target, destRoot);
      made.push(...this.#destination.makeDirectories(needed, details));
      this.#destination.raise(parentOf(target, destRoot));
      return target;
    } catch (thrown) {
      throw fileFailure(`copy "${named === "" ? "/" : named}" to`, dest, thrown);
    }
  }

  #openDirectory(entry: WalkEntry, target: string, parent: OpenDirectory | undefined): OpenDirectory {
    let existing = parent?.isNew === true ? lstatIfThere(target) : this.#destination.lstat(target);
    if (existing?.isDirectory() === false && this.#options.alwaysReplace === true && entry.matched) {
      unlinkSync(target);
      existing = undefined;
    }
    if (existing === undefined) {
      mkdirSync(target, 0o700);
      return { entry, target, describe: "all", isNew: true, givesOwner: undefined };
    }
    if (!existing.isDirectory())
      throw Object.assign(new Error("a file is in the way of the directory"), { code: "" });
    this.#destination.raise(target);
    const open = { entry, target, isNew: false, givesOwner: undefined };
    // One that only holds what is copied: its mode alone, as upstream.
    if (!entry.matched) return { ...open, describe: "mode" };
    // The directory that receives the content of another keeps its owner and mode; those below it are overwritten.
    return { ...open, describe: entry.path === "" ? "times" : "all" };
  }

  #close({ entry, target, describe, isNew }: OpenDirectory): void {
    try {
      if (isNew) this.directoryBytes += lstatSync(target).blocks * BLOCK_BYTES;
      if (describe === "all") this.#metadata.set(entry, target, undefined);
      else if (describe === "mode") chmodSync(target, Number(entry.stats.mode & 0o7777n));
      else this.#metadata.setTimes(entry, target);
    } catch (thrown) {
      throw fileFailure("copy", relativeToRoot(this.#options.destRoot, target), thrown, ownerHint(thrown));
    }
  }

  #copyEntry(entry: WalkEntry, target: string, parent: OpenDirectory | undefined): Promise<void> | undefined {
    if (entry.kind === "socket") return undefined;
    if (parent?.isNew !== true && this.#destination.coversDirectory(target)) throw directoryInTheWay();
    try {
      return this.#make(entry, target, parent);
    } catch (thrown) {
      if (errnoOf(thrown) !== "EEXIST") throw thrown;
    }
    this.#clearPlace(target);
    return this.#make(entry, target, parent);
  }

  /** Fails with EEXIST when the place is taken. */
  #make(entry: WalkEntry, target: string, parent: OpenDirectory | undefined): Promise<void> | undefined {
    const { stats, kind } = entry;
    const path = relativeToRoot(this.#options.destRoot, target);
    let inode: string | undefined;
    if (stats.nlink > 1n && kind !== "symlink") {
      inode = `${stats.dev}:${stats.ino}`;
      const first = this.#links.get(inode);
      // The same name once more is no other name: versions of a tree share files, so the count of links tells nothing.
      const isAnother = first !== undefined && first.source !== entry.absolute;
      if (isAnother && linkOrNothing(first.target, target)) {
        this.#noteSource(entry, target);
        return undefined;
      }
    }
    const done = (): undefined => {
      // Only now: before, there is nothing that another name could be linked to.
      if (inode !== undefined) this.#links.set(inode, { target, source: entry.absolute });
    };
    switch (kind) {
      case "file": {
        if (this.#files.link(entry, path, target)) return done();
        const mode = this.#metadata.modeOf(entry);
        const later = this.#files.copy(entry, path, target, { mode, seenMs: this.#seenMs ?? Date.now() });
        if (later !== undefined) {
          return later.then(() => {
            this.#metadata.set(entry, target, undefined);
            done();
          });
        }
        this.#metadata.set(entry, target, parent);
        return done();
      }
      case "symlink":
        symlinkSync(entry.link ?? readlinkSync(entry.absolute), target);
        this.#metadata.set(entry, target, parent);
        this.#noteSource(entry, target);
        return done();
      case "fifo":
      case "char":
      case "block": {
        const type = kind === "fifo" ? S_IFIFO : kind === "char" ? S_IFCHR : S_IFBLK;
        const { major, minor } = kind === "fifo" ? { major: 0, minor: 0 } : splitDevice(stats.rdev);
        const failure = this.#makeNode(target, type | 0o600, major, minor);
        if (failure !== undefined)
          throw Object.assign(new Error(`mknod failed: ${failure}`), { code: failure });
        break;
      }
      case "directory":
      case "socket":
        throw new Error("BUG: directories and sockets are not made here");
      default: {
        const never: never = kind;
        return never;
      }
    }
    this.#metadata.set(entry, target, undefined);
    this.#noteSource(entry, target);
    return done();
  }

  #clearPlace(target: string): void {
    const existing = lstatSync(target, { throwIfNoEntry: false });
    if (existing === undefined) return;
    if (!existing.isDirectory()) unlinkSync(target);
    else if (this.#options.alwaysReplace === true) rmSync(target, { recursive: true });
    else throw directoryInTheWay();
  }
}

/** All entries, or those a revision consists of; each counts as read. */
function* listedEntries(list: WalkList, revision: Revision | undefined): Generator<WalkEntry, void, void> {
  for (let at = 0; at < list.length; at++) {
    if (revision !== undefined && revision.isWanted[at] !== 1) continue;
    list.read.push(at);
    yield list.entry(at);
  }
}

function isBelow(path: string, directory: string): boolean {
  return directory === "" ? path !== "" : path.startsWith(`${directory}/`);
}

function parentOf(target: string, root: string): string {
  return target === root ? root : target.slice(0, target.lastIndexOf("/")) || "/";
}

function directoryInTheWay(): Error {
  return Object.assign(new Error("a directory is in the way of the file"), { code: "" });
}

function ownerHint(thrown: unknown): string | undefined {
  return errnoOf(thrown) === "EINVAL"
    ? "its owner may lie outside this user's range in /etc/subuid and /etc/subgid"
    : undefined;
}
