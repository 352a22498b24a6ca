// What the lines of the cache's journal say: keys name records, records name snapshots.
import { isObject, type Journal, openJournal } from "../content/journal.ts";
import type { Owner } from "../content/lease.ts";
import type { StateRoot } from "../content/root.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import type { StoredPart } from "../solver/op.ts";

/** What one output of an execution left: a snapshot's id, "scratch", or null when it cannot be kept. */
export type StoredOutput = string | null;

/** An execution: its results, and the parts of its keys for explanations. */
export interface ExecutionRecord {
  readonly type: "record";
  readonly id: Digest;
  readonly vertex: Digest;
  readonly name: string;
  readonly outputs: readonly StoredOutput[];
  readonly parts: readonly StoredPart[];
}

export type JournalRecord =
  ExecutionRecord | { readonly type: "key"; readonly key: Digest; readonly id: Digest };

/** Opens the journal that all processes of a state directory write. */
export function openCacheJournal(root: StateRoot, owner: Owner): Journal<JournalRecord> {
  return openJournal(root, owner, "cache", { encode: record => record, decode: decodeRecord });
}

function decodeRecord(value: unknown): JournalRecord | undefined {
  if (!isObject(value)) return undefined;
  const { type, id, key, vertex, name, outputs, parts } = value;
  if (typeof id !== "string" || !isDigest(id)) return undefined;
  if (type === "key") return typeof key === "string" && isDigest(key) ? { type, key, id } : undefined;
  if (type !== "record" || typeof vertex !== "string" || !isDigest(vertex) || typeof name !== "string")
    return undefined;
  if (
    !Array.isArray(outputs) ||
    !outputs.every((item): item is StoredOutput => item === null || typeof item === "string")
  )
    return undefined;
  if (!Array.isArray(parts) || !parts.every(isStoredPart)) return undefined;
  return { type, id, vertex, name, outputs, parts };
}

function isStoredPart(value: unknown): value is StoredPart {
  if (!isObject(value)) return false;
  const { label, value: digest, shown } = value;
  return (
    typeof label === "string" &&
    typeof digest === "string" &&
    isDigest(digest) &&
    (shown === undefined || typeof shown === "string")
  );
}
