// Digests of file contents, several at a time, remembered between builds by what the file system says of the file.
import { createHash, webcrypto } from "node:crypto";
import { type BigIntStats, createReadStream, fstatSync, openSync, readSync, closeSync } from "node:fs";
import { open } from "node:fs/promises";
import { errnoOf, fileFailure } from "./errno.ts";

/** Digests remembered between builds. Losing entries costs time, nothing else. */
export interface StatCache {
  get(key: string): string | undefined;
  set(key: string, value: string): void;
}

export interface FileHasher {
  /** The sha256 of a file in hex: at once for small files, later for others. `shown` is the path in messages. */
  hash(absolute: string, stats: BigIntStats, shown: string): string | Promise<string>;
}

/** Up to here a synchronous read is faster than any hand-over to another thread. */
const SYNC_BYTES = 64 * 1024;
/** Up to here a file is read whole and digested off the main thread; larger ones are streamed. */
const WHOLE_BYTES = 16 * 1024 * 1024;
/** As many as libuv has threads. */
const PARALLEL = 4;
/**
 * A file changed this shortly before it was read may change again without its times moving (coarse clocks, FAT's two
 * seconds): its digest is not remembered.
 */
const RACY_NS = 2_000_000_000n;

export function createFileHasher({
  statCache,
  signal,
}: {
  readonly statCache?: StatCache | undefined;
  readonly signal?: AbortSignal | undefined;
}): FileHasher {
  const startedNs = BigInt(Date.now()) * 1_000_000n;
  const scratch = Buffer.allocUnsafe(SYNC_BYTES + 1);
  let running = 0;
  const waiting: (() => void)[] = [];

  const remember = (key: string, before: BigIntStats, after: BigIntStats, digest: string): void => {
    const newest = before.mtimeNs > before.ctimeNs ? before.mtimeNs : before.ctimeNs;
    if (newest + RACY_NS < startedNs && isSameState(before, after)) statCache?.set(key, digest);
  };

  const hashNow = (absolute: string, key: string, stats: BigIntStats): string | undefined => {
    const fd = openSync(absolute, "r");
    try {
      let length = 0;
      for (;;) {
        const read = readSync(fd, scratch, length, scratch.length - length, null);
        if (read === 0) break;
        length += read;
        // It grew meanwhile: read it as a large file.
        if (length > SYNC_BYTES) return undefined;
      }
      const digest = createHash("sha256").update(scratch.subarray(0, length)).digest("hex");
      remember(key, stats, fstatSync(fd, { bigint: true }), digest);
      return digest;
    } finally {
      closeSync(fd);
    }
  };

  const hashLater = async (absolute: string, key: string, stats: BigIntStats): Promise<string> => {
    if (running >= PARALLEL) await new Promise<void>(resolve => waiting.push(resolve));
    running++;
    try {
      signal?.throwIfAborted();
      const handle = await open(absolute, "r");
      try {
        const digest =
          stats.size <= WHOLE_BYTES
            ? await digestOffThread(await handle.readFile())
            : await digestStream(absolute, signal);
        remember(key, stats, await handle.stat({ bigint: true }), digest);
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
    hash(absolute, stats, shown) {
      const key = `${absolute}\0${stats.dev}:${stats.ino}:${stats.size}:${stats.mtimeNs}:${stats.ctimeNs}`;
      const known = statCache?.get(key);
      if (known !== undefined) return known;
      const failed = (thrown: unknown): unknown =>
        fileFailure(
          "read",
          shown,
          thrown,
          errnoOf(thrown) === "EACCES" ? "make it readable or ignore it" : undefined,
        );
      try {
        const digest = stats.size <= SYNC_BYTES ? hashNow(absolute, key, stats) : undefined;
        if (digest !== undefined) return digest;
      } catch (thrown) {
        throw failed(thrown);
      }
      return hashLater(absolute, key, stats).catch((thrown: unknown) => {
        throw failed(thrown);
      });
    },
  };
}

function isSameState(a: BigIntStats, b: BigIntStats): boolean {
  return a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs && a.ino === b.ino;
}

async function digestOffThread(bytes: Buffer): Promise<string> {
  return Buffer.from(await webcrypto.subtle.digest("SHA-256", bytes)).toString("hex");
}

async function digestStream(absolute: string, signal: AbortSignal | undefined): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(absolute, {
    highWaterMark: 1024 * 1024,
    ...(signal && { signal }),
  })) {
    if (chunk instanceof Uint8Array) hash.update(chunk);
  }
  return hash.digest("hex");
}
