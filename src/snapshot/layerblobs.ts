// Which blob holds a snapshot's changes: known for pulled layers, and remembered for layers once packed, so that an
// unchanged layer is neither compressed nor uploaded again. Lost entries cost time, never correctness.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { isObject, openJournal } from "../content/journal.ts";
import type { Owner } from "../content/lease.ts";
import type { StateRoot } from "../content/root.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { SnapshotId } from "./snapshotter.ts";

export interface LayerBlob {
  readonly descriptor: Descriptor;
  /** Digest of the uncompressed tar. */
  readonly diffId: Digest;
  /** When the layer was made, ISO 8601. */
  readonly created: string;
  /** The times in it are not later than this many seconds since the epoch. Default: they are those of the files. */
  readonly clampEpoch?: number;
}

export interface LayerBlobs {
  /** Every blob known for a snapshot's own changes, in the order they were added. */
  find(snapshot: string): Promise<readonly LayerBlob[]>;
  add(snapshot: SnapshotId, blob: LayerBlob): Promise<void>;
  /** Every blob that is known for some snapshot, by the snapshot's id. */
  all(): Promise<ReadonlyMap<string, readonly LayerBlob[]>>;
  /** Forgets what is known of snapshots that are gone. Entries follow their snapshot, so none in the making is lost. */
  compact(signal?: AbortSignal): Promise<void>;
}

interface LayerRecord {
  readonly snapshot: string;
  readonly blob: LayerBlob;
}

/** The layer blobs of a state directory. The journal is read when first asked. */
export function openLayerBlobs(root: StateRoot, owner: Owner): LayerBlobs {
  const journal = openJournal<LayerRecord>(root, owner, "layers", {
    encode: record => record,
    decode: decodeRecord,
  });
  const known = new Map<string, LayerBlob[]>();
  let refreshing: Promise<void> | undefined;

  const refresh = async (): Promise<void> => {
    const { records, restarted } = await journal.refresh();
    if (restarted) known.clear();
    for (const { snapshot, blob } of records) {
      const blobs = known.get(snapshot) ?? [];
      if (!blobs.some(other => identityOf(other) === identityOf(blob))) known.set(snapshot, [...blobs, blob]);
    }
  };
  const refreshed = (): Promise<void> => {
    refreshing ??= refresh().finally(() => (refreshing = undefined));
    return refreshing;
  };

  return {
    async find(snapshot) {
      await refreshed();
      return known.get(snapshot) ?? [];
    },
    add: (snapshot, blob) => journal.append({ snapshot, blob }),
    async all() {
      await refreshed();
      return known;
    },
    compact: signal =>
      journal.compact(records => {
        const present = new Map<string, boolean>();
        const seen = new Set<string>();
        return records.filter(({ snapshot, blob }) => {
          const known = present.get(snapshot) ?? existsSync(join(root.snapshots, snapshot));
          present.set(snapshot, known);
          const line = `${snapshot} ${identityOf(blob)}`;
          if (!known || seen.has(line)) return false;
          seen.add(line);
          return true;
        });
      }, signal),
  };
}

/** Files that are all older than an epoch have the same bytes with and without it. */
function identityOf({ descriptor, clampEpoch }: LayerBlob): string {
  return clampEpoch === undefined ? descriptor.digest : `${descriptor.digest} ${clampEpoch}`;
}

function decodeRecord(value: unknown): LayerRecord | undefined {
  if (!isObject(value) || typeof value["snapshot"] !== "string" || !isObject(value["blob"])) return undefined;
  const { descriptor, diffId, created, clampEpoch } = value["blob"];
  if (!isObject(descriptor) || typeof diffId !== "string" || !isDigest(diffId) || typeof created !== "string")
    return undefined;
  const { mediaType, digest, size } = descriptor;
  if (
    typeof mediaType !== "string" ||
    typeof digest !== "string" ||
    !isDigest(digest) ||
    typeof size !== "number"
  )
    return undefined;
  if (clampEpoch !== undefined && typeof clampEpoch !== "number") return undefined;
  const blob = { descriptor: { mediaType, digest, size }, diffId, created };
  return {
    snapshot: value["snapshot"],
    blob: clampEpoch === undefined ? blob : { ...blob, clampEpoch },
  };
}
