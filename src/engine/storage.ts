// What a state directory holds, and removing what nobody uses: the work behind `bake du`, `bake prune` and the ceiling
// on the cache. Safe while builds run: everything is renamed out of sight under the lock that its users take.
import { readdir, readFile, rename, rm, stat, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { compactDiskStore, readStepNames } from "../cache/disk.ts";
import { type BlobStore, openBlobStore } from "../content/blob.ts";
import { emptyTrash, pruneBlobs } from "../content/blobprune.ts";
import { type EntryKind, type EvictionGoal, planEviction, type StorageEntry } from "../content/gc.ts";
import { openOwner, type Owner, readLeases } from "../content/lease.ts";
import { withLock } from "../content/lock.ts";
import { openStateRoot, type StateRoot } from "../content/root.ts";
import { treeSize } from "../content/treesize.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { type LayerBlobs, openLayerBlobs } from "../snapshot/layerblobs.ts";
import { openSnapshotStore, type SnapshotStore } from "../snapshot/snapshotstore.ts";
import { parseSnapshotId } from "../snapshot/snapshotter.ts";

/** An entry of the state directory, with what a person can tell it by. */
export interface StoredThing extends StorageEntry {
  /** The step that made a snapshot, when that is known; else empty. */
  readonly step: string;
  /** Packed layers that hold the snapshot's changes; they come and go with it, and are counted in its size. */
  readonly blobs: readonly Digest[];
}

export interface Storage extends AsyncDisposable {
  /** Everything there is, in no order. */
  list(signal?: AbortSignal): Promise<readonly StoredThing[]>;
  /** Removes what the goal asks for and nobody uses; returns what is gone. `forget` also drops the history of steps. */
  prune(goal: StorageGoal, signal?: AbortSignal): Promise<readonly StoredThing[]>;
}

export interface StorageGoal extends EvictionGoal {
  /** Keep at least this much of the disk free, in bytes, as far as removing entries can. */
  readonly minFreeBytes?: number | undefined;
  readonly forget?: boolean;
}

/** The cache may take this part of its disk by default, and no more than the next line says. */
const DEFAULT_DISK_PART = 0.1;
const DEFAULT_MAX_BYTES = 20 * 1024 ** 3;
const FREE_DISK_PART = 0.05;
const FREE_MAX_BYTES = 2 * 1024 ** 3;

/** The ceiling when none is asked for: a tenth of the disk, at most 20 GiB; a twentieth stays free, at most 2 GiB. */
export async function defaultGoal(rootPath: string): Promise<{ maxBytes: number; minFreeBytes: number }> {
  const { blocks, bsize } = await statfs(rootPath);
  const disk = blocks * bsize;
  return {
    maxBytes: Math.floor(Math.min(disk * DEFAULT_DISK_PART, DEFAULT_MAX_BYTES)),
    minFreeBytes: Math.floor(Math.min(disk * FREE_DISK_PART, FREE_MAX_BYTES)),
  };
}

/**
 * Prunes when something was added since the last time, the ceiling is another one, or the disk is filling up. Never
 * fails: what could not be removed now is tried again after the next build.
 */
export async function collectGarbage(
  rootPath: string,
  goal: StorageGoal,
  signal?: AbortSignal,
): Promise<readonly StoredThing[]> {
  try {
    const root = await openStateRoot(rootPath);
    const marker = join(root.facts, "collected");
    const ceiling = String(goal.maxBytes ?? "none");
    const { bavail, bsize } = await statfs(root.path);
    const added = await newest([root.snapshots, join(root.blobs, "sha256")]);
    const isDue =
      added >= (await newest([marker])) ||
      bavail * bsize < (goal.minFreeBytes ?? 0) ||
      (await readFile(marker, "utf8").catch(() => "")) !== ceiling;
    if (!isDue) return [];
    // Marked before looking, so that what appears meanwhile is looked at next time.
    await writeFile(marker, ceiling);
    await using storage = await openStorage(rootPath);
    return await storage.prune(goal, signal);
  } catch {
    return [];
  }
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
  return {
    list: signal => listThings(parts, signal),
    prune: (goal, signal) => prune(parts, goal, signal),
    [Symbol.asyncDispose]: () => owner[Symbol.asyncDispose](),
  };
}

interface Parts {
  readonly root: StateRoot;
  readonly owner: Owner;
  readonly blobs: BlobStore;
  readonly snapshots: SnapshotStore;
  readonly layers: LayerBlobs;
}

async function prune(
  parts: Parts,
  { maxBytes = Infinity, usedBeforeMs, minFreeBytes = 0, forget = false }: StorageGoal,
  signal: AbortSignal | undefined,
): Promise<readonly StoredThing[]> {
  const { root, owner, layers } = parts;
  const things = await listThings(parts, signal);
  const total = things.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const { bavail, bsize } = await statfs(root.path);
  const goalBytes = Math.max(0, Math.min(maxBytes, total + bavail * bsize - minFreeBytes));
  const planned = planEviction(things, { maxBytes: goalBytes, usedBeforeMs });
  const gone = new Set<StoredThing>();
  for (const kind of ["snapshot", "blob", "cache-mount", "git", "http"] as const) {
    const ofKind = planned.filter(thing => thing.kind === kind);
    if (ofKind.length === 0) continue;
    const removed = new Set(await removers[kind](ofKind, parts, signal));
    for (const thing of ofKind) if (removed.has(thing.id)) gone.add(thing);
  }
  if (gone.size > 0 || forget) {
    await layers.compact(signal);
    await compactDiskStore({ root, owner }, { forget, signal });
  }
  return planned.filter(thing => gone.has(thing));
}

type Remover = (
  things: readonly StoredThing[],
  parts: Parts,
  signal: AbortSignal | undefined,
) => Promise<readonly string[]>;

/** How entries of a kind are removed; each returns the ids of those that are gone. */
const removers: Readonly<Record<EntryKind, Remover>> = {
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
        for (const name of await foldersOf(root, id))
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

const CACHE_MOUNTS = "cache-mounts";

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

/** A cache's folder and its private copies, `<id>.<n>`. */
async function foldersOf(root: StateRoot, id: string): Promise<readonly string[]> {
  const names = await namesIn(join(root.path, CACHE_MOUNTS));
  return names.filter(name => name === id || name.startsWith(`${id}.`));
}

async function namesIn(path: string): Promise<readonly string[]> {
  return (await readdir(path).catch(() => [])).sort();
}

async function listThings(parts: Parts, signal: AbortSignal | undefined): Promise<readonly StoredThing[]> {
  const { root, owner } = parts;
  const leases = await readLeases(root);
  const sizes = await openSizes(parts, signal);
  const steps = await readStepNames({ root, owner });
  const layersOf = await parts.layers.all();
  const blobs = await listBlobs(root, leases.blob);
  const things: StoredThing[] = [];
  const counted = new Set<string>();
  for (const { id, meta, lastUsedMs } of await parts.snapshots.list()) {
    const own = (layersOf.get(id) ?? []).map(({ descriptor }) => descriptor.digest);
    let sizeBytes = await sizes.of("snapshot", id, [join(root.snapshots, id)], meta.created);
    for (const digest of own) {
      if (!counted.has(digest)) sizeBytes += blobs.get(digest)?.sizeBytes ?? 0;
      counted.add(digest);
    }
    const inUse = leases.snapshot.has(id);
    const step = steps.get(id) ?? (own.length > 0 ? "layer of an image" : "");
    things.push({
      kind: "snapshot",
      id,
      sizeBytes,
      lastUsedMs,
      inUse,
      parent: meta.parent,
      step,
      blobs: own,
    });
  }
  for (const [digest, blob] of blobs) if (!counted.has(digest)) things.push(blob);
  const names = await namesIn(join(root.path, CACHE_MOUNTS));
  for (const id of new Set(names.map(name => name.replace(/\..*$/, "")))) {
    const paths = (await foldersOf(root, id)).map(name => join(root.path, CACHE_MOUNTS, name));
    const lastUsedMs = await newest(paths);
    const inUse = leases["cache-mount"].has(id);
    // While it is used it grows, so that size is not to be remembered.
    const sizeBytes = await sizes.of("cache-mount", id, paths, inUse ? Infinity : lastUsedMs);
    things.push({ ...plain, kind: "cache-mount", id, sizeBytes, lastUsedMs, inUse });
  }
  for (const id of await namesIn(join(root.path, "git"))) {
    const path = join(root.path, "git", id);
    const lastUsedMs = await newest(
      ["", "objects", "objects/pack", "refs/llbake/keep"].map(at => join(path, at)),
    );
    const sizeBytes = await sizes.of("git", id, [path], lastUsedMs);
    things.push({ ...plain, kind: "git", id, sizeBytes, lastUsedMs, inUse: false });
  }
  for (const id of await namesIn(join(root.path, "http"))) {
    const path = join(root.path, "http", id);
    const lastUsedMs = await newest([path]);
    things.push({ ...plain, kind: "http", id, sizeBytes: await treeSize(path), lastUsedMs, inUse: false });
  }
  await sizes.save();
  return things;
}

const plain = { parent: undefined, step: "", blobs: [] } as const;

async function listBlobs(root: StateRoot, leased: ReadonlySet<string>): Promise<Map<string, StoredThing>> {
  const found = new Map<string, StoredThing>();
  for (const algorithm of await namesIn(root.blobs)) {
    for (const name of await namesIn(join(root.blobs, algorithm))) {
      const id = `${algorithm}:${name}`;
      const path = join(root.blobs, algorithm, name);
      const lastUsedMs = await newest([path]);
      const inUse = leased.has(id);
      found.set(id, { ...plain, kind: "blob", id, sizeBytes: await treeSize(path), lastUsedMs, inUse });
    }
  }
  return found;
}

/** The newest modification time of several paths; missing ones count as never. */
async function newest(paths: readonly string[]): Promise<number> {
  const times = await Promise.all(
    paths.map(path =>
      stat(path).then(
        ({ mtimeMs }) => mtimeMs,
        () => 0,
      ),
    ),
  );
  return Math.max(0, ...times);
}

interface Sizes {
  /** The size of some paths together: as remembered, unless they changed after that was measured. */
  of(kind: EntryKind, id: string, paths: readonly string[], changedMs: number): Promise<number>;
  save(): Promise<void>;
}

/** Measured sizes are remembered in one file, since snapshots never change and walking them takes long. */
async function openSizes({ root, owner }: Parts, signal: AbortSignal | undefined): Promise<Sizes> {
  const file = join(root.facts, "sizes.json");
  const known = await readFile(file, "utf8").then(decodeSizes, () => new Map<string, Measured>());
  const seen = new Map<string, Measured>();
  let changed = false;
  return {
    async of(kind, id, paths, changedMs) {
      const key = `${kind} ${id}`;
      const before = known.get(key);
      if (before !== undefined && before.atMs > changedMs) {
        seen.set(key, before);
        return before.sizeBytes;
      }
      const atMs = Date.now();
      let sizeBytes = 0;
      for (const path of paths) sizeBytes += await treeSize(path, signal);
      if (Number.isFinite(changedMs)) seen.set(key, { sizeBytes, atMs });
      changed = true;
      return sizeBytes;
    },
    async save() {
      if (!changed && seen.size === known.size) return;
      const draft = owner.newPath("temp");
      const rows = [...seen].map(([key, { sizeBytes, atMs }]) => [key, sizeBytes, atMs]);
      // The last of several processes wins; what the others measured is measured again.
      await writeFile(draft, JSON.stringify(rows));
      await rename(draft, file);
    },
  };
}

interface Measured {
  readonly sizeBytes: number;
  readonly atMs: number;
}

function decodeSizes(text: string): Map<string, Measured> {
  const sizes = new Map<string, Measured>();
  let rows: unknown;
  try {
    rows = JSON.parse(text);
  } catch {
    return sizes;
  }
  for (const row of Array.isArray(rows) ? (rows as readonly unknown[]) : []) {
    if (!Array.isArray(row)) continue;
    const [key, sizeBytes, atMs] = row as readonly unknown[];
    if (typeof key === "string" && typeof sizeBytes === "number" && typeof atMs === "number")
      sizes.set(key, { sizeBytes, atMs });
  }
  return sizes;
}
