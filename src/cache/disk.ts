// The solver's store on disk, an append-only journal shared by all processes of a state directory; every answer is
// checked against what really exists.
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Claims } from "../content/claims.ts";
import type { Owner } from "../content/lease.ts";
import { describeHolder } from "../content/lock.ts";
import type { StateRoot } from "../content/root.ts";
import type { Digest } from "../oci/digest.ts";
import type { Ref } from "../snapshot/ref.ts";
import { parseSnapshotId, type Snapshotter } from "../snapshot/snapshotter.ts";
import { touchSnapshot } from "../snapshot/snapshotstore.ts";
import { storedPart } from "../solver/cachekey.ts";
import type { CacheKey, CacheRecord, CacheStore, StoredPart } from "../solver/op.ts";
import { createJournalIndex } from "./journalindex.ts";
import { type JournalRecord, openCacheJournal, type StoredOutput } from "./journalrecord.ts";

export interface DiskStoreDeps {
  readonly root: StateRoot;
  readonly owner: Owner;
  readonly snapshots: Snapshotter;
  readonly claims: Claims;
}

/** A store that can also tell what one execution was keyed by. */
export interface DiskStore extends CacheStore<Ref> {
  /** Parts of the keys under which a record was last saved. */
  partsOf(record: Digest): Promise<readonly StoredPart[] | undefined>;
}

/** Opens the build cache of a state directory. The journal is read when first asked, then only its new end. */
export function openDiskStore({ root, owner, snapshots, claims }: DiskStoreDeps): DiskStore {
  const journal = openCacheJournal(root, owner);
  const index = createJournalIndex(line => journal.decode(line));
  const refresh = (): void => {
    const { bytes, restarted } = journal.refreshLines();
    if (restarted) index.clear();
    index.add(bytes);
  };
  const touched = new Set<string>();
  const touch = (output: string): void => {
    const id = parseSnapshotId(output);
    if (id === undefined || output === "scratch" || touched.has(output)) return;
    touched.add(output);
    // What is found is about to be loaded: room for what has to run is not to be made at its cost.
    owner.lease("snapshot", id);
    touchSnapshot(root, id);
  };
  const loadOutput = async (output: StoredOutput | undefined): Promise<Ref | undefined> => {
    if (output === undefined || output === null) return undefined;
    if (output === "scratch") return { tag: "scratch" };
    const id = parseSnapshotId(output);
    if (id === undefined || !(await snapshots.exists(id))) return undefined;
    return { tag: "snapshot", id };
  };
  const isWhole = async (id: Digest): Promise<boolean> => {
    const outputs = index.record(id)?.outputs;
    if (outputs === undefined) return false;
    for (const output of outputs)
      if (output !== null && (await loadOutput(output)) === undefined) return false;
    return true;
  };

  return {
    async query(key) {
      refresh();
      const id = index.idOf(key);
      const outputs = id === undefined ? undefined : index.record(id)?.outputs;
      if (id === undefined || outputs === undefined) return undefined;
      // A result may be of use without being loaded: when a later step's result is found.
      for (const output of outputs) if (output !== null) touch(output);
      return { id };
    },
    async load(record, output) {
      return loadOutput(index.record(record.id)?.outputs[output]);
    },
    async save(saved, vertex, results) {
      refresh();
      const known = saved.map(key => index.idOf(key.digest)).filter(id => id !== undefined);
      for (const id of known) if (await isWhole(id)) return linkAll(saved, { id });
      const first = saved[0];
      const id = known[0] ?? first?.digest;
      if (id === undefined) throw new Error("BUG: a result was saved without a key");
      const record: JournalRecord = {
        type: "record",
        id,
        vertex: vertex.digest,
        name: vertex.name,
        outputs: results.map(storedOutput),
        parts: storedParts(saved),
      };
      await journal.appendAll([record, ...saved.map(key => ({ type: "key" as const, key: key.digest, id }))]);
      refresh();
      return { id };
    },
    async link(key, record) {
      await linkAll([key], record);
    },
    claim: (key, wait) =>
      wait === undefined
        ? claims.take(key)
        : claims.wait(key, {
            signal: wait.signal,
            onWait: holderPid => wait.onWait(describeHolder(holderPid)),
          }),
    async partsOf(record) {
      refresh();
      return index.record(record)?.parts;
    },
    async previousParts({ digest, name }) {
      refresh();
      return index.newestOf({ digest, name })?.parts;
    },
  };

  async function linkAll(saved: readonly CacheKey[], record: CacheRecord): Promise<CacheRecord> {
    const fresh = saved.filter(key => index.idOf(key.digest) !== record.id);
    if (fresh.length > 0) {
      await journal.appendAll(fresh.map(key => ({ type: "key" as const, key: key.digest, id: record.id })));
      refresh();
    }
    return record;
  }
}

/**
 * Shrinks the journal: drops records whose snapshots are gone, and their keys. What the newest runs of steps were made
 * of stays for explanations, unless `forget` is set. Records follow their snapshots, so none in the making is lost.
 */
export async function compactDiskStore(
  { root, owner }: Pick<DiskStoreDeps, "root" | "owner">,
  { forget = false, signal }: { readonly forget?: boolean; readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const journal = openCacheJournal(root, owner);
  await journal.compact(
    all => compactRecords(all, path => existsSync(join(root.snapshots, path)), forget),
    signal,
  );
}

/** What the journal knows of the steps that made the snapshots of a state directory. */
export interface StoredSteps {
  /** The name of the step that made a snapshot, by the snapshot's id. */
  readonly names: ReadonlyMap<string, string>;
  /** The snapshots that a record names. */
  readonly outputs: ReadonlyMap<string, readonly string[]>;
}

/** Reads the journal for `bake du`. */
export async function readStoredSteps({
  root,
  owner,
}: Pick<DiskStoreDeps, "root" | "owner">): Promise<StoredSteps> {
  const journal = openCacheJournal(root, owner);
  const names = new Map<string, string>();
  const outputs = new Map<string, readonly string[]>();
  for (const record of (await journal.refresh()).records) {
    if (record.type !== "record") continue;
    const made = record.outputs.filter(output => output !== null);
    outputs.set(record.id, made);
    for (const output of made) names.set(output, record.name);
  }
  return { names, outputs };
}

/** How many steps that have lost their results are remembered for explanations. */
const MAX_REMEMBERED = 2_000;

function compactRecords(
  all: readonly JournalRecord[],
  isSnapshot: (id: string) => boolean,
  forget: boolean,
): readonly JournalRecord[] {
  const isHere = (output: StoredOutput): boolean =>
    output === null || output === "scratch" || isSnapshot(output);
  const newest = new Map<Digest, JournalRecord>();
  const newestOfStep = new Map<string, JournalRecord>();
  const keys = new Map<Digest, JournalRecord>();
  for (const record of all) {
    if (record.type === "key") keys.set(record.key, record);
    else {
      newest.set(record.id, record);
      newestOfStep.set(record.name, record);
    }
  }
  const live = new Set<JournalRecord>();
  for (const record of newest.values()) {
    if (record.type !== "record" || !record.outputs.every(isHere)) continue;
    // Nothing can be loaded of what was read in place.
    if (record.outputs.some(output => output !== null && (!forget || output !== "scratch"))) live.add(record);
  }
  const remembered = new Set(
    forget ? [] : [...newestOfStep.values()].filter(record => !live.has(record)).slice(-MAX_REMEMBERED),
  );
  const liveIds = new Set([...live].map(({ id }) => id));
  return all.filter(
    record =>
      live.has(record) ||
      remembered.has(record) ||
      (record.type === "key" && keys.get(record.key) === record && liveIds.has(record.id)),
  );
}

function storedOutput(ref: Ref | undefined): StoredOutput {
  switch (ref?.tag) {
    case undefined:
    // A directory read in place belongs to the user: it may not be the same tomorrow.
    case "local":
      return null;
    case "scratch":
      return "scratch";
    case "snapshot":
      return ref.id;
  }
}

/** Values of parts may hold credentials: only their digests are kept. */
function storedParts(saved: readonly CacheKey[]): readonly StoredPart[] {
  const parts = new Map<string, StoredPart>();
  for (const key of saved) {
    for (const part of key.parts) parts.set(part.label, storedPart(part));
    for (const part of key.details ?? []) parts.set(part.label, storedPart(part));
  }
  return [...parts.values()];
}
