// An append-only log shared by processes: one record a line, each with a checksum. Lines that do not check, such as
// the torn last one after a power cut, are skipped. Appending needs no lock, since O_APPEND writes do not interleave.
// Files are read and written at once: these are a few lines for each step, and asking another thread takes longer.
import { hash } from "node:crypto";
import { type BigIntStats, closeSync, fstatSync, openSync, readSync, statSync, writeSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { storeError } from "./blob.ts";
import type { Owner } from "./lease.ts";
import { withLock } from "./lock.ts";
import { isCode, type StateRoot } from "./root.ts";

export interface Journal<T> {
  /** Adds a record for all processes to see; resolves when it would survive the death of this process. */
  append(record: T): Promise<void>;
  appendAll(records: readonly T[]): Promise<void>;
  /**
   * Records that appeared since the last call, this process's own included, oldest first. After a compaction by
   * another process `restarted` is true, and the records are all there are.
   */
  refresh(): Promise<JournalChunk<T>>;
  /** The same as lines that are neither checked nor decoded yet; empty ones among them mean nothing. */
  refreshLines(): JournalLines;
  /** What one line, without its end, says; undefined when it is damaged, or no such record. */
  decode(line: Buffer): T | undefined;
  /** Replaces the log by the records that `keep` makes of all of them. No record appended meanwhile is lost. */
  compact(keep: (records: readonly T[]) => readonly T[], signal?: AbortSignal): Promise<void>;
  /** Size of the log in bytes when last read. */
  readonly sizeBytes: number;
}

export interface JournalChunk<T> {
  readonly records: readonly T[];
  readonly restarted: boolean;
  /** Lines that were damaged and skipped. */
  readonly damaged: number;
}

export interface JournalLines {
  /** Whole lines. */
  readonly bytes: Buffer;
  readonly restarted: boolean;
}

export interface JournalCodec<T> {
  /** A value that JSON can hold. */
  encode(record: T): unknown;
  /** Undefined for what is not such a record: written by another version, say. */
  decode(value: unknown): T | undefined;
}

const CHECK_DIGITS = 12;
/** Where in a line what it says begins: behind its checksum. */
export const BODY_AT = CHECK_DIGITS + 1;
const NEWLINE = 10;
const NOTHING = Buffer.alloc(0);

/** Opens the log `<name>.log` of the state directory; the file appears with the first record. */
export function openJournal<T>(
  root: StateRoot,
  owner: Owner,
  name: string,
  codec: JournalCodec<T>,
): Journal<T> {
  const path = join(root.journals, `${name}.log`);
  const lockKey = `journal ${name}`;
  /** Which file was read, and how far: up to the end of a line; and its size then. */
  let identity = "";
  let position = 0;
  let sizeSeen = -1n;

  /** Asked for each step of a build; opening the file would take ten times as long as a look at its size. */
  const isAsRead = (): boolean => {
    const found = statSync(path, { bigint: true, throwIfNoEntry: false });
    return found === undefined ? identity === "" : identity === identityOf(found) && found.size === sizeSeen;
  };

  const read = (): JournalLines => {
    if (isAsRead()) return { bytes: NOTHING, restarted: false };
    const fd = openIfThere(path);
    if (fd === undefined) {
      const restarted = identity !== "";
      identity = "";
      position = 0;
      return { bytes: NOTHING, restarted };
    }
    try {
      const found = fstatSync(fd, { bigint: true });
      const current = identityOf(found);
      const restarted = identity !== "" && (current !== identity || Number(found.size) < position);
      if (restarted) position = 0;
      identity = current;
      const bytes = readFrom(fd, position, Number(found.size) - position);
      const end = bytes.lastIndexOf(NEWLINE) + 1;
      position += end;
      // Less when it was cut off while it was read: then it is read again.
      sizeSeen = BigInt(position - end + bytes.length);
      return { bytes: bytes.subarray(0, end), restarted };
    } finally {
      closeSync(fd);
    }
  };

  const journal: Journal<T> = {
    get sizeBytes() {
      return position;
    },
    append: record => journal.appendAll([record]),
    async appendAll(records) {
      if (records.length === 0) return;
      // The newline in front closes a torn line that a dead process may have left; empty lines mean nothing.
      const bytes = Buffer.from(`\n${records.map(record => encodeLine(codec.encode(record))).join("")}`);
      // Shared with other writers; only compaction, which replaces the file, excludes them.
      await withLock(root, lockKey, undefined, () => appendBytes(path, bytes), { shared: true });
    },
    refresh: async () => {
      const { bytes, restarted } = read();
      return { ...decodeLines(bytes, codec), restarted };
    },
    refreshLines: read,
    decode: line => decodeLine(line, codec),
    async compact(keep, signal) {
      await withLock(root, lockKey, signal, async () => {
        const fd = openIfThere(path);
        if (fd === undefined) return;
        let bytes: Buffer;
        try {
          bytes = readFrom(fd, 0, fstatSync(fd).size);
        } finally {
          closeSync(fd);
        }
        const kept = keep(decodeLines(bytes, codec).records);
        await replaceFile(
          path,
          owner.newPath("temp"),
          kept.map(record => encodeLine(codec.encode(record))).join(""),
        );
      });
    },
  };
  return journal;
}

/** Inode numbers are given out again, so the time of birth belongs to a file's identity. */
function identityOf({ ino, birthtimeNs }: BigIntStats): string {
  return `${ino} ${birthtimeNs}`;
}

function encodeLine(value: unknown): string {
  const text = JSON.stringify(value);
  return `${check(text)} ${text}\n`;
}

function check(text: string | Buffer): string {
  return hash("sha256", text).slice(0, CHECK_DIGITS);
}

function decodeLines<T>(
  bytes: Buffer,
  codec: JournalCodec<T>,
): { readonly records: readonly T[]; readonly damaged: number } {
  const records: T[] = [];
  let damaged = 0;
  for (let start = 0; start < bytes.length;) {
    const newline = bytes.indexOf(NEWLINE, start);
    const end = newline < 0 ? bytes.length : newline;
    const line = bytes.subarray(start, end);
    start = end + 1;
    if (line.length === 0) continue;
    const record = decodeLine(line, codec);
    if (record === undefined) damaged++;
    else records.push(record);
  }
  return { records, damaged };
}

function decodeLine<T>(line: Buffer, codec: JournalCodec<T>): T | undefined {
  const body = line.subarray(BODY_AT);
  if (line.length <= BODY_AT || line.toString("latin1", 0, CHECK_DIGITS) !== check(body)) return undefined;
  try {
    return codec.decode(JSON.parse(body.toString("utf8")));
  } catch {
    return undefined;
  }
}

function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, "r");
  } catch (thrown) {
    if (isCode(thrown, "ENOENT")) return undefined;
    throw storeError(thrown);
  }
}

function readFrom(fd: number, position: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(Math.max(0, length));
  let filled = 0;
  while (filled < bytes.length) {
    const bytesRead = readSync(fd, bytes, filled, bytes.length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

function appendBytes(path: string, bytes: Buffer): void {
  try {
    const fd = openSync(path, "a", 0o600);
    try {
      // A short write (full disk) leaves a torn line, which readers skip.
      if (writeSync(fd, bytes) < bytes.length)
        throw Object.assign(new Error("short write"), { code: "ENOSPC" });
    } finally {
      closeSync(fd);
    }
  } catch (thrown) {
    throw storeError(thrown);
  }
}

async function replaceFile(path: string, draft: string, text: string): Promise<void> {
  try {
    const file = await open(draft, "wx", 0o600);
    try {
      await file.writeFile(text);
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(draft, path);
  } catch (thrown) {
    await rm(draft, { force: true });
    throw storeError(thrown);
  }
}

/** Whether a stored value is an object with members: what a codec asks first. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
