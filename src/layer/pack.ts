// Writes trees and changes to trees as uncompressed layer tars (OCI image spec, layer.md). The same tree gives the same
// bytes whatever the host: entries are sorted, times are whole seconds, owners are numbers, host attributes stay out.
import { createReadStream, lstatSync, readFileSync, readlinkSync } from "node:fs";
import { BakeError } from "../diagnostic/error.ts";
import { compareUtf8 } from "../oci/json.ts";
import type { Change } from "./change.ts";
import { errnoOf, fileFailure } from "./errno.ts";
import { splitDevice } from "./mknod.ts";
import { OWNER_XATTR, ownerOf, type Owner } from "./owner.ts";
import { under } from "./rootpath.ts";
import { createSlicer } from "./slice.ts";
import { encodeTarHeader, type TarHeader, tarEnd, tarPadding } from "./tar.ts";
import { createTreeView, type TreeFilter } from "./view.ts";
import { type EntryKind, type EntryStats, kindOf, walkTree } from "./walk.ts";
import { opaquePath, whiteoutPath } from "./whiteout.ts";
import { isPortableXattr, loadXattrs, type Xattrs } from "./xattr.ts";

export interface PackOptions {
  readonly signal?: AbortSignal | undefined;
  /** Every entry gets this time, in seconds since the epoch; default is that of the file. */
  readonly timestamp?: number | undefined;
  /** Times later than this many seconds since the epoch are written as this ("rewrite-timestamp"). */
  readonly clampEpoch?: number | undefined;
  /** Every entry gets this owner; default is the owner on disk. */
  readonly owner?: Owner | undefined;
}

/** Files up to this size are read at once, which saves a stream each. */
const ONE_READ_BYTES = 256 * 1024;
/** Small entries are gathered into chunks of about this size. */
const CHUNK_BYTES = 256 * 1024;

/**
 * The tar of a layer: what `changes` names, found under `root`, and whiteouts for what they delete. Directories above
 * a change are written even when not named, so that they get their right owner and mode. Sockets are left out.
 * @throws BakeError "file-operation" when content cannot be read or changes while it is
 */
export async function* packLayer({
  root,
  changes,
  ...options
}: PackOptions & { readonly root: string; readonly changes: readonly Change[] }): AsyncGenerator<
  Uint8Array,
  void,
  void
> {
  const writer = await createWriter(options);
  const slicer = createSlicer(options.signal);
  const sorted = [...changes].sort((a, b) => compareTreePaths(a.path, b.path));
  const written = new Set<string>();
  for (const change of sorted) {
    const paused = slicer.pause();
    if (paused !== undefined) await paused;
    for (let slash = change.path.indexOf("/"); slash >= 0; slash = change.path.indexOf("/", slash + 1)) {
      const dir = change.path.slice(0, slash);
      if (written.has(dir)) continue;
      // What holds only removals need not be among the changes.
      if (change.kind === "delete" && lstatSync(under(root, dir), { throwIfNoEntry: false }) === undefined)
        break;
      written.add(dir);
      yield* writer.add(dir, under(root, dir));
    }
    if (change.kind === "delete") {
      yield* writer.marker(whiteoutPath(change.path));
      continue;
    }
    if (change.path !== "" && !written.has(change.path)) {
      written.add(change.path);
      yield* writer.add(change.path, under(root, change.path));
    }
    if (change.opaque === true) yield* writer.marker(opaquePath(change.path));
  }
  yield* writer.end();
}

/** The tar of a whole tree as far as the filter shows it; the root itself is not an entry. */
export async function* packTree({
  root,
  filter,
  ...options
}: PackOptions & { readonly root: string; readonly filter?: TreeFilter | undefined }): AsyncGenerator<
  Uint8Array,
  void,
  void
> {
  const writer = await createWriter(options);
  for await (const entry of walkTree(createTreeView(root, filter), { signal: options.signal })) {
    if (entry.path !== "") yield* writer.add(entry.path, entry.absolute, entry.stats);
  }
  yield* writer.end();
}

/** Parents before children, and all of a directory before its next sibling. */
export function compareTreePaths(a: string, b: string): number {
  const x = a.split("/");
  const y = b.split("/");
  for (let i = 0; i < Math.min(x.length, y.length); i++) {
    const order = compareUtf8(x[i] ?? "", y[i] ?? "");
    if (order !== 0) return order;
  }
  return x.length - y.length;
}

const TAR_TYPES = {
  file: "file",
  directory: "directory",
  symlink: "symlink",
  fifo: "fifo",
  char: "char",
  block: "block",
} as const satisfies Readonly<Record<Exclude<EntryKind, "socket">, TarHeader["type"]>>;

interface Writer {
  add(name: string, absolute: string, known?: EntryStats): AsyncGenerator<Uint8Array, void, void>;
  marker(name: string): Generator<Uint8Array, void, void>;
  end(): Generator<Uint8Array, void, void>;
}

async function createWriter({ timestamp, clampEpoch, owner, signal }: PackOptions): Promise<Writer> {
  const xattrs: Xattrs = await loadXattrs();
  /** First name of each file that has several, by device and inode. */
  const links = new Map<string, string>();
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  const push = (piece: Uint8Array): void => {
    if (piece.length === 0) return;
    pending.push(piece);
    pendingBytes += piece.length;
  };
  const flush = (): Uint8Array => {
    const chunk = Buffer.concat(pending);
    pending = [];
    pendingBytes = 0;
    return chunk;
  };

  const describe = (name: string, absolute: string, known: EntryStats | undefined): TarHeader | undefined => {
    const stats = known ?? lstatSync(absolute, { bigint: true });
    const kind = kindOf(stats);
    if (kind === "socket") return undefined;
    const seconds =
      Number(stats.mtimeNs / 1_000_000_000n) -
      (stats.mtimeNs < 0n && stats.mtimeNs % 1_000_000_000n !== 0n ? 1 : 0);
    const device = kind === "char" || kind === "block" ? splitDevice(stats.rdev) : { major: 0, minor: 0 };
    const { uid, gid } = owner ?? ownerOf(absolute, stats);
    const header: TarHeader = {
      name: kind === "directory" ? `${name}/` : name,
      type: TAR_TYPES[kind],
      mode: kind === "symlink" ? 0o777 : Number(stats.mode & 0o7777n),
      uid,
      gid,
      size: kind === "file" ? Number(stats.size) : 0,
      mtime: timestamp ?? (clampEpoch === undefined ? seconds : Math.min(seconds, clampEpoch)),
      linkname: kind === "symlink" ? readlinkSync(absolute) : "",
      devMajor: device.major,
      devMinor: device.minor,
      xattrs: xattrs.read(absolute, name => name !== OWNER_XATTR && isPortableXattr(name)),
    };
    if (kind === "directory" || stats.nlink < 2n) return header;
    const inode = `${stats.dev}:${stats.ino}`;
    const first = links.get(inode);
    if (first === undefined) {
      links.set(inode, name);
      return header;
    }
    return { ...header, type: "hardlink", size: 0, linkname: first, xattrs: [] };
  };

  return {
    async *add(name, absolute, known) {
      let header: TarHeader | undefined;
      try {
        header = describe(name, absolute, known);
        if (header === undefined) return;
        if (header.size <= ONE_READ_BYTES) {
          const body = header.size === 0 ? Buffer.alloc(0) : readFileSync(absolute);
          if (body.length !== header.size) throw changedWhileRead(name);
          push(encodeTarHeader(header));
          push(body);
        } else {
          push(encodeTarHeader(header));
          yield flush();
          yield* streamBody(name, absolute, header.size, signal);
        }
        push(tarPadding(header.size));
      } catch (thrown) {
        throw errnoOf(thrown) === "ENOENT"
          ? changedWhileRead(name, thrown)
          : fileFailure("read", name, thrown);
      }
      if (pendingBytes >= CHUNK_BYTES) yield flush();
    },
    *marker(name) {
      push(
        encodeTarHeader({
          name,
          type: "file",
          mode: 0,
          uid: 0,
          gid: 0,
          size: 0,
          mtime: 0,
          linkname: "",
          devMajor: 0,
          devMinor: 0,
          xattrs: [],
        }),
      );
      if (pendingBytes >= CHUNK_BYTES) yield flush();
    },
    *end() {
      push(tarEnd());
      yield flush();
    },
  };
}

async function* streamBody(
  name: string,
  absolute: string,
  size: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  let left = size;
  const stream = createReadStream(absolute, { highWaterMark: CHUNK_BYTES, ...(signal && { signal }) });
  for await (const chunk of stream) {
    if (!(chunk instanceof Uint8Array) || chunk.length > left) throw changedWhileRead(name);
    left -= chunk.length;
    yield chunk;
  }
  if (left !== 0) throw changedWhileRead(name);
}

function changedWhileRead(name: string, cause?: unknown): BakeError {
  return new BakeError("file-operation", `"${name}" changed while it was read`, {
    cause,
    hint: "run the build again when nothing writes to it",
  });
}
