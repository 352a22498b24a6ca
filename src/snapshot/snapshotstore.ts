// The folders of committed snapshots, which both snapshotters share: `<id>/fs` with the files and `<id>/meta.json`.
// A snapshot appears by rename, complete; its name in the state is its id, so no index can dangle.
import { hash, randomBytes } from "node:crypto";
import { readFileSync, renameSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { storeError } from "../content/blob.ts";
import { emptyTrash } from "../content/blobprune.ts";
import { isFull } from "../content/fulldisk.ts";
import { readLeases, type Owner } from "../content/lease.ts";
import { loadLibc } from "../content/libc.ts";
import { withLock } from "../content/lock.ts";
import { isCode, type StateRoot } from "../content/root.ts";
import { BakeError } from "../diagnostic/error.ts";
import { createSlicer } from "../layer/slice.ts";
import type { SnapshotId } from "./snapshotter.ts";

export interface SnapshotMeta {
  /** What the files lie over. */
  readonly parent: SnapshotId | undefined;
  /** It is another version of its parent, made upon the same as that. Absent for none. */
  readonly revision?: true;
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly kind: "overlay" | "native";
  /** The boot of the machine in which it was written, and when in it: what is not on disk yet dies with the boot. */
  readonly boot: string;
  readonly bootNs: string;
  /** Native only: files whose ctime is before this (ns) are as they were in the parent. */
  readonly copiedNs?: string;
}

export interface SnapshotStore {
  /** `<id>/fs` */
  files(id: SnapshotId): string;
  /** Undefined when there is no such snapshot, or it may be incomplete since the machine went down too early. */
  meta(id: SnapshotId): Promise<SnapshotMeta | undefined>;
  /** As `meta`, leased for the life of this process. */
  use(id: SnapshotId): Promise<SnapshotMeta | undefined>;
  /** Whether a snapshot and all that it builds upon is there; leases it. */
  isWhole(id: SnapshotId, kind: SnapshotMeta["kind"]): Promise<boolean>;
  /** All whose files make up its tree, oldest first. @throws BakeError "state-unusable" when one is missing */
  chain(id: SnapshotId): Promise<readonly SnapshotId[]>;
  /** Those among them that are steps upon each other: without what a later one is a revision of. */
  steps(id: SnapshotId): Promise<readonly SnapshotId[]>;
  /** Moves a folder holding `fs` into place. When a snapshot of that name is there already, that one is kept. */
  commit(draft: string, meta: NewMeta, name: string | undefined): Promise<SnapshotId>;
  /** Which of `ids` were removed: those that have no children and that nobody uses. */
  remove(ids: readonly SnapshotId[], signal?: AbortSignal): Promise<readonly SnapshotId[]>;
  list(): Promise<readonly ListedSnapshot[]>;
}

export interface ListedSnapshot {
  readonly id: SnapshotId;
  readonly meta: SnapshotMeta;
  /** Milliseconds since 1970. */
  readonly lastUsedMs: number;
}

export type NewMeta = Pick<SnapshotMeta, "parent" | "revision" | "kind" | "copiedNs">;

const LOCK = "snapshots";

/** The id of a named snapshot follows from its name, so that the rename that commits it also decides who was first. */
export function snapshotIdOfName(name: string): SnapshotId {
  return `n${hash("sha256", name)}` as SnapshotId;
}

function newSnapshotId(): SnapshotId {
  return randomBytes(10).toString("hex") as SnapshotId;
}

export function openSnapshotStore(root: StateRoot, owner: Owner): SnapshotStore {
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  /** Committed snapshots never change, so what was read once holds while we lease them. */
  const known = new Map<SnapshotId, SnapshotMeta>();
  let dirty = false;
  owner.onRelease(() => known.clear());
  // Asked of every snapshot of a build, so not by join(), which looks at each character.
  const folder = (id: SnapshotId): string => `${root.snapshots}/${id}`;

  owner.onDispose(async () => {
    if (!dirty) return;
    // On a full disk it cannot be noted that all is safe; after a power cut what was made would be made again.
    await syncToDisk(root, boot, owner.newPath("temp")).catch((thrown: unknown) => {
      if (!isFull(thrown)) throw thrown;
    });
  });

  const readMeta = async (id: SnapshotId): Promise<SnapshotMeta | undefined> => {
    let text: string;
    try {
      // At once: asking another thread takes longer than reading a few lines.
      text = readFileSync(`${folder(id)}/meta.json`, "utf8");
    } catch (thrown) {
      if (isCode(thrown, "ENOENT")) return undefined;
      throw storeError(thrown);
    }
    const meta = parseMeta(text);
    if (meta === undefined) return undefined;
    return meta.boot === boot || (await isOnDisk(root, meta)) ? meta : undefined;
  };

  const store: SnapshotStore = {
    files: id => `${folder(id)}/fs`,
    async meta(id) {
      return known.get(id) ?? (await readMeta(id));
    },
    async use(id) {
      const before = known.get(id);
      if (before) return before;
      // Removal takes the lock exclusively, so it sees the lease or we see the snapshot gone.
      return await withLock(
        root,
        LOCK,
        undefined,
        async () => {
          owner.lease("snapshot", id);
          const meta = await readMeta(id);
          if (meta === undefined) return undefined;
          known.set(id, meta);
          touchSnapshot(root, id);
          return meta;
        },
        { shared: true },
      );
    },
    async isWhole(id, kind) {
      for (let next: SnapshotId | undefined = id; next !== undefined;) {
        const meta: SnapshotMeta | undefined =
          next === id ? await store.use(next) : (known.get(next) ?? (await readMeta(next)));
        if (meta === undefined) {
          // Whoever makes it again makes what builds upon it again too.
          known.delete(id);
          return false;
        }
        // The folder of one kind is a whole tree, that of the other what was changed.
        if (meta.kind !== kind) return false;
        known.set(next, meta);
        next = meta.parent;
      }
      return true;
    },
    async chain(id) {
      const chain: SnapshotId[] = [];
      for (let next: SnapshotId | undefined = id; next !== undefined;) {
        const meta: SnapshotMeta | undefined =
          next === id ? await store.use(next) : (known.get(next) ?? (await readMeta(next)));
        if (meta === undefined) throw missing(next);
        known.set(next, meta);
        chain.push(next);
        next = meta.parent;
      }
      return chain.reverse();
    },
    async steps(id) {
      const chain = await store.chain(id);
      return chain.filter((_, at) => {
        const next = chain[at + 1];
        return next === undefined || known.get(next)?.revision !== true;
      });
    },
    async commit(draft, meta, name) {
      const id = name === undefined ? newSnapshotId() : snapshotIdOfName(name);
      const full: SnapshotMeta = {
        ...meta,
        created: Date.now(),
        boot,
        bootNs: String(process.hrtime.bigint()),
      };
      try {
        writeFileSync(join(draft, "meta.json"), formatMeta(full));
        const place = (): Promise<void> => {
          owner.lease("snapshot", id);
          return placeFolder(
            draft,
            folder(id),
            async () => (await readMeta(id)) !== undefined,
            owner.newPath("trash"),
          );
        };
        // One of that name that is there already may be about to be removed. Other ids are new, and nobody's aim.
        if (name === undefined) await place();
        else await withLock(root, LOCK, undefined, place, { shared: true });
      } catch (thrown) {
        throw storeError(thrown);
      }
      dirty = true;
      owner.ledger.kept(folder(id));
      known.set(id, name === undefined ? full : ((await readMeta(id)) ?? full));
      return id;
    },
    async remove(ids, signal) {
      return await withLock(root, LOCK, signal, async () => {
        const leased = (await readLeases(root)).snapshot;
        const all = await store.list();
        const childCount = new Map<SnapshotId, number>();
        for (const { meta } of all) {
          if (meta.parent !== undefined) childCount.set(meta.parent, (childCount.get(meta.parent) ?? 0) + 1);
        }
        const wanted = new Set(ids);
        const removed: SnapshotId[] = [];
        // Removing a child may free its parent, so go round until nothing changes.
        for (let before = -1; before !== removed.length;) {
          before = removed.length;
          for (const { id, meta } of all) {
            if (!wanted.has(id) || leased.has(id) || (childCount.get(id) ?? 0) > 0) continue;
            signal?.throwIfAborted();
            wanted.delete(id);
            await rename(folder(id), owner.newPath("trash"));
            known.delete(id);
            if (meta.parent !== undefined)
              childCount.set(meta.parent, (childCount.get(meta.parent) ?? 1) - 1);
            removed.push(id);
          }
        }
        return removed;
      }).then(async removed => {
        // Out of sight already; the slow part happens without the lock.
        await emptyTrash(owner);
        return removed;
      });
    },
    async list() {
      const found: ListedSnapshot[] = [];
      const slicer = createSlicer();
      for (const name of (await readdir(root.snapshots)).sort()) {
        const pause = slicer.pause();
        if (pause !== undefined) await pause;
        const path = join(root.snapshots, name, "meta.json");
        const { text, lastUsedMs } = readWithTime(path);
        const meta = parseMeta(text) ?? {
          parent: undefined,
          created: 0,
          kind: "overlay",
          boot: "",
          bootNs: "0",
        };
        found.push({ id: name as SnapshotId, meta, lastUsedMs });
      }
      return found;
    },
  };
  return store;
}

/** Nothing, of long ago, when there is no such file. */
function readWithTime(path: string): { readonly text: string; readonly lastUsedMs: number } {
  try {
    return { text: readFileSync(path, "utf8"), lastUsedMs: statSync(path).mtimeMs };
  } catch {
    return { text: "", lastUsedMs: 0 };
  }
}

/** Notes that a snapshot was of use now: those used least recently are evicted first. Not knowing it is no failure. */
export function touchSnapshot(root: StateRoot, id: SnapshotId): void {
  const now = new Date();
  try {
    // At once: by way of another thread it takes ten times as long, and a cached build does it for each step.
    utimesSync(`${root.snapshots}/${id}/meta.json`, now, now);
  } catch {
    // It has gone: it is not used then.
  }
}

/** The failure when a snapshot that something refers to is gone. */
export function missing(id: SnapshotId): BakeError {
  return new BakeError("state-unusable", `snapshot "${id}" is missing from the state directory`, {
    hint: "build again without the cache; if it stays, delete the state directory (only cached results are lost)",
  });
}

/** Renames a folder to its final name unless a sound one is there; an unsound one is thrown out. */
async function placeFolder(
  draft: string,
  target: string,
  isSound: () => Promise<boolean>,
  trash: string,
): Promise<void> {
  for (;;) {
    try {
      // At once, as above.
      return renameSync(draft, target);
    } catch (thrown) {
      if (!isCode(thrown, "ENOTEMPTY") && !isCode(thrown, "EEXIST")) throw thrown;
    }
    if (await isSound()) {
      await rename(draft, trash);
      await rm(trash, { recursive: true, force: true });
      return;
    }
    await rename(target, `${trash}.old`).catch((thrown: unknown) => {
      if (!isCode(thrown, "ENOENT")) throw thrown;
    });
  }
}

/** The file of a snapshot, with a check: a wrong parent would be another file system. */
export function formatMeta(meta: SnapshotMeta): string {
  return JSON.stringify({ ...meta, check: checkOf(meta) });
}

/** Over the fields in the order in which they stand in the file. */
function checkOf(fields: object): string {
  return hash("sha256", JSON.stringify(fields)).slice(0, 16);
}

function parseMeta(text: string): SnapshotMeta | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { check, ...fields } = value as Readonly<Record<string, unknown>>;
  if (check !== checkOf(fields)) return undefined;
  const { parent, revision, created, kind, boot, bootNs, copiedNs } = fields;
  if (parent !== undefined && typeof parent !== "string") return undefined;
  if (typeof created !== "number" || (kind !== "overlay" && kind !== "native")) return undefined;
  if (typeof boot !== "string" || typeof bootNs !== "string") return undefined;
  return {
    parent: parent as SnapshotId | undefined,
    created,
    kind,
    boot,
    bootNs,
    ...(revision === true && { revision }),
    ...(typeof copiedNs === "string" && { copiedNs }),
  };
}

// Snapshots are not flushed one by one: that would make every step wait for the disk. They are safe from the death
// of processes at once, and from a power cut after the flush at the end of a build, which this file records.

function syncRecord(root: StateRoot, boot: string): string {
  return join(root.facts, `synced-${boot}`);
}

async function syncToDisk(root: StateRoot, boot: string, draft: string): Promise<void> {
  const now = String(process.hrtime.bigint());
  const libc = await loadLibc();
  const record = await open(draft, "w");
  try {
    await libc.syncfs(record.fd);
    await record.writeFile(now);
    await record.datasync();
  } finally {
    await record.close();
  }
  await rename(draft, syncRecord(root, boot));
}

/** For a snapshot of an earlier boot: whether a flush came after it. */
async function isOnDisk(root: StateRoot, meta: SnapshotMeta): Promise<boolean> {
  const synced = await readFile(syncRecord(root, meta.boot), "utf8").catch(() => "0");
  return /^[0-9]+$/.test(synced) && BigInt(synced) >= BigInt(meta.bootNs);
}
