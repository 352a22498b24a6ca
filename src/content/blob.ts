// Blobs: files named by the digest of their content. Written beside, verified while written, renamed into place.
import { closeSync, openSync, readSync, statSync, utimesSync } from "node:fs";
import { open, rename, rm, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { BakeError } from "../diagnostic/error.ts";
import { createDigester, digestHex, digestOf, type Digest, type Digester } from "../oci/digest.ts";
import { readWhole } from "../system/readwhole.ts";
import { isFull } from "./fulldisk.ts";
import type { Owner } from "./lease.ts";
import type { Ledger } from "./ledger.ts";
import { withLock } from "./lock.ts";
import { isCode, type StateRoot } from "./root.ts";

export interface BlobStore {
  /** Whether the blob is here; leases it, so that it stays while this process lives. */
  has(digest: Digest): Promise<boolean>;
  /** In bytes; undefined when the blob is not here. */
  size(digest: Digest): Promise<number | undefined>;
  /** Where the blob is or would be. The file must not be written to. */
  path(digest: Digest): string;
  /** @throws BakeError "content-corrupt" when the blob is missing or its bytes do not match (it is dropped then) */
  read(digest: Digest): Promise<Buffer>;
  /** The bytes in pieces, verified at the end. @throws as `read`, the mismatch after the last piece */
  stream(digest: Digest, options?: { readonly signal?: AbortSignal | undefined }): AsyncIterable<Buffer>;
  /**
   * Stores the bytes. Nothing is left behind on error or abort.
   * @throws BakeError "content-corrupt" when they do not match `expected` or `sizeBytes`, "disk-full"
   */
  write(source: AsyncIterable<Uint8Array> | Uint8Array, options?: WriteOptions): Promise<StoredBlob>;
  /**
   * For producers that push: write pieces, then commit. Disposing without commit leaves nothing. With a size, room for
   * all of it is made before the first piece.
   */
  writer(options?: Pick<WriteOptions, "sizeBytes">): Promise<BlobWriter>;
  /** Forgets a blob whether or not it is leased; missing is fine. */
  remove(digest: Digest): Promise<void>;
}

export interface StoredBlob {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
}

export interface WriteOptions {
  readonly expected?: Digest | undefined;
  readonly sizeBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface BlobWriter extends AsyncDisposable {
  write(piece: Uint8Array): Promise<void>;
  /** @throws as `BlobStore.write` */
  commit(options?: Omit<WriteOptions, "signal">): Promise<StoredBlob>;
}

/**
 * Held shared from the lease of a blob to the look whether it is there, and exclusively by whoever removes blobs: so
 * either the remover sees the lease, or the user sees the blob gone.
 */
export const BLOB_LOCK = "blobs";

/** Blobs up to this size are read without another thread. */
const SMALL_BYTES = 2 << 20;
/** Pieces are gathered to this size before they go to disk; producers such as tar write 512 bytes at a time. */
const BUFFER_BYTES = 256 * 1024;

export function openBlobStore(root: StateRoot, owner: Owner): BlobStore {
  const path = (digest: Digest): string =>
    join(root.blobs, digest.slice(0, digest.indexOf(":")), digestHex(digest));

  // At once: calls that other threads make take longer to hand over than to do.
  const fileSize = (digest: Digest): number | undefined => {
    try {
      return statSync(path(digest), { throwIfNoEntry: false })?.size;
    } catch (thrown) {
      throw storeError(thrown);
    }
  };

  const store: BlobStore = {
    path,
    size: digest => Promise.resolve(fileSize(digest)),
    async has(digest) {
      return withLock(
        root,
        BLOB_LOCK,
        undefined,
        () => {
          owner.lease("blob", digest);
          if (fileSize(digest) === undefined) return false;
          noteUse(path(digest));
          return true;
        },
        { shared: true },
      );
    },
    async read(digest) {
      owner.lease("blob", digest);
      const bytes = await readWhole(path(digest)).catch((thrown: unknown) => {
        throw missing(digest, thrown);
      });
      if (!matches(digest, () => digestOf(bytes))) {
        await store.remove(digest);
        throw corrupt(digest);
      }
      return bytes;
    },
    async *stream(digest, options = {}) {
      owner.lease("blob", digest);
      const digester = createDigester();
      try {
        for await (const piece of piecesOf(path(digest), options.signal)) {
          digester.update(piece);
          yield piece;
        }
      } catch (thrown) {
        throw missing(digest, thrown);
      }
      if (!matches(digest, () => digester.digest())) {
        await store.remove(digest);
        throw corrupt(digest);
      }
    },
    async write(source, options = {}) {
      options.signal?.throwIfAborted();
      if (options.expected !== undefined && fileSize(options.expected) !== undefined && isBytes(source)) {
        const digest = digestOf(source);
        if (digest === options.expected && (await store.has(digest))) {
          if (fileSize(digest) === source.length) return { digest, size: source.length };
        }
      }
      await using writer = await store.writer(options);
      if (isBytes(source)) await writer.write(source);
      else {
        for await (const piece of source) {
          options.signal?.throwIfAborted();
          await writer.write(piece);
        }
      }
      options.signal?.throwIfAborted();
      return await writer.commit(options);
    },
    async writer({ sizeBytes = 0 } = {}) {
      await owner.ledger.charge(sizeBytes);
      const draft = owner.newPath("temp");
      const file = await open(draft, "wx", 0o644).catch((thrown: unknown) => {
        owner.ledger.refund(sizeBytes);
        throw storeError(thrown);
      });
      return createWriter(draft, file, { ledger: owner.ledger, sizeBytes }, digest =>
        withLock(
          root,
          BLOB_LOCK,
          undefined,
          () => {
            owner.lease("blob", digest);
            return rename(draft, path(digest));
          },
          { shared: true },
        ),
      );
    },
    async remove(digest) {
      await rm(path(digest), { force: true });
    },
  };
  return store;
}

/** Sets the time of last use, by which blobs are evicted; not being able to is no failure. */
function noteUse(path: string): void {
  const now = new Date();
  try {
    utimesSync(path, now, now);
  } catch {
    // Its next user may.
  }
}

/** A file's content, each piece in a buffer of its own. */
async function* piecesOf(path: string, signal: AbortSignal | undefined): AsyncIterable<Buffer> {
  const { size } = statSync(path);
  if (size > 0)
    yield* size <= SMALL_BYTES ? piecesAtOnce(path, size, signal) : piecesAside(path, size, signal);
}

/** To ask another thread to open, read and close a small file takes several times as long. */
function* piecesAtOnce(path: string, size: number, signal: AbortSignal | undefined): Iterable<Buffer> {
  const fd = openSync(path, "r");
  try {
    for (let left = size; left > 0;) {
      signal?.throwIfAborted();
      const room = roomFor(left);
      const bytesRead = readSync(fd, room);
      if (bytesRead === 0) return;
      left -= bytesRead;
      yield room.subarray(0, bytesRead);
    }
  } finally {
    closeSync(fd);
  }
}

async function* piecesAside(
  path: string,
  size: number,
  signal: AbortSignal | undefined,
): AsyncIterable<Buffer> {
  const file = await open(path);
  try {
    for (let left = size; left > 0;) {
      signal?.throwIfAborted();
      const room = roomFor(left);
      const { bytesRead } = await file.read(room, 0, room.length);
      if (bytesRead === 0) return;
      left -= bytesRead;
      yield room.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/** Most blobs are far smaller than a buffer; those of many at once would keep the garbage collector busy. */
function roomFor(left: number): Buffer {
  return Buffer.allocUnsafe(Math.min(left, BUFFER_BYTES));
}

function createWriter(
  draft: string,
  file: FileHandle,
  { ledger, sizeBytes }: { readonly ledger: Ledger; readonly sizeBytes: number },
  place: (digest: Digest) => Promise<void>,
): BlobWriter {
  const digester: Digester = createDigester();
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  let size = 0;
  /** On the ledger. */
  let charged = sizeBytes;
  let state: "open" | "closed" = "open";
  const flush = async (): Promise<void> => {
    const pieces = pending;
    pending = [];
    pendingBytes = 0;
    // More than was announced, or nothing was.
    if (size > charged) {
      await ledger.charge(size - charged);
      charged = size;
    }
    for (let bytes = Buffer.concat(pieces), done = 0; done < bytes.length;) {
      done += (await file.write(bytes, done)).bytesWritten;
    }
  };
  return {
    async write(piece) {
      if (state !== "open") throw new BakeError("internal", "BUG: write to a closed blob writer");
      digester.update(piece);
      size += piece.length;
      // Copied, since producers may use their buffer again.
      pending.push(Buffer.from(piece));
      pendingBytes += piece.length;
      if (pendingBytes < BUFFER_BYTES) return;
      await flush().catch((thrown: unknown) => {
        throw storeError(thrown);
      });
    },
    async commit(options = {}) {
      if (state !== "open") throw new BakeError("internal", "BUG: commit of a closed blob writer");
      const digest = digester.digest();
      if (options.sizeBytes !== undefined && options.sizeBytes !== size) {
        throw new BakeError(
          "content-corrupt",
          `blob has ${size} bytes where ${options.sizeBytes} were announced`,
        );
      }
      if (options.expected !== undefined && !options.expected.startsWith("sha256:")) {
        throw new BakeError(
          "not-supported",
          `cannot verify digest "${options.expected}": only sha256 is supported`,
        );
      }
      if (options.expected !== undefined && options.expected !== digest) {
        throw new BakeError(
          "content-corrupt",
          `blob has digest ${digest} where ${options.expected} was expected`,
        );
      }
      try {
        await flush();
        // After a power cut a name without its bytes would be worse than neither.
        await file.datasync();
        state = "closed";
        await file.close();
        await place(digest);
        ledger.refund(charged - size);
        charged = 0;
      } catch (thrown) {
        throw storeError(thrown);
      }
      return { digest, size };
    },
    async [Symbol.asyncDispose]() {
      if (state === "open") {
        state = "closed";
        await file.close();
      }
      await rm(draft, { force: true });
      ledger.refund(charged);
      charged = 0;
    },
  };
}

function isBytes(source: AsyncIterable<Uint8Array> | Uint8Array): source is Uint8Array {
  return source instanceof Uint8Array;
}

/** Digests of other algorithms are never written here, so only sha256 is compared. */
function matches(digest: Digest, actual: () => Digest): boolean {
  return !digest.startsWith("sha256:") || actual() === digest;
}

function missing(digest: Digest, thrown: unknown): unknown {
  if (!isCode(thrown, "ENOENT")) return storeError(thrown);
  return new BakeError("content-corrupt", `blob ${digest} is missing from the state directory`, {
    cause: thrown,
  });
}

function corrupt(digest: Digest): BakeError {
  return new BakeError(
    "content-corrupt",
    `blob ${digest} is damaged in the state directory; it was removed`,
    {
      hint: "run the build again to fetch or make it anew; if this happens twice, check the disk",
    },
  );
}

/** Gives errors of the disk their code; others pass through. */
export function storeError(thrown: unknown): unknown {
  if (isFull(thrown))
    return new BakeError("disk-full", "no space left in the state directory", { cause: thrown });
  if (isCode(thrown, "EROFS") || isCode(thrown, "EIO")) {
    return new BakeError("state-unusable", `the disk of the state directory fails: ${String(thrown)}`, {
      cause: thrown,
    });
  }
  return thrown;
}
