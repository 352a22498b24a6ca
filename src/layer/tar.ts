// The tar format as layers use it: POSIX ustar with PAX records (pax(1), "pax Interchange Format"), GNU long names on
// reading. Written here because attribute values in PAX records are bytes, not text, and mode 0 and large owners must
// survive; general tar libraries lose them.
import { BakeError } from "../diagnostic/error.ts";
import { type DataPiece, expectSound, paxMapOf, readDataMap, readOldMap } from "./tarsparse.ts";
import type { Xattr } from "./xattr.ts";

export type TarType = "file" | "hardlink" | "symlink" | "char" | "block" | "directory" | "fifo";

export interface TarHeader {
  /** Path as stored; directories may end in a slash. */
  readonly name: string;
  readonly type: TarType;
  /** The twelve permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of content that follow; 0 for everything but files. */
  readonly size: number;
  /** Seconds since the epoch; written without fraction. */
  readonly mtime: number;
  /** Target of links, "" for others. */
  readonly linkname: string;
  readonly devMajor: number;
  readonly devMinor: number;
  readonly xattrs: readonly Xattr[];
}

export interface TarEntry {
  readonly header: TarHeader;
  /** The content; may be left unread, but only until the next entry is asked for. */
  readonly body: AsyncIterable<Buffer>;
  /** Where the content belongs in a file with holes, whose whole size is in the header; undefined for all others. */
  readonly pieces: readonly DataPiece[] | undefined;
}

const BLOCK = 512;
const XATTR = "SCHILY.xattr.";
const FLAGS = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  char: "3",
  block: "4",
  directory: "5",
  fifo: "6",
} as const satisfies Readonly<Record<TarType, string>>;
const TYPES: ReadonlyMap<string, TarType> = new Map([
  ["0", "file"],
  ["\0", "file"],
  ["7", "file"],
  ["S", "file"],
  ["1", "hardlink"],
  ["2", "symlink"],
  ["3", "char"],
  ["4", "block"],
  ["5", "directory"],
  ["6", "fifo"],
]);
/** Long names and attributes together; a header beyond that is an attack. */
const MAX_EXTENSION_BYTES = 8 * 1024 * 1024;

/** Two empty blocks end an archive. */
export function tarEnd(): Buffer {
  return Buffer.alloc(2 * BLOCK);
}

/** Zeros after content of `size` bytes. */
export function tarPadding(size: number): Buffer {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
}

/** The header block of an entry, preceded by a PAX header when a value does not fit into ustar's fields. */
export function encodeTarHeader(header: TarHeader): Buffer {
  const records: Buffer[] = [];
  const path = splitName(header.name);
  if (path === undefined) records.push(paxRecord("path", header.name));
  const shortLink = isAscii(header.linkname) && header.linkname.length <= 100;
  if (!shortLink) records.push(paxRecord("linkpath", header.linkname));
  if (header.size >= 8 ** 11) records.push(paxRecord("size", String(header.size)));
  if (header.uid >= 8 ** 7) records.push(paxRecord("uid", String(header.uid)));
  if (header.gid >= 8 ** 7) records.push(paxRecord("gid", String(header.gid)));
  const mtime = Math.floor(header.mtime);
  if (mtime < 0 || mtime >= 8 ** 11) records.push(paxRecord("mtime", String(mtime)));
  for (const { name, value } of header.xattrs) records.push(paxRecord(XATTR + name, value));

  const block = encodeBlock(FLAGS[header.type], path ?? { prefix: "", name: shortenName(header.name) }, {
    ...header,
    mtime,
    linkname: shortLink ? header.linkname : "",
  });
  if (records.length === 0) return block;
  const body = Buffer.concat(records);
  const extension = encodeBlock(
    "x",
    { prefix: "", name: "PaxHeaders.0" },
    { ...EMPTY, mode: 0o644, size: body.length },
  );
  return Buffer.concat([extension, body, tarPadding(body.length), block]);
}

const EMPTY = { mode: 0, uid: 0, gid: 0, size: 0, mtime: 0, linkname: "", devMajor: 0, devMinor: 0 };

function encodeBlock(
  flag: string,
  path: { readonly prefix: string; readonly name: string },
  fields: Omit<TarHeader, "name" | "type" | "xattrs">,
): Buffer {
  const block = Buffer.alloc(BLOCK);
  block.write(path.name, 0, 100, "latin1");
  octal(block, 100, 8, fields.mode & 0o7777);
  octal(block, 108, 8, fields.uid);
  octal(block, 116, 8, fields.gid);
  octal(block, 124, 12, fields.size);
  octal(block, 136, 12, fields.mtime);
  block.fill(0x20, 148, 156);
  block.write(flag, 156, 1, "latin1");
  block.write(fields.linkname, 157, 100, "latin1");
  block.write("ustar\u000000", 257, 8, "latin1");
  octal(block, 329, 8, fields.devMajor);
  octal(block, 337, 8, fields.devMinor);
  block.write(path.prefix, 345, 155, "latin1");
  let sum = 0;
  // Not by an iterator: what exports write has some headers, of which most of the time would go into this.
  for (let at = 0; at < BLOCK; at++) sum += block[at] ?? 0;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, 8, "latin1");
  return block;
}

/** Values that do not fit are written as 0: a PAX record carries them. */
function octal(block: Buffer, at: number, width: number, value: number): void {
  const fits = value >= 0 && value < 8 ** (width - 1);
  block.write((fits ? value : 0).toString(8).padStart(width - 1, "0"), at, width - 1, "latin1");
}

function isAscii(text: string): boolean {
  return /^[\x01-\x7f]*$/.test(text);
}

function splitName(name: string): { readonly prefix: string; readonly name: string } | undefined {
  if (!isAscii(name)) return undefined;
  if (name.length <= 100) return { prefix: "", name };
  if (name.length > 256) return undefined;
  const slash = name.lastIndexOf("/", Math.min(155, name.length - 2));
  if (slash <= 0 || name.length - slash - 1 > 100) return undefined;
  return { prefix: name.slice(0, slash), name: name.slice(slash + 1) };
}

/** What readers without PAX see. */
function shortenName(name: string): string {
  const ascii = name.replace(/[^\x20-\x7e]/g, "");
  return ascii.length <= 100 ? ascii : name.endsWith("/") ? `${ascii.slice(0, 99)}/` : ascii.slice(0, 100);
}

/** `length key=value\n`, where length counts itself. */
function paxRecord(key: string, value: string | Uint8Array): Buffer {
  const rest = Buffer.concat([
    Buffer.from(` ${key}=`),
    typeof value === "string" ? Buffer.from(value) : value,
    Buffer.from("\n"),
  ]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/**
 * Reads the entries of an archive in order. Reads the source to its very end, padding included, so that a digest taken
 * of it on the way covers everything.
 * @throws BakeError "content-corrupt" when the archive is malformed or cut off
 */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry, void, void> {
  const reader = new BlockReader(source);
  try {
    const globals = new Map<string, Buffer>();
    let extension = new Map<string, Buffer>();
    for (;;) {
      const block = reader.take(BLOCK) ?? (await reader.read(BLOCK));
      if (block === undefined) break;
      if (block.length < BLOCK) throw corrupt("it ends within a header");
      if (block[0] === 0 && block.every(byte => byte === 0)) break;
      const raw = decodeBlock(block);
      if (raw.flag === "x" || raw.flag === "g") {
        const records = decodePax(await reader.readExtension(raw.size));
        if (raw.flag === "g") for (const [key, value] of records) globals.set(key, value);
        else extension = new Map([...extension, ...records]);
        continue;
      }
      if (raw.flag === "L" || raw.flag === "K") {
        const text = await reader.readExtension(raw.size);
        const end = text.indexOf(0);
        extension.set(raw.flag === "L" ? "path" : "linkpath", end < 0 ? text : text.subarray(0, end));
        continue;
      }
      const pax = globals.size === 0 ? extension : new Map([...globals, ...extension]);
      const header = completeHeader(raw, pax);
      extension = new Map();
      const old = raw.flag === "S" ? await readOldMap(block, number, () => reader.read(BLOCK)) : undefined;
      reader.beginBody(header.size);
      const map = paxMapOf(pax);
      const sparse =
        old ??
        (map?.kind === "data"
          ? await readDataMap(map.size, () => reader.readBodyBlock())
          : map?.kind === "records"
            ? map.file
            : undefined);
      if (sparse === undefined) yield { header, body: reader, pieces: undefined };
      else {
        expectSound(sparse, reader.bodyLeft);
        yield { header: { ...header, size: sparse.size }, body: reader, pieces: sparse.pieces };
      }
      await reader.skipBody();
    }
    await reader.drain();
  } finally {
    await reader.close();
  }
}

interface RawHeader extends Omit<TarHeader, "type" | "xattrs"> {
  readonly flag: string;
}

function decodeBlock(block: Buffer): RawHeader {
  let sum = 8 * 0x20;
  let signedSum = sum;
  for (let i = 0; i < BLOCK; i++) {
    if (i >= 148 && i < 156) continue;
    const byte = block[i] ?? 0;
    sum += byte;
    signedSum += byte > 127 ? byte - 256 : byte;
  }
  const stored = number(block, 148, 8);
  if (stored !== sum && stored !== signedSum) throw corrupt("the checksum of a header is wrong");
  const magic = block.toString("latin1", 257, 263);
  const flag = String.fromCharCode(block[156] ?? 0);
  const name = text(block, 0, 100);
  const prefix = magic === "ustar\0" ? text(block, 345, 155) : "";
  return {
    flag,
    name: prefix === "" ? name : `${prefix}/${name}`,
    mode: number(block, 100, 8) & 0o7777,
    uid: number(block, 108, 8),
    gid: number(block, 116, 8),
    size: number(block, 124, 12),
    mtime: number(block, 136, 12),
    linkname: text(block, 157, 100),
    devMajor: number(block, 329, 8),
    devMinor: number(block, 337, 8),
  };
}

function completeHeader(raw: RawHeader, pax: ReadonlyMap<string, Buffer>): TarHeader {
  const name = (pax.get("GNU.sparse.name") ?? pax.get("path"))?.toString("utf8") ?? raw.name;
  const type = raw.flag === "\0" && name.endsWith("/") ? "directory" : TYPES.get(raw.flag);
  if (type === undefined) throw corrupt(`"${name}" has the unknown type ${JSON.stringify(raw.flag)}`);
  const decimal = (key: string, otherwise: number): number => {
    const value = pax.get(key)?.toString("latin1");
    if (value === undefined || value === "") return otherwise;
    const parsed = Number(value);
    if (!Number.isFinite(parsed)) throw corrupt(`"${name}" has an invalid ${key}`);
    return parsed;
  };
  const size = decimal("size", raw.size);
  if (!Number.isSafeInteger(size) || size < 0) throw corrupt(`"${name}" has an invalid size`);
  const xattrs: Xattr[] = [];
  for (const [key, value] of pax)
    if (key.startsWith(XATTR)) xattrs.push({ name: key.slice(XATTR.length), value });
  return {
    name,
    type,
    mode: raw.mode,
    uid: decimal("uid", raw.uid),
    gid: decimal("gid", raw.gid),
    // Only files have content; some writers leave the size of a link's target in the header.
    size: type === "file" ? size : 0,
    mtime: decimal("mtime", raw.mtime),
    linkname: pax.get("linkpath")?.toString("utf8") ?? raw.linkname,
    devMajor: raw.devMajor,
    devMinor: raw.devMinor,
    xattrs,
  };
}

function decodePax(bytes: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>();
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(0x20, at);
    const length = space < 0 ? Number.NaN : Number(bytes.toString("latin1", at, space));
    const equals = bytes.indexOf(0x3d, space);
    const end = at + length;
    if (
      !Number.isInteger(length) ||
      end > bytes.length ||
      equals < 0 ||
      equals >= end ||
      bytes[end - 1] !== 0x0a
    ) {
      throw corrupt("a PAX record is malformed");
    }
    const key = bytes.toString("utf8", space + 1, equals);
    const value = bytes.subarray(equals + 1, end - 1);
    // The oldest PAX form of sparse files repeats two records; together they are what the next one has in one.
    if (key === "GNU.sparse.offset" || key === "GNU.sparse.numbytes") {
      const before = records.get("GNU.sparse.map");
      records.set("GNU.sparse.map", before ? Buffer.concat([before, Buffer.from(","), value]) : value);
    } else records.set(key, value);
    at = end;
  }
  return records;
}

function text(block: Buffer, at: number, width: number): string {
  const end = block.indexOf(0, at);
  return block.toString("utf8", at, end < 0 || end > at + width ? at + width : end);
}

/** Octal digits, or a big-endian number when the first bit is set (GNU base-256). */
function number(block: Buffer, at: number, width: number): number {
  const first = block[at] ?? 0;
  if ((first & 0x80) !== 0) {
    let value = first === 0xff ? -1 : first & 0x7f;
    for (let i = 1; i < width; i++) value = value * 256 + (block[at + i] ?? 0);
    return value;
  }
  const digits = block
    .toString("latin1", at, at + width)
    .replace(/^[ \0]+/, "")
    .replace(/[ \0].*$/s, "");
  if (digits === "") return 0;
  if (!/^[0-7]+$/.test(digits)) throw corrupt("a number in a header is malformed");
  return Number.parseInt(digits, 8);
}

function corrupt(why: string): BakeError {
  return new BakeError("content-corrupt", `cannot read the archive: ${why}`);
}

/** Cuts a stream of chunks into blocks and bodies, copying only where a piece crosses chunks. */
class BlockReader implements AsyncIterable<Buffer> {
  readonly #source: AsyncIterator<Uint8Array>;
  #chunk: Buffer = Buffer.alloc(0);
  #at = 0;
  #bodyLeft = 0;
  #padding = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** `size` bytes when they are at hand in one piece. */
  take(size: number): Buffer | undefined {
    if (this.#chunk.length - this.#at < size) return undefined;
    const piece = this.#chunk.subarray(this.#at, this.#at + size);
    this.#at += size;
    return piece;
  }

  /** `size` bytes, fewer only at the end of the source, undefined when nothing is left. */
  async read(size: number): Promise<Buffer | undefined> {
    const pieces: Buffer[] = [];
    let missing = size;
    while (missing > 0) {
      if (this.#at === this.#chunk.length && !(await this.#next())) break;
      const piece = this.#chunk.subarray(this.#at, this.#at + missing);
      this.#at += piece.length;
      missing -= piece.length;
      pieces.push(piece);
    }
    if (pieces.length === 0) return size === 0 ? Buffer.alloc(0) : undefined;
    return pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
  }

  async readExtension(size: number): Promise<Buffer> {
    if (size > MAX_EXTENSION_BYTES) throw corrupt("an extended header is too large");
    const padded = size + ((BLOCK - (size % BLOCK)) % BLOCK);
    const bytes = await this.read(padded);
    if (padded !== 0 && (bytes === undefined || bytes.length < padded))
      throw corrupt("it ends within a header");
    // Kept while further chunks arrive, so it must not be a view into one.
    return Buffer.from(bytes?.subarray(0, size) ?? []);
  }

  beginBody(size: number): void {
    this.#bodyLeft = size;
    this.#padding = (BLOCK - (size % BLOCK)) % BLOCK;
  }

  get bodyLeft(): number {
    return this.#bodyLeft;
  }

  /** A block from the start of the body, which is then no more part of it. */
  async readBodyBlock(): Promise<Buffer> {
    const block = this.#bodyLeft < BLOCK ? undefined : await this.read(BLOCK);
    if (block?.length !== BLOCK) throw corrupt("the map of a sparse file is cut off");
    this.#bodyLeft -= BLOCK;
    return Buffer.from(block);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
    while (this.#bodyLeft > 0) {
      if (this.#at === this.#chunk.length && !(await this.#next())) throw corrupt("it ends within a file");
      const piece = this.#chunk.subarray(this.#at, this.#at + this.#bodyLeft);
      this.#at += piece.length;
      this.#bodyLeft -= piece.length;
      yield piece;
    }
  }

  async skipBody(): Promise<void> {
    let left = this.#bodyLeft + this.#padding;
    this.#bodyLeft = 0;
    this.#padding = 0;
    while (left > 0) {
      if (this.#at === this.#chunk.length && !(await this.#next())) throw corrupt("it ends within a file");
      const step = Math.min(left, this.#chunk.length - this.#at);
      this.#at += step;
      left -= step;
    }
  }

  async drain(): Promise<void> {
    while (await this.#next());
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }

  async #next(): Promise<boolean> {
    for (;;) {
      const next = await this.#source.next();
      if (next.done === true) return false;
      const { value } = next;
      if (value.length === 0) continue;
      this.#chunk = Buffer.isBuffer(value)
        ? value
        : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      this.#at = 0;
      return true;
    }
  }
}
