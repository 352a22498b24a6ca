// Where in the cache's journal keys and records are, by the shape of its lines. A line is checked and decoded when it
// is asked for: there may be a hundred thousand, of which a build needs some dozens.
import { BODY_AT } from "../content/journal.ts";
import type { Digest } from "../oci/digest.ts";
import type { ExecutionRecord, JournalRecord } from "./journalrecord.ts";

export interface JournalIndex {
  /** Takes in the lines that follow those that were taken in before. */
  add(lines: Buffer): void;
  clear(): void;
  /** The record that a key names, as the newest sound line of it says. */
  idOf(key: Digest): Digest | undefined;
  /** The newest sound record of an id. */
  record(id: Digest): ExecutionRecord | undefined;
  /** The newest record of a vertex, else of one with the same name. */
  newestOf(vertex: { readonly digest: Digest; readonly name: string }): ExecutionRecord | undefined;
}

/** A line's position among all bytes, until it is decoded. */
type Found<T> = number | T;

const NEWLINE = 10;
const QUOTE = 0x22;
const LETTER_K = 0x6b;
const LETTER_R = 0x72;
/** "sha256:" and 64 digits. Lines with other digests are decoded at once. */
const DIGEST_BYTES = 71;
/** Where JSON.stringify puts the first letter of the type of a `JournalRecord`, and its key or id. */
const TYPE_AT = BODY_AT + '{"type":"'.length;
const KEY_AT = BODY_AT + '{"type":"key","key":"'.length;
const KEY_LINE_BYTES = KEY_AT + DIGEST_BYTES + '","id":"'.length + DIGEST_BYTES + '"}'.length;
const ID_AT = BODY_AT + '{"type":"record","id":"'.length;
/** In Latin-1: text beyond ASCII is as its bytes are. */
const NAMED_RECORD = /^\{"type":"record","id":"[^"\\]+","vertex":"([^"\\]+)","name":("(?:[^"\\]|\\.)*")/;

/** Makes an index of nothing; `decode` checks and decodes a line. */
export function createJournalIndex(decode: (line: Buffer) => JournalRecord | undefined): JournalIndex {
  let chunks: { readonly at: number; readonly bytes: Buffer }[] = [];
  let size = 0;
  const keys = new Map<string, Found<Digest>>();
  const records = new Map<string, Found<ExecutionRecord>>();
  /** All executions, oldest first, and how many of them the next two maps know. */
  let executions: Found<ExecutionRecord>[] = [];
  let named = 0;
  const ofVertex = new Map<string, Found<ExecutionRecord>>();
  const ofName = new Map<string, Found<ExecutionRecord>>();
  /** Once a line was not what it looked like, none is believed unseen. */
  let isSuspicious = false;

  const apply = (record: JournalRecord | undefined): void => {
    if (record === undefined) return;
    if (record.type === "key") {
      keys.set(record.key, record.id);
      return;
    }
    records.set(record.id, record);
    executions.push(record);
  };
  const lineAt = (position: number): Buffer => {
    const chunk = chunks.findLast(({ at }) => at <= position);
    if (chunk === undefined) return Buffer.alloc(0);
    const start = position - chunk.at;
    const newline = chunk.bytes.indexOf(NEWLINE, start);
    return chunk.bytes.subarray(start, newline < 0 ? chunk.bytes.length : newline);
  };
  const takeIn = ({ at, bytes }: { readonly at: number; readonly bytes: Buffer }): void => {
    for (let start = 0; start < bytes.length;) {
      const newline = bytes.indexOf(NEWLINE, start);
      const end = newline < 0 ? bytes.length : newline;
      const from = start;
      start = end + 1;
      if (end === from) continue;
      const kind = isSuspicious ? undefined : kindOfLine(bytes, from, end);
      if (kind === "key") keys.set(digestAt(bytes, from + KEY_AT), at + from);
      else if (kind === "record") {
        records.set(digestAt(bytes, from + ID_AT), at + from);
        executions.push(at + from);
      } else apply(decode(bytes.subarray(from, end)));
    }
  };
  const forget = (): void => {
    for (const map of [keys, records, ofVertex, ofName]) map.clear();
    executions = [];
    named = 0;
  };
  /** Reads everything again, line by line. */
  const lookCloser = (): void => {
    isSuspicious = true;
    forget();
    chunks.forEach(takeIn);
  };
  /** What a map says of a key: decoded, and again after a closer look if that line is not sound. */
  const resolve = <T>(
    map: Map<string, Found<T>>,
    key: string,
    read: (record: JournalRecord | undefined) => T | undefined,
  ): T | undefined => {
    for (;;) {
      const found = map.get(key);
      if (typeof found !== "number") return found;
      const value = read(decode(lineAt(found)));
      if (value !== undefined) {
        map.set(key, value);
        return value;
      }
      lookCloser();
      if (map === ofVertex || map === ofName) nameAll();
    }
  };
  /** Explanations alone ask for records by what they are of. */
  const nameAll = (): void => {
    for (; named < executions.length; named++) {
      const found = executions[named];
      if (typeof found === "number") {
        const line = lineAt(found);
        const [, vertex, name] = NAMED_RECORD.exec(line.toString("latin1", BODY_AT)) ?? [];
        if (vertex === undefined || name === undefined) continue;
        ofVertex.set(vertex, found);
        ofName.set(name, found);
      } else if (found !== undefined) {
        ofVertex.set(found.vertex, found);
        ofName.set(writtenName(found.name), found);
      }
    }
  };
  return {
    add(bytes) {
      if (bytes.length === 0) return;
      const chunk = { at: size, bytes };
      chunks.push(chunk);
      size += bytes.length;
      takeIn(chunk);
    },
    clear() {
      chunks = [];
      size = 0;
      isSuspicious = false;
      forget();
    },
    idOf: key =>
      resolve(keys, key, record => (record?.type === "key" && record.key === key ? record.id : undefined)),
    record: id =>
      resolve(records, id, record => (record?.type === "record" && record.id === id ? record : undefined)),
    newestOf({ digest, name }) {
      nameAll();
      return (
        resolve(ofVertex, digest, record =>
          record?.type === "record" && record.vertex === digest ? record : undefined,
        ) ??
        resolve(ofName, writtenName(name), record =>
          record?.type === "record" && record.name === name ? record : undefined,
        )
      );
    },
  };
}

/** What a line looks like. */
function kindOfLine(bytes: Buffer, from: number, end: number): "key" | "record" | undefined {
  const type = bytes[from + TYPE_AT];
  if (type === LETTER_K)
    return end - from === KEY_LINE_BYTES && bytes[from + KEY_AT + DIGEST_BYTES] === QUOTE ? "key" : undefined;
  return type === LETTER_R &&
    end - from > ID_AT + DIGEST_BYTES &&
    bytes[from + ID_AT + DIGEST_BYTES] === QUOTE
    ? "record"
    : undefined;
}

function digestAt(bytes: Buffer, at: number): string {
  return bytes.toString("latin1", at, at + DIGEST_BYTES);
}

/** A name as lines have it. */
function writtenName(name: string): string {
  return Buffer.from(JSON.stringify(name)).toString("latin1");
}
