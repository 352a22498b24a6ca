// Extracts a layer tar onto a tree that holds the content below it (OCI image spec, layer.md "Applying Changesets").
// Archives come from strangers: nothing is ever written outside the tree, whatever names, links and ".." they hold.
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  futimesSync,
  chmodSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  type Stats,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { BakeError } from "../diagnostic/error.ts";
import { createDigester, type Digest } from "../oci/digest.ts";
import { decompressStream } from "./compression.ts";
import { errnoOf, fileFailure } from "./errno.ts";
import { loadMakeNode, type MakeNode, S_IFBLK, S_IFCHR, S_IFIFO } from "./mknod.ts";
import { cleanPath, relativeToRoot, resolveInRoot, under } from "./rootpath.ts";
import { createSlicer } from "./slice.ts";
import { readTar, type TarEntry, type TarHeader } from "./tar.ts";
import { parseWhiteout } from "./whiteout.ts";
import { isPortableXattr, loadXattrs, type Xattrs } from "./xattr.ts";

export interface ApplyOptions {
  readonly signal?: AbortSignal | undefined;
  /** What the uncompressed stream must digest to; checked when given. */
  readonly diffId?: Digest | undefined;
  /** False extracts whiteout files as plain files: for archives that are not layers. Default true. */
  readonly whiteouts?: boolean;
  /** Every entry gets this owner; default is the owner in the archive. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
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
  const target = new Target(root, options, await loadXattrs(), await loadMakeNode());
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
  target.finish();
  const found = digester.digest();
  if (diffId !== undefined && found !== diffId) {
    throw new BakeError("content-corrupt", `the layer's content has digest ${found}, expected ${diffId}`);
  }
  return { diffId: found, size, skipped: target.skipped };
}

function ownerHint({ uid, gid }: TarHeader): string {
  return `owner ${uid}:${gid} may lie outside this user's range in /etc/subuid and /etc/subgid`;
}

class Target {
  readonly skipped: string[] = [];
  readonly #root: string;
  readonly #options: ApplyOptions;
  readonly #xattrs: Xattrs;
  readonly #makeNode: MakeNode;
  readonly #setsOwner = process.geteuid?.() === 0;
  readonly #me = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
  /** Directories of the archive by where they were found on disk; an entry is valid until a path changes its kind. */
  readonly #parents = new Map<string, string>();
  /** Paths on disk that this archive wrote, and their parents: whiteouts only concern what was there before. */
  readonly #written = new Set<string>();
  /** Directories get their time last: writing into them would change it. */
  readonly #directoryTimes = new Map<string, number>();

  constructor(root: string, options: ApplyOptions, xattrs: Xattrs, makeNode: MakeNode) {
    this.#root = root;
    this.#options = options;
    this.#xattrs = xattrs;
    this.#makeNode = makeNode;
  }

  async add({ header, body }: TarEntry): Promise<void> {
    const path = insidePath(header.name);
    const whiteout = this.#options.whiteouts === false ? undefined : parseWhiteout(path);
    if (whiteout !== undefined) {
      if (whiteout.kind === "delete") this.#whiteOut(whiteout.path);
      else if (whiteout.kind === "opaque") this.#clear(this.#directory(whiteout.path, false));
      return;
    }
    if (path === "") {
      if (header.type === "directory") this.#describeDirectory(this.#root, header);
      return;
    }
    const slash = path.lastIndexOf("/");
    const parent = this.#directory(slash < 0 ? "" : path.slice(0, slash), true);
    const target = under(parent, path.slice(slash + 1));
    const existing = lstatSync(target, { throwIfNoEntry: false });
    if (header.type === "directory") {
      this.#makeDirectory(target, existing, header);
    } else {
      const source = header.type === "hardlink" ? this.#linkSource(header) : undefined;
      // A link to itself, as some tools write, is what is there already.
      if (source === target) return;
      if (existing !== undefined) this.#remove(target, existing);
      await this.#create(target, header, body, source);
    }
    this.#markWritten(target);
  }

  finish(): void {
    for (const [path, mtime] of this.#directoryTimes) lutimesSync(path, mtime, mtime);
  }

  async #create(
    target: string,
    header: TarHeader,
    body: AsyncIterable<Buffer>,
    source: string | undefined,
  ): Promise<void> {
    switch (header.type) {
      case "file":
        return this.#writeFile(target, header, body);
      case "hardlink":
        if (source !== undefined) linkSync(source, target);
        return;
      case "symlink":
        symlinkSync(header.linkname, target);
        this.#parents.clear();
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

  async #writeFile(target: string, header: TarHeader, body: AsyncIterable<Buffer>): Promise<void> {
    const fd = openSync(
      target,
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      0o600,
    );
    try {
      if (header.size > 0) {
        for await (const chunk of body) {
          for (let at = 0; at < chunk.length;) at += writeSync(fd, chunk, at);
        }
      }
      const { uid, gid } = this.#ownerOf(header);
      if (this.#setsOwner) fchownSync(fd, uid, gid);
      // After the owner, because changing that drops the setuid bit and capabilities.
      fchmodSync(fd, header.mode);
      this.#setXattrs(target, header);
      const mtime = this.#timeOf(header);
      futimesSync(fd, mtime, mtime);
    } finally {
      closeSync(fd);
    }
  }

  #makeDirectory(target: string, existing: Stats | undefined, header: TarHeader): void {
    if (existing !== undefined && !existing.isDirectory()) this.#remove(target, existing);
    if (existing?.isDirectory() !== true) mkdirSync(target, 0o700);
    else this.#dropXattrs(target, header);
    this.#describeDirectory(target, header);
  }

  #describeDirectory(target: string, header: TarHeader): void {
    const { uid, gid } = this.#ownerOf(header);
    if (this.#setsOwner) lchownSync(target, uid, gid);
    chmodSync(target, header.mode);
    this.#setXattrs(target, header);
    this.#directoryTimes.set(target, this.#timeOf(header));
  }

  #describe(target: string, header: TarHeader): void {
    const { uid, gid } = this.#ownerOf(header);
    if (this.#setsOwner) lchownSync(target, uid, gid);
    if (header.type !== "symlink") chmodSync(target, header.mode);
    this.#setXattrs(target, header);
    const mtime = this.#timeOf(header);
    lutimesSync(target, mtime, mtime);
  }

  #ownerOf(header: TarHeader): { readonly uid: number; readonly gid: number } {
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

  /** The place on disk of a directory of the archive, symlinks resolved inside the root, made when missing. */
  #directory(path: string, create: boolean): string {
    if (path === "") return this.#root;
    const known = this.#parents.get(path);
    if (known !== undefined) return known;
    const resolved = resolveInRoot(this.#root, path, { followLast: true });
    const stats = lstatSync(resolved, { throwIfNoEntry: false });
    if (stats === undefined) {
      if (!create) return resolved;
      let at = this.#root;
      for (const part of relativeToRoot(this.#root, resolved).split("/")) {
        at = under(at, part);
        if (lstatSync(at, { throwIfNoEntry: false }) !== undefined) continue;
        mkdirSync(at, 0o755);
        chmodSync(at, 0o755);
        this.#markWritten(at);
      }
    } else if (!stats.isDirectory()) {
      throw new BakeError(
        "content-corrupt",
        `the archive has entries below "${path}", which is not a directory`,
      );
    }
    this.#parents.set(path, resolved);
    return resolved;
  }

  #linkSource(header: TarHeader): string {
    const path = insidePath(header.linkname);
    const slash = path.lastIndexOf("/");
    const parent = this.#directory(slash < 0 ? "" : path.slice(0, slash), false);
    const source = under(parent, path.slice(slash + 1));
    const stats = lstatSync(source, { throwIfNoEntry: false });
    if (path === "" || stats === undefined || stats.isDirectory()) {
      throw new BakeError(
        "content-corrupt",
        `the archive links "${header.name}" to "${header.linkname}", which ${stats === undefined ? "does not exist" : "is a directory"}`,
      );
    }
    return source;
  }

  #whiteOut(path: string): void {
    const slash = path.lastIndexOf("/");
    const target = under(
      this.#directory(slash < 0 ? "" : path.slice(0, slash), false),
      path.slice(slash + 1),
    );
    const existing = statBelow(target);
    if (existing === undefined) return;
    if (!this.#written.has(target)) this.#remove(target, existing);
    else if (existing.isDirectory()) this.#clear(target);
  }

  /** Removes what a directory held before this archive. */
  #clear(directory: string): void {
    if (statBelow(directory)?.isDirectory() !== true) return;
    for (const name of readdirSync(directory)) {
      const path = under(directory, name);
      const stats = lstatSync(path);
      if (!this.#written.has(path)) this.#remove(path, stats);
      else if (stats.isDirectory()) this.#clear(path);
    }
  }

  #remove(path: string, stats: Stats): void {
    if (!stats.isDirectory()) {
      if (stats.isSymbolicLink()) this.#parents.clear();
      unlinkSync(path);
      return;
    }
    rmSync(path, { recursive: true });
    this.#parents.clear();
    for (const known of this.#directoryTimes.keys())
      if (known === path || known.startsWith(`${path}/`)) this.#directoryTimes.delete(known);
  }

  #markWritten(path: string): void {
    for (
      let at = path;
      at.length > this.#root.length && !this.#written.has(at);
      at = at.slice(0, at.lastIndexOf("/"))
    )
      this.#written.add(at);
  }
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

function statBelow(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOTDIR") return undefined;
    throw thrown;
  }
}
