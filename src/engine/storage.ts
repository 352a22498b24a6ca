// Removing from a state directory what nobody uses: the work behind `bake prune` and the ceiling on the cache. Safe
// while builds run: everything is renamed out of sight under the lock that its users take.
import { readFileSync, type StatsFs, statfsSync } from "node:fs";
import { readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { compactDiskStore } from "../cache/disk.ts";
import { fillBallast, lacksBallast } from "../content/ballast.ts";
import { type BlobStore, openBlobStore } from "../content/blob.ts";
import { emptyTrash, pruneBlobs } from "../content/blobprune.ts";
import { type EvictableKind, evictableKinds, type EvictionGoal, planEviction } from "../content/gc.ts";
import { openOwner, type Owner, readLeases } from "../content/lease.ts";
import { settleLedger, usedBytes } from "../content/ledger.ts";
import { withLock } from "../content/lock.ts";
import { openStateRoot, stateFolders, type StateRoot } from "../content/root.ts";
import { wipeStateRoot } from "../content/wipe.ts";
import { isDigest } from "../oci/digest.ts";
import { type LayerBlobs, openLayerBlobs } from "../snapshot/layerblobs.ts";
import { openSnapshotStore, type SnapshotStore } from "../snapshot/snapshotstore.ts";
import { parseSnapshotId } from "../snapshot/snapshotter.ts";
import {
  CACHE_MOUNTS,
  cacheFolders,
  type ListOptions,
  listThings,
  newest,
  type StoredThing,
} from "./usage.ts";

export interface Storage extends AsyncDisposable {
  /** Everything there is, in no order. */
  list(options?: ListOptions): Promise<readonly StoredThing[]>;
  /** What `prune` would remove. */
  plan(goal: StorageGoal, signal?: AbortSignal): Promise<readonly StoredThing[]>;
  /** Removes what the goal asks for and nobody uses; returns what is gone. */
  prune(goal: StorageGoal, signal?: AbortSignal): Promise<readonly StoredThing[]>;
}

export interface StorageGoal extends EvictionGoal<StoredThing> {
  /** Keep at least this much of the disk free, in bytes, as far as removing entries can. */
  readonly minFreeBytes?: number | undefined;
  /** Room for this much more than what is there, in bytes. */
  readonly pledgedBytes?: number | undefined;
  /** What was not used for this long goes whatever there is room for, in milliseconds. */
  readonly unusedForMs?: number | undefined;
  /** This much may stay whatever else is asked for, in bytes. */
  readonly reservedBytes?: number | undefined;
  /** Also drops the history of steps, and the records themselves when nothing is left that they are of. */
  readonly forget?: boolean;
  /** What goes is described by the steps that made it, for which records have to be read. */
  readonly described?: boolean;
}

/** The cache may take this part of its disk by default, and no more than the next line says. */
const DEFAULT_DISK_PART = 0.1;
const DEFAULT_MAX_BYTES = 20 * 1024 ** 3;
const FREE_DISK_PART = 0.05;
const FREE_MAX_BYTES = 2 * 1024 ** 3;

/**
 * The ceiling when none is asked for: a tenth of the disk, at most 20 GiB; a twentieth stays free, at most 2 GiB. None
 * while there is no such folder: there is nothing to keep small then.
 */
export function defaultGoal(rootPath: string): StorageGoal {
  const stats = statfsIfPresent(rootPath);
  if (stats === undefined) return {};
  const { blocks, bsize } = stats;
  const disk = blocks * bsize;
  return {
    maxBytes: Math.floor(Math.min(disk * DEFAULT_DISK_PART, DEFAULT_MAX_BYTES)),
    minFreeBytes: Math.floor(Math.min(disk * FREE_DISK_PART, FREE_MAX_BYTES)),
  };
}

function statfsIfPresent(path: string): StatsFs | undefined {
  try {
    return statfsSync(path);
  } catch {
    return undefined;
  }
}

/**
 * Prunes when something was added since the last time and the ledger does not say that there is ample room, something
 * else is asked for than then, or the disk is filling up or was full. Never fails: what could not be removed now is tried again
 * after the next build.
 */
export async function collectGarbage(
  rootPath: string,
  goal: StorageGoal,
  signal?: AbortSignal,
): Promise<readonly StoredThing[]> {
  try {
    // It was open until just now.
    const root = stateFolders(rootPath);
    const marker = join(root.facts, "collected");
    const asked = `${goal.maxBytes ?? "none"} ${goal.unusedForMs ?? "none"}`;
    // At once: asking other threads takes longer than the answers.
    const { bavail, bsize } = statfsSync(root.path);
    const added = newest([root.snapshots, join(root.blobs, "sha256")]);
    const lookedMs = newest([marker]);
    const isDue =
      (added >= lookedMs && !hasAmpleRoom(root, goal, lookedMs)) ||
      Date.now() - lookedMs > (goal.unusedForMs ?? Infinity) * STALE_LOOK_PART ||
      bavail * bsize < (goal.minFreeBytes ?? 0) ||
      lookedMs === 0 ||
      lacksBallast(root.path) ||
      readFileSync(marker, "utf8") !== asked;
    if (!isDue) return [];
    // Marked before looking, so that what appears meanwhile is looked at next time.
    await writeFile(marker, asked).catch(() => undefined);
    await using storage = await openStorage(rootPath);
    return await storage.prune(goal, signal);
  } catch {
    return [];
  }
}

/** To look at everything takes a tenth of a millisecond for each snapshot, so it is left while the ledger says less. */
const AMPLE_PART = 0.75;
/** It does not count all that is small: so long it is believed. */
const COUNT_MS = 24 * 3600_000;

function hasAmpleRoom(root: StateRoot, { maxBytes = Infinity }: StorageGoal, countedMs: number): boolean {
  const used = usedBytes(root);
  return used !== undefined && used < maxBytes * AMPLE_PART && Date.now() - countedMs < COUNT_MS;
}

/** What has been stale for a tenth of its time is late to go. */
const STALE_LOOK_PART = 1 / 10;

/** Whether there is a state directory, which opening it would make. */
export async function storageExists(rootPath: string): Promise<boolean> {
  return await stat(join(rootPath, "version")).then(
    () => true,
    () => false,
  );
}

/** Enters a state directory, sweeping what dead processes left. @throws BakeError "state-unusable" */
export async function openStorage(rootPath: string): Promise<Storage> {
  const root = await openStateRoot(rootPath);
  const owner = await openOwner(root);
  const parts: Parts = {
    root,
    owner,
    blobs: openBlobStore(root, owner),
    snapshots: openSnapshotStore(root, owner),
    layers: openLayerBlobs(root, owner),
  };
  let mayWipe = false;
  return {
    list: options => listThings(parts, options),
    plan: async (goal, signal) => planPrune(await listThings(parts, { signal }), goal, parts),
    async prune(goal, signal) {
      mayWipe ||= goal.forget === true;
      return prune(parts, goal, signal);
    },
    async [Symbol.asyncDispose]() {
      await owner[Symbol.asyncDispose]();
      if (mayWipe) await wipeStateRoot(root);
    },
  };
}

interface Parts {
  readonly root: StateRoot;
  readonly owner: Owner;
  readonly blobs: BlobStore;
  readonly snapshots: SnapshotStore;
  readonly layers: LayerBlobs;
}

async function planPrune(
  things: readonly StoredThing[],
  goal: StorageGoal,
  { root }: Pick<Parts, "root">,
): Promise<readonly StoredThing[]> {
  const { maxBytes = Infinity, minFreeBytes = 0, pledgedBytes = 0, reservedBytes = 0 } = goal;
  const total = totalBytes(things);
  const { bavail, bsize } = statfsSync(root.path);
  const fitting = Math.min(maxBytes, total + bavail * bsize - minFreeBytes) - pledgedBytes;
  const { usedBeforeMs, unusedForMs } = goal;
  const isCandidate = (thing: StoredThing): boolean =>
    isEvictable(thing) && (goal.isCandidate?.(thing) ?? true);
  const stale =
    unusedForMs === undefined
      ? []
      : planEviction(things, {
          maxBytes: reservedBytes,
          usedBeforeMs: Date.now() - unusedForMs,
          isCandidate,
        });
  const others = things.filter(thing => !stale.includes(thing));
  const maxKept = Math.max(reservedBytes, fitting);
  return [...stale, ...planEviction(others, { maxBytes: maxKept, usedBeforeMs, isCandidate })];
}

async function prune(
  parts: Parts,
  goal: StorageGoal,
  signal: AbortSignal | undefined,
): Promise<readonly StoredThing[]> {
  const { root, owner, layers } = parts;
  const { forget = false, described = false } = goal;
  const told = described || goal.isCandidate !== undefined;
  const things = await listThings(parts, { signal, told });
  const planned = await planPrune(things, goal, parts);
  const gone = new Set<StoredThing>();
  for (const kind of evictableKinds) {
    const ofKind = planned.filter(thing => thing.kind === kind);
    if (ofKind.length === 0) continue;
    const removed = new Set(await removers[kind](ofKind, parts, signal));
    for (const thing of ofKind) if (removed.has(thing.id)) gone.add(thing);
  }
  if (gone.size > 0 || forget) {
    await layers.compact(signal);
    await compactDiskStore({ root, owner }, { forget, signal });
  }
  if (forget) await dropRecords(root);
  else await fillBallast(root.path, owner.newPath("temp"));
  // What owners have in the making is on the ledger already.
  const settled = things.filter(thing => thing.kind !== "active" && !gone.has(thing));
  if (!forget) await settleLedger(root, totalBytes(settled));
  return planned.filter(thing => gone.has(thing));
}

/**
 * What is remembered besides results, and is found out again or missed by nobody. Folders stay, and what running builds
 * print: when there are none, all of that goes with the directory.
 */
async function dropRecords(root: StateRoot): Promise<void> {
  for (const folder of [join(root.path, "runs"), root.facts])
    for (const entry of await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => []))
      // Which snapshots are safely on disk is a truth about those that are in use.
      if (entry.isFile() && !entry.name.startsWith("synced-"))
        await rm(join(entry.parentPath, entry.name), { force: true });
}

function isEvictable({ kind }: StoredThing): boolean {
  return (evictableKinds as readonly string[]).includes(kind);
}

export function totalBytes(things: readonly StoredThing[]): number {
  return things.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

type Remover = (
  things: readonly StoredThing[],
  parts: Parts,
  signal: AbortSignal | undefined,
) => Promise<readonly string[]>;

/** How entries of a kind are removed; each returns the ids of those that are gone. */
const removers: Readonly<Record<EvictableKind, Remover>> = {
  async snapshot(things, parts, signal) {
    const ids = things.map(({ id }) => parseSnapshotId(id)).filter(id => id !== undefined);
    const removed = await parts.snapshots.remove(ids, signal);
    const gone = new Set<string>(removed);
    const orphans = things.filter(({ id }) => gone.has(id)).flatMap(({ blobs }) => blobs);
    await pruneBlobs([...new Set(orphans)], parts, () => layersOfSnapshots(parts), signal);
    return removed;
  },
  blob: (things, parts, signal) =>
    pruneBlobs(things.map(({ id }) => id).filter(isDigest), parts, () => layersOfSnapshots(parts), signal),
  async "cache-mount"(things, { root, owner }, signal) {
    const removed: string[] = [];
    for (const { id } of things) {
      await withLock(root, `cache-mount-init-${id}`, signal, async () => {
        if ((await readLeases(root))["cache-mount"].has(id)) return;
        for (const name of await cacheFolders(root, id))
          await rename(join(root.path, CACHE_MOUNTS, name), owner.newPath("trash"));
        removed.push(id);
      });
    }
    await emptyTrash(owner);
    return removed;
  },
  async git(things, { root, owner }, signal) {
    for (const { id } of things)
      await withLock(root, `git ${id}`, signal, () =>
        rename(join(root.path, "git", id), owner.newPath("trash")).catch(() => undefined),
      );
    await emptyTrash(owner);
    return things.map(({ id }) => id);
  },
  async http(things, { root }) {
    for (const { id } of things) await rm(join(root.path, "http", id), { force: true });
    return things.map(({ id }) => id);
  },
};

/**
 * The blobs that hold layers of snapshots there are. They stay as long as the snapshot: packed anew, a layer of a
 * pulled image could get another digest than the registry's.
 */
async function layersOfSnapshots({ root, layers }: Parts): Promise<ReadonlySet<string>> {
  const present = new Set<string>(await readdir(root.snapshots));
  const needed = new Set<string>();
  for (const [id, blobs] of await layers.all())
    if (present.has(id)) for (const { descriptor } of blobs) needed.add(descriptor.digest);
  return needed;
}
