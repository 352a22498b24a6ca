// Snapshots on overlayfs (Documentation/filesystems/overlayfs.rst): a snapshot is the upper directory of a mount.
import {
  chmodSync,
  closeSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  rmSync,
  symlinkSync,
  utimesSync,
} from "node:fs";
import { lstat, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { storeError } from "../content/blob.ts";
import { loadLibc, type Libc } from "../content/libc.ts";
import type { Owner } from "../content/lease.ts";
import { BakeError } from "../diagnostic/error.ts";
import { MS_RDONLY, mountOverlay, unmount } from "./mount.ts";
import type { ActiveSnapshot, Change, MountedTree, SnapshotId, Snapshotter } from "./snapshotter.ts";
import { missing, snapshotIdOfName, type SnapshotStore } from "./snapshotstore.ts";

/** mount(2) copies one page of options. */
const OPTION_BYTES = 4096 - 1;
/** The kernel's OVL_MAX_STACK. */
const MAX_LAYERS = 500;

/** Layers are to hold plain files, so nothing that stores references to lower layers in them. */
const PLAIN = "index=off,redirect_dir=off,metacopy=off";

export async function createOverlaySnapshotter(store: SnapshotStore, owner: Owner): Promise<Snapshotter> {
  const libc = await loadLibc();
  return {
    kind: "overlay",
    prepare: async parent => prepare(libc, store, owner, parent),
    view: async id => view(libc, store, owner, id),
    chain: id => store.chain(id),
    exists: async id => (await store.use(id)) !== undefined,
    async lookup(name) {
      const id = snapshotIdOfName(name);
      return (await store.use(id)) && id;
    },
    async changes(id) {
      if (!(await store.use(id))) throw missing(id);
      const root = store.files(id);
      const changes: Change[] = [];
      await collectChanges(libc, root, "", changes);
      return { root, changes, [Symbol.asyncDispose]: () => Promise.resolve() };
    },
  };
}

async function prepare(
  libc: Libc,
  store: SnapshotStore,
  owner: Owner,
  parent: SnapshotId | undefined,
): Promise<ActiveSnapshot> {
  const chain = parent === undefined ? [] : await store.chain(parent);
  const base = owner.newPath("active");
  const draft = join(base, "draft");
  const files = join(draft, "fs");
  const work = join(base, "work");
  const merged = join(base, "root");
  let state: "active" | "over" = "active";
  try {
    // A handful of tiny calls: waiting for a thread would take longer than making them here.
    mkdirSync(files, { recursive: true });
    const top = chain.at(-1);
    if (top === undefined) chmodSync(files, 0o755);
    else {
      copyRootAttributes(store.files(top), files);
      mkdirSync(work);
      mkdirSync(merged);
      mountLayers(
        libc,
        base,
        chain.map(layer => store.files(layer)),
        merged,
        { upper: files, work },
      );
    }
  } catch (thrown) {
    await rm(base, { recursive: true, force: true });
    throw storeError(thrown);
  }
  const mounted = chain.length > 0;
  return {
    root: mounted ? merged : files,
    async commit(options = {}) {
      if (state === "over") throw new BakeError("internal", "BUG: commit of a snapshot that is over");
      if (mounted) unmount(libc, merged);
      state = "over";
      const id = await store.commit(draft, { parent, kind: "overlay" }, options.name);
      // What is left is empty: the work folder, the mount point, links to layers.
      rmSync(base, { recursive: true, force: true });
      return id;
    },
    async [Symbol.asyncDispose]() {
      if (state === "over") return;
      state = "over";
      if (mounted) unmount(libc, merged);
      await rm(base, { recursive: true, force: true });
    },
  };
}

async function view(libc: Libc, store: SnapshotStore, owner: Owner, id: SnapshotId): Promise<MountedTree> {
  const layers = (await store.chain(id)).map(layer => store.files(layer));
  const only = layers.length === 1 ? layers[0] : undefined;
  // A first layer has nothing to hide, so its folder is the tree.
  if (only !== undefined) return { root: only, [Symbol.asyncDispose]: () => Promise.resolve() };
  const base = owner.newPath("active");
  const root = join(base, "root");
  mkdirSync(root, { recursive: true });
  try {
    mountLayers(libc, base, layers, root, undefined);
  } catch (thrown) {
    await rm(base, { recursive: true, force: true });
    throw thrown;
  }
  let over = false;
  return {
    root,
    async [Symbol.asyncDispose]() {
      if (over) return;
      over = true;
      unmount(libc, root);
      await rm(base, { recursive: true, force: true });
    },
  };
}

/**
 * Mounts layers (oldest first). When their paths do not fit into the options, or hold characters that mean something
 * there, they are named by links in `base`, reached through an open descriptor of it; beyond some 200 layers, with
 * `base` as working directory for the moment of the call.
 */
function mountLayers(
  libc: Libc,
  base: string,
  layers: readonly string[],
  target: string,
  writable: { readonly upper: string; readonly work: string } | undefined,
): void {
  if (layers.length > MAX_LAYERS) {
    throw new BakeError(
      "mount-failed",
      `cannot stack ${layers.length} layers: the kernel allows ${MAX_LAYERS}`,
      {
        hint: "join some RUN or COPY instructions, or copy the result of one stage into a fresh one",
      },
    );
  }
  const newestFirst = [...layers].reverse();
  const flags = writable ? 0 : MS_RDONLY;
  const plain = overlayOptions(newestFirst, writable);
  if (Buffer.byteLength(plain) <= OPTION_BYTES && [...layers, base].every(path => !/[:,\\]/.test(path))) {
    return mountVolatile(libc, target, plain, flags, writable !== undefined);
  }
  newestFirst.forEach((layer, index) => symlinkSync(layer, join(base, index.toString(36))));
  const links = (prefix: string): string =>
    overlayOptions(
      newestFirst.map((_, index) => prefix + index.toString(36)),
      writable && { upper: `${prefix}draft/fs`, work: `${prefix}work` },
    );
  const fd = openSync(base, "r");
  try {
    const linked = links(`/proc/self/fd/${fd}/`);
    if (Buffer.byteLength(linked) <= OPTION_BYTES)
      return mountVolatile(libc, target, linked, flags, writable !== undefined);
  } finally {
    closeSync(fd);
  }
  // Only synchronous calls until the way back: nobody may see the other working directory.
  const back = openSync(".", "r");
  try {
    process.chdir(base);
    mountVolatile(libc, target, links(""), flags, writable !== undefined);
  } finally {
    process.chdir(`/proc/self/fd/${back}`);
    closeSync(back);
  }
}

function overlayOptions(
  newestFirst: readonly string[],
  writable: { readonly upper: string; readonly work: string } | undefined,
): string {
  const lower = `lowerdir=${newestFirst.join(":")}`;
  if (writable === undefined) return lower;
  return `${lower},upperdir=${writable.upper},workdir=${writable.work},${PLAIN},volatile`;
}

/** "volatile" (Linux 5.10) spares the flush of the whole disk at each unmount; without it things are just slower. */
function mountVolatile(libc: Libc, target: string, options: string, flags: number, writable: boolean): void {
  try {
    mountOverlay(libc, target, options, flags);
  } catch (thrown) {
    if (!writable) throw thrown;
    mountOverlay(libc, target, options.replace(/,volatile$/, ""), flags);
  }
}

function copyRootAttributes(from: string, to: string): void {
  const source = lstatSync(from);
  lchownSync(to, source.uid, source.gid);
  chmodSync(to, source.mode & 0o7777);
  utimesSync(to, source.atime, source.mtime);
}

async function collectChanges(libc: Libc, root: string, folder: string, changes: Change[]): Promise<void> {
  const names = await readdir(join(root, folder));
  for (const name of names.sort(compareBytes)) {
    const path = folder === "" ? name : `${folder}/${name}`;
    const full = join(root, path);
    const found = await lstat(full);
    if (found.isCharacterDevice() && found.rdev === 0) {
      changes.push({ kind: "delete", path });
    } else if (found.isDirectory()) {
      const opaque = libc.getXattr(full, "trusted.overlay.opaque")?.toString() === "y";
      changes.push(opaque ? { kind: "upsert", path, opaque } : { kind: "upsert", path });
      await collectChanges(libc, root, path, changes);
    } else {
      changes.push({ kind: "upsert", path });
    }
  }
}

/** The order of names is that of their UTF-8 bytes, the same on every machine. */
export function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
