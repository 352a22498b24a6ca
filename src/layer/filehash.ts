// Digests of file contents, several at a time, remembered between builds by what the file system says of the file.
import { createHash, hash, webcrypto } from "node:crypto";
import { type BigIntStats, closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { entryFailure } from "./errno.ts";
import { type FileIdentity, isRacy, isSameFile } from "./stattable.ts";
import type { EntryStats } from "./walk.ts";

/** What is known of a file's content in one state of it. */
export interface KnownFile {
  /** The sha256 of its bytes in hex. */
  readonly digest: string;
  /** It has no attributes that count as content. */
  readonly isPlain: boolean;
}

/** What was learned of files, remembered between builds. Losing entries costs time, nothing else. */
export interface StatCache {
  get(absolute: string, stats: FileIdentity): KnownFile | undefined;
  set(absolute: string, stats: FileIdentity, file: KnownFile): void;
}

export interface FileHasher {
  /**
   * The sha256 of a file in hex: at once for small files, later for others. `shown` is the path in messages, `isPlain`
   * is remembered with the digest.
   */
  hash(
    absolute: string,
    stats: EntryStats,
    options: { readonly shown: string; readonly isPlain: boolean },
  ): string | Promise<string>;
}

/** Up to here a synchronous read is faster than any hand-over to another thread. */
const SYNC_BYTES = 64 * 1024;
/** Up to here a file is read whole and digested off the main thread; larger ones are streamed. */
const WHOLE_BYTES = 16 * 1024 * 1024;
/** As many as libuv has threads. */
const PARALLEL = 4;
/** Something else may have come into the place of the file: no link is followed, no fifo waited for. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

interface HashedFile {
  readonly absolute: string;
  /** As the walk saw it. */
  readonly stats: EntryStats;
  readonly isPlain: boolean;
  /** When reading began. */
  readonly startedMs: number;
}

export function createFileHasher({
  statCache,
  signal,
}: {
  readonly statCache?: StatCache | undefined;
  readonly signal?: AbortSignal | undefined;
}): FileHasher {
  const scratch = Buffer.allocUnsafe(SYNC_BYTES + 1);
  let running = 0;
  const waiting: (() => void)[] = [];

  const remember = (file: HashedFile, after: BigIntStats, digest: string): void => {
    const { absolute, stats, isPlain, startedMs } = file;
    if (!isRacy(stats, startedMs) && isSameFile(stats, after))
      statCache?.set(absolute, stats, { digest, isPlain });
  };

  const hashNow = (file: HashedFile): string | undefined => {
    const fd = openSync(file.absolute, OPEN_FLAGS);
    try {
      let length = 0;
      for (;;) {
        const read = readSync(fd, scratch, length, scratch.length - length, null);
        if (read === 0) break;
        length += read;
        // It grew meanwhile: read it as a large file.
        if (length > SYNC_BYTES) return undefined;
      }
      const digest = hash("sha256", scratch.subarray(0, length));
      remember(file, fstatSync(fd, { bigint: true }), digest);
      return digest;
    } finally {
      closeSync(fd);
    }
  };

  const hashLater = async (file: HashedFile): Promise<string> => {
    if (running >= PARALLEL) await new Promise<void>(resolve => waiting.push(resolve));
    running++;
    try {
      signal?.throwIfAborted();
      const handle = await open(file.absolute, OPEN_FLAGS);
      try {
        const digest =
          file.stats.size <= WHOLE_BYTES
            ? await digestOffThread(await handle.readFile())
            : await digestStream(handle, signal);
        remember(file, await handle.stat({ bigint: true }), digest);
        return digest;
      } finally {
        await handle.close();
      }
    } finally {
      running--;
      waiting.shift()?.();
    }
  };

  return {
    hash(absolute, stats, { shown, isPlain }) {
      const file: HashedFile = { absolute, stats, isPlain, startedMs: Date.now() };
      const failed = (thrown: unknown): unknown => entryFailure(shown, thrown);
      try {
        const digest = stats.size <= SYNC_BYTES ? hashNow(file) : undefined;
        if (digest !== undefined) return digest;
      } catch (thrown) {
        throw failed(thrown);
      }
      return hashLater(file).catch((thrown: unknown) => {
        throw failed(thrown);
      });
    },
  };
}

async function digestOffThread(bytes: Buffer): Promise<string> {
  return Buffer.from(await webcrypto.subtle.digest("SHA-256", bytes)).toString("hex");
}

async function digestStream(handle: FileHandle, signal: AbortSignal | undefined): Promise<string> {
  const whole = createHash("sha256");
  const chunk = Buffer.allocUnsafe(1024 * 1024);
  for (;;) {
    signal?.throwIfAborted();
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, null);
    if (bytesRead === 0) return whole.digest("hex");
    whole.update(chunk.subarray(0, bytesRead));
  }
}
