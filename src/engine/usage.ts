// What a state directory holds and what takes how much: the work behind `bake du`, and what eviction decides upon. All
// entries together are what du(1) says of the directory.
import { existsSync, statSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { readStoredSteps } from "../cache/disk.ts";
import { openRunHistory } from "../cache/runs.ts";
import type { EvictableKind, StorageEntry } from "../content/gc.ts";
import { type Owner, readLeases } from "../content/lease.ts";
import { namesIn } from "../content/names.ts";
import type { StateRoot } from "../content/root.ts";
import { treeSize } from "../content/treesize.ts";
import type { Digest } from "../oci/digest.ts";
import { readCacheNote, shownCache } from "../op/cachename.ts";
import type { LayerBlobs } from "../snapshot/layerblobs.ts";
import type { SnapshotStore } from "../snapshot/snapshotstore.ts";
import { openMeasuredSizes } from "./measured.ts";

/** `metadata` is removed only with everything else; `active` is what running builds have in the making. */
export type ThingKind = EvictableKind | "metadata" | "active";

/** An entry of the state directory, with what a person can tell it by. */
export interface StoredThing extends StorageEntry {
  readonly kind: ThingKind;
  /** The step that made a snapshot, the remote of a repository and so on, when that is known; else empty. */
  readonly description: string;
  /** Packed layers that hold the snapshot's changes; they come and go with it, and are counted in its size. */
  readonly blobs: readonly Digest[];
  /** The targets whose last run used it, sorted. */
  readonly targets: readonly TargetUse[];
  /** More than one target uses it, or more than one entry builds upon it. */
  readonly shared: boolean;
}

/** A target of a bake file, as far as its last run is remembered. */
export interface TargetUse {
  readonly target: string;
  /** The bake file's path, or a URL. */
  readonly file: string;
}

export interface UsageParts {
  readonly root: StateRoot;
  readonly owner: Owner;
  readonly snapshots: SnapshotStore;
  readonly layers: LayerBlobs;
}

export const CACHE_MOUNTS = "cache-mounts";

export interface ListOptions {
  /** Whether to tell by which steps and targets things are used, for which records have to be read. Default true. */
  readonly told?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Everything there is, in no order, but for what the asking owner has in the making. */
export async function listThings(
  parts: UsageParts,
  { told = true, signal }: ListOptions = {},
): Promise<readonly StoredThing[]> {
  const { root, owner } = parts;
  const leases = await readLeases(root);
  const sizes = await openMeasuredSizes(parts, signal);
  const steps = told ? await readStoredSteps({ root, owner }) : undefined;
  const layersOf = await parts.layers.all();
  const blobs = await listBlobs(root, leases.blob);
  const found: Found[] = [];
  const counted = new Set<string>();
  for (const { id, meta, lastUsedMs } of await parts.snapshots.list()) {
    const own = (layersOf.get(id) ?? []).map(({ descriptor }) => descriptor.digest);
    let sizeBytes = await sizes.ofSnapshot(join(root.snapshots, id), id, meta.created);
    for (const digest of own) {
      if (!counted.has(digest)) sizeBytes += blobs.get(digest)?.sizeBytes ?? 0;
      counted.add(digest);
    }
    const inUse = leases.snapshot.has(id);
    const ofImage = told && own.length > 0 ? "layer of an image" : "";
    const description = steps?.names.get(id) ?? ofImage;
    const { parent } = meta;
    found.push({ kind: "snapshot", id, sizeBytes, lastUsedMs, inUse, parent, description, blobs: own });
  }
  for (const [digest, blob] of blobs) if (!counted.has(digest)) found.push(blob);
  const names = await namesIn(join(root.path, CACHE_MOUNTS));
  for (const id of new Set(names.map(name => name.replace(/\..*$/, "")))) {
    const paths = (await cacheFolders(root, id)).map(name => join(root.path, CACHE_MOUNTS, name));
    const lastUsedMs = newest(paths);
    const inUse = leases["cache-mount"].has(id);
    // While it is used it grows, so that size is not to be remembered. Steps may write below without touching the top.
    const sizeBytes = await sizes.of(`cache-mount ${id}`, paths, Infinity);
    const cache = await readCacheNote(join(root.path, CACHE_MOUNTS), id);
    const description = cache === undefined ? "" : shownCache(cache);
    found.push({ ...plain, kind: "cache-mount", id, sizeBytes, lastUsedMs, inUse, description });
  }
  for (const id of await namesIn(join(root.path, "git"))) {
    const path = join(root.path, "git", id);
    const lastUsedMs = newest(["", "objects", "objects/pack", "refs/llbake/keep"].map(at => join(path, at)));
    const sizeBytes = await treeSize(path, signal);
    found.push({ ...plain, kind: "git", id, sizeBytes, lastUsedMs, inUse: false });
  }
  for (const id of await namesIn(join(root.path, "http"))) {
    const path = join(root.path, "http", id);
    const lastUsedMs = newest([path]);
    found.push({ ...plain, kind: "http", id, sizeBytes: await treeSize(path), lastUsedMs, inUse: false });
  }
  found.push(...(await listMetadata(root)));
  for (const id of await namesIn(root.owners)) {
    if (id === owner.name) continue;
    const path = join(root.owners, id);
    const lastUsedMs = newest([path]);
    const sizeBytes = await treeSize(path, signal);
    const description = `process ${id.split("-")[0] ?? ""}`;
    found.push({ ...plain, kind: "active", id, sizeBytes, lastUsedMs, inUse: true, description });
  }
  await sizes.save();
  return withUses(found, steps === undefined ? new Map() : await usesOf(parts, found, steps.outputs));
}

type Found = Omit<StoredThing, "targets" | "shared">;

const plain = { parent: undefined, description: "", blobs: [] } as const;

/** Which targets use each thing, by kind and id. What a result builds upon is used with it. */
async function usesOf(
  { root, owner }: UsageParts,
  found: readonly Found[],
  outputs: ReadonlyMap<string, readonly string[]>,
): Promise<ReadonlyMap<string, readonly TargetUse[]>> {
  const parents = new Map(found.map(({ kind, id, parent }) => [`${kind} ${id}`, parent]));
  const uses = new Map<string, Map<string, TargetUse>>();
  for (const { target, definition, steps, caches } of await openRunHistory(root, owner).list()) {
    const use = { target, file: fileOf(definition) };
    const key = `${use.target}\0${use.file}`;
    const add = (thing: string): boolean => {
      const users = uses.get(thing) ?? new Map<string, TargetUse>();
      if (users.has(key)) return false;
      uses.set(thing, users.set(key, use));
      return true;
    };
    for (const id of caches) add(`cache-mount ${id}`);
    for (const { record } of steps)
      for (const output of record === undefined ? [] : (outputs.get(record) ?? []))
        for (let id: string | undefined = output; id !== undefined && add(`snapshot ${id}`);)
          id = parents.get(`snapshot ${id}`);
  }
  const compare = (a: TargetUse, b: TargetUse): number => {
    const [one, other] = [`${a.target}\0${a.file}`, `${b.target}\0${b.file}`];
    return one < other ? -1 : one > other ? 1 : 0;
  };
  return new Map([...uses].map(([thing, users]) => [thing, [...users.values()].sort(compare)]));
}

/** A definition is a list of a URL and the paths that may be its files; what it shows is the first that is there. */
function fileOf(definition: string): string {
  try {
    const [url, paths] = JSON.parse(definition) as readonly unknown[];
    if (typeof url === "string" && url !== "") return url;
    const files = Array.isArray(paths) ? paths.filter(path => typeof path === "string") : [];
    return files.find(path => existsSync(path)) ?? files[0] ?? "";
  } catch {
    return "";
  }
}

function withUses(
  found: readonly Found[],
  uses: ReadonlyMap<string, readonly TargetUse[]>,
): readonly StoredThing[] {
  const children = new Map<string, number>();
  for (const { kind, parent } of found)
    if (parent !== undefined) children.set(`${kind} ${parent}`, (children.get(`${kind} ${parent}`) ?? 0) + 1);
  return found.map(thing => {
    const key = `${thing.kind} ${thing.id}`;
    const targets = uses.get(key) ?? [];
    return { ...thing, targets, shared: targets.length > 1 || (children.get(key) ?? 0) > 1 };
  });
}

/** What metadata is, by its folder; others are told by their name alone. */
const metadataNames: Readonly<Record<string, string>> = {
  journals: "which step made what",
  facts: "what is remembered of files and of this machine",
  runs: "what the last runs did",
  logs: "what steps have printed",
  claims: "which steps are being made",
  ledger: "how much room is taken and promised",
  ballast: "room to work in when the disk is full",
};

/** Folders whose content is told entry by entry. */
const TOLD = new Set(["blobs", "snapshots", "owners", CACHE_MOUNTS, "git", "http"]);

async function listMetadata(root: StateRoot): Promise<readonly Found[]> {
  const found: Found[] = [];
  let folderBytes = await ownSize(root.path);
  let lastUsedMs = 0;
  for (const name of await namesIn(root.path)) {
    const path = join(root.path, name);
    if (TOLD.has(name)) {
      folderBytes += await ownSize(path);
      if (name === "blobs")
        for (const algorithm of await namesIn(path)) folderBytes += await ownSize(join(path, algorithm));
      continue;
    }
    const sizeBytes = await treeSize(path);
    lastUsedMs = newest([path]);
    if (name === "version" || name === "locks") folderBytes += sizeBytes;
    else {
      const description = metadataNames[name] ?? "";
      found.push({ ...plain, kind: "metadata", id: name, sizeBytes, lastUsedMs, inUse: false, description });
    }
  }
  const description = "the folders themselves";
  const sizeBytes = folderBytes;
  found.push({ ...plain, kind: "metadata", id: "folders", sizeBytes, lastUsedMs, inUse: false, description });
  return found;
}

async function listBlobs(root: StateRoot, leased: ReadonlySet<string>): Promise<Map<string, Found>> {
  const found = new Map<string, Found>();
  for (const algorithm of await namesIn(root.blobs)) {
    for (const name of await namesIn(join(root.blobs, algorithm))) {
      const id = `${algorithm}:${name}`;
      const path = join(root.blobs, algorithm, name);
      const lastUsedMs = newest([path]);
      const inUse = leased.has(id);
      found.set(id, { ...plain, kind: "blob", id, sizeBytes: await treeSize(path), lastUsedMs, inUse });
    }
  }
  return found;
}

/** A cache's folder and its private copies, `<id>.<n>`. */
export async function cacheFolders(root: StateRoot, id: string): Promise<readonly string[]> {
  const names = await namesIn(join(root.path, CACHE_MOUNTS));
  return names.filter(name => name === id || name.startsWith(`${id}.`));
}

/** Of a folder without what is in it. */
async function ownSize(path: string): Promise<number> {
  return await stat(path).then(
    ({ blocks }) => blocks * 512,
    () => 0,
  );
}

/** The newest modification time of several paths; missing ones count as never. */
export function newest(paths: readonly string[]): number {
  const times = paths.map(path => {
    try {
      return statSync(path).mtimeMs;
    } catch {
      return 0;
    }
  });
  return Math.max(0, ...times);
}
