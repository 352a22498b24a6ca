// Extracts a layer tar onto a tree that holds the content below it (OCI image spec, layer.md "Applying Changesets").
// Archives come from strangers: nothing is ever written outside the tree, whatever names, links and ".." they hold.
import {
  closeSync,
  constants,
  fchmodSync,
  ftruncateSync,
  futimesSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  type Stats,
  symlinkSync,
  writeSync,
} from "node:fs";
import { BakeError } from "../diagnostic/error.ts";
import { createDigester, type Digest } from "../oci/digest.ts";
import { decompressStream } from "./compression.ts";
import { chmodEntry, DirectoryTrail, locate } from "./directory.ts";
import { errnoOf, fileFailure } from "./errno.ts";
import { removeEntry } from "./fileops.ts";
import { loadMakeNode, type MakeNode, S_IFBLK, S_IFCHR, S_IFIFO } from "./mknod.ts";
import { type Entry, entryIn, OpenDirectories, type OpenDirectory } from "./opendirectories.ts";
import { cleanPath } from "./rootpath.ts";
import { createSlicer } from "./slice.ts";
import type { DataPiece } from "./tarsparse.ts";
import { readTar, type TarEntry, type TarHeader } from "./tar.ts";
import { parseWhiteout } from "./whiteout.ts";
import { givesOwners, type Owner, setOwner } from "./owner.ts";
import { isPortableXattr, loadXattrs, type Xattrs } from "./xattr.ts";

export interface ApplyOptions {
  readonly signal?: AbortSignal | undefined;
  /** What the uncompressed stream must digest to; checked when given. */
  readonly diffId?: Digest | undefined;
  /** False extracts whiteout files as plain files: for archives that are not layers. Default true. */
  readonly whiteouts?: boolean;
  /** Every entry gets this owner; default is the owner in the archive. */
  readonly owner?: Owner | undefined;
  /** Every entry gets this time, seconds since the epoch; default is the time in the archive. */
  readonly mtime?: number | undefined;
}

export interface Applied {
  /** Digest of the uncompressed archive. */
  readonly diffId: Digest;
  /** Bytes of the uncompressed archive. */
  readonly size: number;
  /** What this user or file system could not set, for a note to the user; at most a few. */
  readonly skipped: readonly string[];
}

/** Notes beyond this many say nothing new. */
const MAX_SKIPPED = 10;

/**
 * Extracts a layer (plain, gzip or zstd) under `root`, an absolute path without symlinks. Owners are set when running
 * as root (of the user namespace), times to whole seconds, attributes where possible. On failure the tree is left
 * half-written: extract into something that can be discarded.
 * @throws BakeError "content-corrupt" for damaged or hostile archives, "file-operation" and "disk-full" for the tree
 */
export async function applyLayer(
  stream: AsyncIterable<Uint8Array>,
  root: string,
  options: ApplyOptions = {},
): Promise<Applied> {
  const { signal, diffId } = options;
  const slicer = createSlicer(signal);
  const digester = createDigester();
  let size = 0;
  const uncompressed = decompressStream(stream, signal === undefined ? {} : { signal });
  async function* counted(): AsyncGenerator<Uint8Array, void, void> {
    for await (const chunk of uncompressed) {
      signal?.throwIfAborted();
      digester.update(chunk);
      size += chunk.length;
      yield chunk;
    }
  }
  using target = new Target(root, options, await loadXattrs(), await loadMakeNode());
  for await (const entry of readTar(counted())) {
    const paused = slicer.pause();
    if (paused !== undefined) await paused;
    try {
      await target.add(entry);
    } catch (thrown) {
      throw fileFailure(
        "extract",
        entry.header.name,
        thrown,
        errnoOf(thrown) === "EINVAL" ? ownerHint(entry.header) : undefined,
      );
    }
  }
  try {
    target.finish();
  } catch (thrown) {
    throw fileFailure("extract to", "/", thrown);
  }
  const found = digester.digest();
  if (diffId !== undefined && found !== diffId) {
    throw new BakeError("content-corrupt", `the layer's content has digest ${found}, expected ${diffId}`);
  }
  return { diffId: found, size, skipped: target.skipped };
}

function ownerHint({ uid, gid }: TarHeader): string {
  return `owner ${uid}:${gid} may lie outside this user's range in /etc/subuid and /etc/subgid`;
}

class Target implements Disposable {
  readonly skipped: string[] = [];
  readonly #root: string;
  readonly #options: ApplyOptions;
  readonly #xattrs: Xattrs;
  readonly #makeNode: MakeNode;
  readonly #setsOwner = givesOwners();
  readonly #me = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
  readonly #directories: OpenDirectories;
  /** Paths that this archive wrote, and their parents: whiteouts only concern what was there before. */
  readonly #written = new Set<string>();
  /** Directories get their time last: writing into them would change it. */
  readonly #directoryTimes = new Map<string, number>();

  constructor(root: string, options: ApplyOptions, xattrs: Xattrs, makeNode: MakeNode) {
    this.#root = root;
    this.#directories = new OpenDirectories(root, path => this.#markWritten(path));
    this.#options = options;
    this.#xattrs = xattrs;
    this.#makeNode = makeNode;
  }

  async add(tarEntry: TarEntry): Promise<void> {
    const { header } = tarEntry;
    this.#directories.beginEntry();
    const path = insidePath(header.name);
    const whiteout = this.#options.whiteouts === false ? undefined : parseWhiteout(path);
    if (whiteout !== undefined) {
      if (whiteout.kind === "delete") this.#whiteOut(whiteout.path);
      else if (whiteout.kind === "opaque") {
        const opened = this.#directories.find(whiteout.path, false);
        if (opened !== undefined) this.#clear(opened);
      }
      return;
    }
    if (path === "") {
      const root = this.#directories.find("", false);
      if (header.type === "directory" && root !== undefined)
        this.#describeDirectory({ ...root, name: "" }, header);
      return;
    }
    const slash = path.lastIndexOf("/");
    const parent = this.#directories.find(slash < 0 ? "" : path.slice(0, slash), true);
    if (parent === undefined) throw new Error("BUG: a parent was not made");
    const target = entryIn(parent, path.slice(slash + 1));
    const existing = target.directory.stat(target.name);
    if (header.type === "directory") {
      this.#makeDirectory(target, existing, header);
    } else {
      using source = header.type === "hardlink" ? this.#linkSource(header) : undefined;
      // A link to itself, as some tools write, is what is there already.
      if (source?.path === target.path) return;
      if (existing !== undefined) this.#remove(target, existing);
      await this.#create(target, tarEntry, source);
    }
    this.#markWritten(target.path);
  }

  finish(): void {
    this.#directories.close();
    for (const [path, mtime] of this.#directoryTimes) {
      const slash = path.lastIndexOf("/");
      const parent = this.#directories.find(path.slice(0, Math.max(0, slash)), false);
      if (parent !== undefined) lutimesSync(parent.directory.at(path.slice(slash + 1)), mtime, mtime);
    }
  }

  [Symbol.dispose](): void {
    this.#directories.close();
  }

  async #create(entry: Entry, tarEntry: TarEntry, source: Entry | undefined): Promise<void> {
    const { header } = tarEntry;
    const target = entry.directory.at(entry.name);
    switch (header.type) {
      case "file":
        return this.#writeFile(target, tarEntry);
      case "hardlink":
        if (source !== undefined) linkSync(source.directory.at(source.name), target);
        return;
      case "symlink":
        symlinkSync(header.linkname, target);
        this.#describe(target, header);
        return;
      case "char":
      case "block":
      case "fifo": {
        const type = header.type === "fifo" ? S_IFIFO : header.type === "char" ? S_IFCHR : S_IFBLK;
        const failure = this.#makeNode(
          target,
          type | (header.mode & 0o777),
          header.devMajor,
          header.devMinor,
        );
        if (failure === undefined) this.#describe(target, header);
        // Ordinary users and user namespaces may not make devices; container runtimes supply the ones that matter.
        else if (failure === "EPERM" || failure === "unavailable")
          this.#skip(`${header.type} device "${header.name}"`);
        else throw Object.assign(new Error(`mknod failed: ${failure}`), { code: failure });
        return;
      }
      case "directory":
        throw new Error("BUG: directories are made elsewhere");
      default: {
        const never: never = header.type;
        return never;
      }
    }
  }

  async #writeFile(target: string, { header, body, pieces }: TarEntry): Promise<void> {
    const fd = openSync(
      target,
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      0o600,
    );
    try {
      if (pieces !== undefined) await writePieces(fd, body, pieces, header.size);
      else if (header.size > 0) {
        for await (const chunk of body) {
          for (let at = 0; at < chunk.length;) at += writeSync(fd, chunk, at);
        }
      }
      const { uid, gid } = this.#ownerOf(header);
      if (this.#setsOwner) setOwner(target, uid, gid);
      // After the owner, because changing that drops the setuid bit and capabilities.
      fchmodSync(fd, header.mode);
      this.#setXattrs(target, header);
      const mtime = this.#timeOf(header);
      futimesSync(fd, mtime, mtime);
    } finally {
      closeSync(fd);
    }
  }

  #makeDirectory(entry: Entry, existing: Stats | undefined, header: TarHeader): void {
    if (existing !== undefined && !existing.isDirectory()) this.#remove(entry, existing);
    if (existing?.isDirectory() !== true) mkdirSync(entry.directory.at(entry.name), 0o700);
    else this.#dropXattrs(entry.directory.at(entry.name), header);
    this.#describeDirectory(entry, header);
  }

  #describeDirectory({ directory, name, path }: Entry, header: TarHeader): void {
    const target = directory.at(name);
    const { uid, gid } = this.#ownerOf(header);
    if (this.#setsOwner) setOwner(target, uid, gid);
    chmodEntry(target, header.mode);
    this.#setXattrs(target, header);
    this.#directoryTimes.set(path, this.#timeOf(header));
  }

  #describe(target: string, header: TarHeader): void {
    const { uid, gid } = this.#ownerOf(header);
    if (this.#setsOwner) setOwner(target, uid, gid);
    if (header.type !== "symlink") chmodEntry(target, header.mode);
    this.#setXattrs(target, header);
    const mtime = this.#timeOf(header);
    lutimesSync(target, mtime, mtime);
  }

  #ownerOf(header: TarHeader): Owner {
    if (!this.#setsOwner) return this.#me;
    return this.#options.owner ?? header;
  }

  #timeOf(header: TarHeader): number {
    return this.#options.mtime ?? header.mtime;
  }

  #setXattrs(target: string, header: TarHeader): void {
    for (const { name, value } of header.xattrs) {
      if (!isPortableXattr(name)) continue;
      const failure = this.#xattrs.set(target, name, value);
      if (failure === undefined) continue;
      if (failure === "ENOSPC")
        throw Object.assign(new Error("no space for an extended attribute"), { code: failure });
      this.#skip(`attribute ${name} of "${header.name}"`);
    }
  }

  /** A directory that stays takes over the entry's attributes, so what the entry does not have must go. */
  #dropXattrs(target: string, header: TarHeader): void {
    for (const { name } of this.#xattrs.read(target, isPortableXattr)) {
      if (!header.xattrs.some(wanted => wanted.name === name)) this.#xattrs.remove(target, name);
    }
  }

  #skip(what: string): void {
    if (this.skipped.length < MAX_SKIPPED) this.skipped.push(what);
  }

  /** What a hard link points to, in a directory of its own: others may be closed before it is used. */
  #linkSource(header: TarHeader): (Entry & Disposable) | undefined {
    const path = insidePath(header.linkname);
    const slash = path.lastIndexOf("/");
    const place = locate(this.#root, path.slice(0, Math.max(0, slash)), { followLast: true });
    try {
      using trail = new DirectoryTrail();
      const parent = trail.enter(place.directory, place.names, () => {
        throw noLinkSource(header, "does not exist");
      });
      const name = path.slice(slash + 1);
      const stats = path === "" ? undefined : parent.stat(name);
      if (path === "" || stats?.isDirectory() === true) throw noLinkSource(header, "is a directory");
      if (stats === undefined) throw noLinkSource(header, "does not exist");
      const directory = parent.enter("");
      const where = [place.path, ...place.names].filter(part => part !== "").join("/");
      return {
        ...entryIn({ directory, path: where }, name),
        [Symbol.dispose]: () => directory[Symbol.dispose](),
      };
    } finally {
      place[Symbol.dispose]();
    }
  }

  #whiteOut(path: string): void {
    const slash = path.lastIndexOf("/");
    const parent = this.#directoryOrNothing(slash < 0 ? "" : path.slice(0, slash));
    if (parent === undefined) return;
    const target = entryIn(parent, path.slice(slash + 1));
    const existing = target.directory.stat(target.name);
    if (existing === undefined) return;
    if (!this.#written.has(target.path)) this.#remove(target, existing);
    else if (existing.isDirectory()) this.#clearEntry(target);
  }

  /** Removals below what is no directory concern nothing. */
  #directoryOrNothing(path: string): OpenDirectory | undefined {
    try {
      return this.#directories.find(path, false);
    } catch (thrown) {
      if (thrown instanceof BakeError && thrown.code === "content-corrupt") return undefined;
      throw thrown;
    }
  }

  /** Removes what a directory held before this archive. */
  #clear(opened: OpenDirectory): void {
    // Removing may close what others have opened.
    using directory = opened.directory.enter("");
    for (const name of readdirSync(directory.at(""))) {
      const entry = entryIn({ directory, path: opened.path }, name);
      const stats = directory.stat(name);
      if (stats === undefined) continue;
      if (!this.#written.has(entry.path)) this.#remove(entry, stats);
      else if (stats.isDirectory()) this.#clearEntry(entry);
    }
  }

  #clearEntry({ directory, name, path }: Entry): void {
    using inner = directory.enter(name);
    this.#clear({ directory: inner, path });
  }

  /** The entry's own directory stays open: it may be among those that are forgotten. */
  #remove({ directory, name, path }: Entry, stats: Stats): void {
    removeEntry(directory, name);
    if (stats.isDirectory()) {
      for (const known of this.#directoryTimes.keys())
        if (known === path || known.startsWith(`${path}/`)) this.#directoryTimes.delete(known);
    }
    if (stats.isDirectory() || stats.isSymbolicLink()) this.#directories.pathsChanged();
  }

  #markWritten(path: string): void {
    for (
      let at = path;
      at !== "" && !this.#written.has(at);
      at = at.slice(0, Math.max(0, at.lastIndexOf("/")))
    )
      this.#written.add(at);
  }
}

function noLinkSource({ name, linkname }: TarHeader, why: string): BakeError {
  return new BakeError("content-corrupt", `the archive links "${name}" to "${linkname}", which ${why}`);
}

/** An archive's name as a path relative to the root. Absolute names count from the root; leaving it is refused. */
function insidePath(name: string): string {
  let depth = 0;
  for (const part of name.split("/")) {
    if (part === "" || part === ".") continue;
    depth += part === ".." ? -1 : 1;
    if (depth < 0)
      throw new BakeError("content-corrupt", `the archive names "${name}", which lies outside of its root`);
  }
  if (name.includes("\0")) throw new BakeError("content-corrupt", "the archive has a name with a zero byte");
  return cleanPath(name);
}

/** Writes the data of a file with holes where it belongs, and nothing else. */
async function writePieces(
  fd: number,
  body: AsyncIterable<Buffer>,
  pieces: readonly DataPiece[],
  sizeBytes: number,
): Promise<void> {
  let next = 0;
  let position = 0;
  let left = 0;
  for await (const chunk of body) {
    for (let at = 0; at < chunk.length;) {
      while (left === 0) {
        const piece = pieces[next++];
        if (piece === undefined)
          throw new Error("BUG: more data than the map of a sparse file has places for");
        ({ offset: position, size: left } = piece);
      }
      const written = writeSync(fd, chunk, at, Math.min(left, chunk.length - at), position);
      at += written;
      position += written;
      left -= written;
    }
  }
  ftruncateSync(fd, sizeBytes);
}
