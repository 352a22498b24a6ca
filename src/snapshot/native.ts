// Snapshots as whole copies, for where overlays cannot be mounted: slow and large, but needing no privilege.
// Copies are made by cp(1), which keeps hard links, sparse files, times and extended attributes, and uses reflinks
// where the file system has them. Files are never hard-linked to a parent's: a step could write through the link.
import { execFile } from "node:child_process";
import { lstat, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { storeError } from "../content/blob.ts";
import { loadLibc, type Libc } from "../content/libc.ts";
import type { Owner } from "../content/lease.ts";
import { BakeError } from "../diagnostic/error.ts";
import { applyLayer } from "../layer/apply.ts";
import { packLayer } from "../layer/pack.ts";
import { compareTrees } from "./compare.ts";
import { type Laid, readLaid, writeLaid } from "./laid.ts";
import {
  type ActiveSnapshot,
  type Change,
  laidName,
  type SnapshotChanges,
  type SnapshotId,
  type Snapshotter,
} from "./snapshotter.ts";
import { readNote, writeNote } from "./note.ts";
import { missing, snapshotIdOfName, type SnapshotStore } from "./snapshotstore.ts";

export async function createNativeSnapshotter(store: SnapshotStore, owner: Owner): Promise<Snapshotter> {
  const libc = await loadLibc();
  const nothing = (): Promise<void> => Promise.resolve();
  return {
    kind: "native",
    prepare: async parent => prepare(store, owner, parent),
    async view(id) {
      if (!(await store.use(id))) throw missing(id);
      return { root: store.files(id), [Symbol.asyncDispose]: nothing };
    },
    async stack(id) {
      if (!(await store.use(id))) throw missing(id);
      return [store.files(id)];
    },
    chain: id => store.steps(id),
    exists: id => store.isWhole(id, "native"),
    async lookup(name) {
      const id = snapshotIdOfName(nativeName(name));
      return (await store.isWhole(id, "native")) ? id : undefined;
    },
    noted: (id, name) => readNote(store, id, name),
    async changes(id) {
      const meta = await store.use(id);
      if (!meta) throw missing(id);
      const root = store.files(id);
      const laid = await readLaid(root);
      if (laid)
        return { root, changes: laid.changes, layer: laid.layer ?? id, [Symbol.asyncDispose]: nothing };
      const changes = await compareTrees({
        libc,
        upper: root,
        lower: meta.parent === undefined ? undefined : store.files(meta.parent),
        form: "tree",
        untouchedBefore: BigInt(meta.copiedNs ?? "0"),
      });
      return { root, changes, layer: id, [Symbol.asyncDispose]: nothing };
    },
    difference: (lower, upper) => difference(libc, store, owner, lower, upper),
    lay: (base, changes, signal) => lay(store, owner, base, changes, signal),
  };
}

interface NativeActive extends ActiveSnapshot {
  commit(options?: {
    readonly name?: string;
    readonly revisionOf?: SnapshotId;
    readonly laid?: Laid;
  }): Promise<SnapshotId>;
}

async function prepare(
  store: SnapshotStore,
  owner: Owner,
  parent: SnapshotId | undefined,
): Promise<NativeActive> {
  if (parent !== undefined) await store.chain(parent);
  const base = owner.newPath("active");
  const draft = join(base, "draft");
  const files = join(draft, "fs");
  let copiedNs: string | undefined;
  try {
    await mkdir(files, { recursive: true, mode: 0o755 });
    if (parent !== undefined) {
      await copyTree(store.files(parent), files);
      const marker = join(base, "copied");
      await writeFile(marker, "");
      copiedNs = String((await lstat(marker, { bigint: true })).ctimeNs);
    }
  } catch (thrown) {
    await rm(base, { recursive: true, force: true });
    throw storeError(thrown);
  }
  let over = false;
  return {
    root: files,
    parts: () => Promise.resolve({ own: files, below: undefined }),
    note: (name, bytes) => writeNote(draft, name, bytes),
    async commit(options = {}) {
      if (options.revisionOf !== undefined)
        throw new BakeError("internal", "BUG: a snapshot that is a whole copy cannot be a revision");
      if (over) throw new BakeError("internal", "BUG: commit of a snapshot that is over");
      over = true;
      if (options.laid !== undefined) writeLaid(draft, options.laid);
      const id = await store.commit(
        draft,
        { parent, kind: "native", ...(copiedNs && { copiedNs }) },
        options.name === undefined ? undefined : nativeName(options.name),
      );
      await rm(base, { recursive: true, force: true });
      return id;
    },
    async [Symbol.asyncDispose]() {
      if (over) return;
      over = true;
      await rm(base, { recursive: true, force: true });
    },
  };
}

async function difference(
  libc: Libc,
  store: SnapshotStore,
  owner: Owner,
  lower: SnapshotId | undefined,
  upper: SnapshotId | undefined,
): Promise<SnapshotChanges> {
  for (const id of [lower, upper]) if (id !== undefined && !(await store.use(id))) throw missing(id);
  const empty = owner.newPath("active");
  const remove = (): Promise<void> => rm(empty, { recursive: true, force: true });
  await mkdir(empty, { recursive: true });
  try {
    const root = upper === undefined ? empty : store.files(upper);
    const before = lower === undefined ? undefined : store.files(lower);
    const changes = await compareTrees({ libc, upper: root, lower: before, form: "tree" });
    return { root, changes, [Symbol.asyncDispose]: remove };
  } catch (thrown) {
    await remove();
    throw thrown;
  }
}

async function lay(
  store: SnapshotStore,
  owner: Owner,
  base: SnapshotId | undefined,
  { root, changes, layer }: SnapshotChanges,
  signal: AbortSignal,
): Promise<SnapshotId> {
  const name = layer === undefined ? undefined : laidName(base, layer);
  const known = name === undefined ? undefined : snapshotIdOfName(nativeName(name));
  if (known !== undefined && (await store.use(known))) return known;
  await using active = await prepare(store, owner, base);
  await applyLayer(packLayer({ root, changes, signal }), active.root, { signal });
  return await active.commit({
    ...(name !== undefined && { name }),
    laid: { layer, changes: withParents(changes) },
  });
}

/** The changes with the directories above each of them, which a packed layer has too. */
function withParents(changes: readonly Change[]): readonly Change[] {
  const seen = new Set(changes.map(({ path }) => path));
  return changes.flatMap(change => {
    const parents: Change[] = [];
    for (let slash = change.path.indexOf("/"); slash >= 0; slash = change.path.indexOf("/", slash + 1)) {
      const path = change.path.slice(0, slash);
      if (!seen.has(path)) parents.push({ kind: "upsert", path });
      seen.add(path);
    }
    return [...parents, change];
  });
}

/** Snapshots of the other kind have the plain names: a state directory may hold both. */
function nativeName(name: string): string {
  return `native ${name}`;
}

async function copyTree(from: string, to: string): Promise<void> {
  try {
    await promisify(execFile)("cp", ["-a", "--reflink=auto", "--", `${from}/.`, to], { maxBuffer: 1 << 24 });
  } catch (thrown) {
    const stderr =
      thrown instanceof Error && "stderr" in thrown ? String(thrown.stderr).trim() : String(thrown);
    const full = stderr.includes("No space left");
    throw new BakeError(
      full ? "disk-full" : "state-unusable",
      `cannot copy a snapshot: ${stderr.split("\n")[0] ?? ""}`,
      {
        hint: full
          ? "free some space on the disk of the state directory"
          : "snapshots without overlayfs need GNU cp",
        cause: thrown,
      },
    );
  }
}
