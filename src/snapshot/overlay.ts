// Snapshots on overlayfs (Documentation/filesystems/overlayfs.rst): a snapshot is the upper directory of a mount.
import {
  chmodSync,
  closeSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { storeError } from "../content/blob.ts";
import { loadLibc, type Libc } from "../content/libc.ts";
import type { Owner } from "../content/lease.ts";
import { newMountPoint } from "../content/mountpoints.ts";
import { BakeError } from "../diagnostic/error.ts";
import { isInitialNamespace } from "../system/privilege.ts";
import { compareTrees } from "./compare.ts";
import { readLaid, writeLaid } from "./laid.ts";
import { layChanges } from "./lay.ts";
import { MS_RDONLY, mountOverlay, unmountAway } from "./mount.ts";
import { dropEmptyFolders, mountPointLayer } from "./mountpointlayer.ts";
import {
  type ActiveSnapshot,
  laidName,
  type MountedTree,
  type MountPoints,
  type SnapshotChanges,
  type SnapshotId,
  type Snapshotter,
} from "./snapshotter.ts";
import { readNote, writeNote } from "./note.ts";
import { missing, snapshotIdOfName, type SnapshotStore } from "./snapshotstore.ts";

/** mount(2) copies one page of options. */
const OPTION_BYTES = 4096 - 1;
/** The kernel's OVL_MAX_STACK. */
const MAX_LAYERS = 500;

/**
 * Layers are to hold plain files, so nothing that stores references to lower layers in them. In a user namespace such
 * references are off, and marks on directories have names that a user may write (Linux 5.11).
 */
const PLAIN = isInitialNamespace() ? "index=off,redirect_dir=off,metacopy=off" : "index=off,userxattr";

export async function createOverlaySnapshotter(store: SnapshotStore, owner: Owner): Promise<Snapshotter> {
  const libc = await loadLibc();
  return {
    kind: "overlay",
    prepare: async (parent, mountPoints) => prepare(libc, store, owner, parent, mountPoints),
    view: async id => view(libc, store, owner, id),
    stack: async id => (await store.chain(id)).map(layer => store.files(layer)),
    chain: id => store.steps(id),
    exists: id => store.isWhole(id, "overlay"),
    async lookup(name) {
      const id = snapshotIdOfName(name);
      return (await store.isWhole(id, "overlay")) ? id : undefined;
    },
    noted: (id, name) => readNote(store, id, name),
    changes: id => changes(libc, store, owner, id),
    difference: (lower, upper) => difference(libc, store, owner, lower, upper),
    lay: (base, what, signal) => lay(libc, store, owner, base, what, signal),
  };
}

async function changes(
  libc: Libc,
  store: SnapshotStore,
  owner: Owner,
  id: SnapshotId,
): Promise<SnapshotChanges> {
  const meta = await store.use(id);
  if (!meta) throw missing(id);
  const root = store.files(id);
  const nothing = (): Promise<void> => Promise.resolve();
  const laid = await readLaid(root);
  if (laid) return { root, changes: laid.changes, layer: laid.layer ?? id, [Symbol.asyncDispose]: nothing };
  if (meta.revision === true) return changesOfRevision(libc, store, owner, id, meta.parent);
  await using parent = meta.parent === undefined ? undefined : await view(libc, store, owner, meta.parent);
  const found = await compareTrees({ libc, upper: root, lower: parent?.root, form: "layer" });
  return { root, changes: found, layer: id, [Symbol.asyncDispose]: nothing };
}

/** Of the two upper directories as one, over what both versions were made upon. */
async function changesOfRevision(
  libc: Libc,
  store: SnapshotStore,
  owner: Owner,
  id: SnapshotId,
  before: SnapshotId | undefined,
): Promise<SnapshotChanges> {
  const meta = before === undefined ? undefined : await store.use(before);
  if (before === undefined || meta === undefined) throw missing(before ?? id);
  const layers = [store.files(before), store.files(id)];
  const now = mountForReading(libc, owner, layers);
  try {
    await using parent = meta.parent === undefined ? undefined : await view(libc, store, owner, meta.parent);
    const found = await compareTrees({ libc, upper: now.root, lower: parent?.root, form: "layer" });
    return {
      root: now.root,
      changes: found,
      layer: id,
      origin: path => originOf(path, layers) ?? join(now.root, path),
      [Symbol.asyncDispose]: () => now[Symbol.asyncDispose](),
    };
  } catch (thrown) {
    await now[Symbol.asyncDispose]();
    throw thrown;
  }
}

/** Where a path that is seen through layers, oldest first, is: in the newest that has it. */
function originOf(path: string, layers: readonly string[]): string | undefined {
  return layers
    .map(layer => join(layer, path))
    .findLast(file => lstatSync(file, { throwIfNoEntry: false }) !== undefined);
}

async function difference(
  libc: Libc,
  store: SnapshotStore,
  owner: Owner,
  lower: SnapshotId | undefined,
  upper: SnapshotId | undefined,
): Promise<SnapshotChanges> {
  const empty = owner.newPath("active");
  const open = async (id: SnapshotId | undefined): Promise<MountedTree> =>
    id === undefined
      ? { root: empty, [Symbol.asyncDispose]: () => Promise.resolve() }
      : await view(libc, store, owner, id);
  mkdirSync(empty, { recursive: true });
  try {
    await using before = await open(lower);
    const now = await open(upper);
    try {
      const found = await compareTrees({ libc, upper: now.root, lower: before.root, form: "tree" });
      const layers = upper === undefined ? [] : (await store.chain(upper)).map(id => store.files(id));
      return {
        root: now.root,
        changes: found,
        origin: path => originOf(path, layers) ?? join(now.root, path),
        [Symbol.asyncDispose]: async () => {
          await now[Symbol.asyncDispose]();
          await rm(empty, { recursive: true, force: true });
        },
      };
    } catch (thrown) {
      await now[Symbol.asyncDispose]();
      throw thrown;
    }
  } catch (thrown) {
    await rm(empty, { recursive: true, force: true });
    throw thrown;
  }
}

async function lay(
  libc: Libc,
  store: SnapshotStore,
  owner: Owner,
  base: SnapshotId | undefined,
  { root, changes: wanted, layer, origin }: SnapshotChanges,
  signal: AbortSignal,
): Promise<SnapshotId> {
  const name = layer === undefined ? undefined : laidName(base, layer);
  const known = name === undefined ? undefined : snapshotIdOfName(name);
  if (known !== undefined && (await store.use(known))) return known;
  const draft = owner.newPath("active");
  const files = join(draft, "fs");
  try {
    await using below = base === undefined ? undefined : await view(libc, store, owner, base);
    mkdirSync(files, { recursive: true });
    if (below === undefined) chmodSync(files, 0o755);
    else copyRootAttributes(below.root, files);
    const laid = await layChanges({
      libc,
      source: root,
      origin: origin ?? (path => join(root, path)),
      changes: wanted,
      target: files,
      base: below?.root,
      signal,
    });
    writeLaid(draft, { layer, changes: laid });
    return await store.commit(draft, { parent: base, kind: "overlay" }, name);
  } catch (thrown) {
    await rm(draft, { recursive: true, force: true });
    throw storeError(thrown);
  }
}

async function prepare(
  libc: Libc,
  store: SnapshotStore,
  owner: Owner,
  parent: SnapshotId | undefined,
  mountPoints: MountPoints | undefined,
): Promise<ActiveSnapshot> {
  const chain = parent === undefined ? [] : await store.chain(parent);
  const base = owner.newPath("active");
  const draft = join(base, "draft");
  const files = join(draft, "fs");
  const work = join(base, "work");
  const merged = newMountPoint(owner);
  const top = chain.at(-1);
  try {
    // A handful of tiny calls: waiting for a thread would take longer than making them here.
    for (const folder of [base, draft, files]) mkdirSync(folder);
    if (top === undefined) chmodSync(files, 0o755);
    else {
      copyRootAttributes(store.files(top), files);
      mkdirSync(work);
      mkdirSync(merged);
    }
  } catch (thrown) {
    await rm(base, { recursive: true, force: true });
    throw storeError(thrown);
  }
  let state: "parts" | "mounted" | "over" = "parts";
  let below: Promise<MountedTree> | undefined;
  const layers = chain.map(layer => store.files(layer));
  const close = async (): Promise<void> => {
    const isMounted = state === "mounted";
    state = "over";
    if (isMounted) await unmountAway(libc, merged);
    if (top !== undefined) rmdirSync(merged);
    await (await below)?.[Symbol.asyncDispose]();
  };
  return {
    get root() {
      if (top === undefined) return files;
      if (state === "parts") {
        try {
          const lowest = mountPoints === undefined ? [] : [mountPointLayer(owner, mountPoints)];
          mountLayers(libc, owner, [...lowest, ...layers], merged, { upper: files, work });
        } catch (thrown) {
          throw storeError(thrown);
        }
        state = "mounted";
      }
      return merged;
    },
    async parts() {
      if (top === undefined) return { own: files, below: undefined };
      if (state !== "parts") return undefined;
      below ??= view(libc, store, owner, top);
      return { own: files, below: (await below).root };
    },
    note: (name, bytes) => writeNote(draft, name, bytes),
    async commit(options = {}) {
      if (state === "over") throw new BakeError("internal", "BUG: commit of a snapshot that is over");
      const isMounted = state === "mounted";
      await close();
      if (isMounted && mountPoints !== undefined) dropEmptyFolders(mountPoints, files, layers);
      const { name, revisionOf } = options;
      const place = revisionOf === undefined ? { parent } : { parent: revisionOf, revision: true as const };
      const id = await store.commit(draft, { ...place, kind: "overlay" }, name);
      // The next step need not wait for it.
      owner.whenIdle(() => removeLeftovers(base));
      return id;
    },
    async [Symbol.asyncDispose]() {
      if (state === "over") return;
      await close();
      await rm(base, { recursive: true, force: true });
    },
  };
}

async function view(libc: Libc, store: SnapshotStore, owner: Owner, id: SnapshotId): Promise<MountedTree> {
  const layers = (await store.chain(id)).map(layer => store.files(layer));
  const only = layers.length === 1 ? layers[0] : undefined;
  // A first layer has nothing to hide, so its folder is the tree.
  if (only !== undefined) return { root: only, [Symbol.asyncDispose]: () => Promise.resolve() };
  return mountForReading(libc, owner, layers);
}

/** Layers as one tree, oldest first, two at least. */
function mountForReading(libc: Libc, owner: Owner, layers: readonly string[]): MountedTree {
  // What is active keeps what it is made of.
  const base = owner.newPath("active");
  const root = newMountPoint(owner);
  mkdirSync(base);
  mkdirSync(root);
  try {
    mountLayers(libc, owner, layers, root, undefined);
  } catch (thrown) {
    rmdirSync(root);
    rmdirSync(base);
    throw thrown;
  }
  let over = false;
  return {
    root,
    async [Symbol.asyncDispose]() {
      if (over) return;
      over = true;
      await unmountAway(libc, root);
      rmdirSync(root);
      rmdirSync(base);
    },
  };
}

/** What mount(2) makes in the folder `work`, and what a committed snapshot leaves around it; deepest first. */
const LEFTOVERS = ["work/work/incompat/volatile", "work/work/incompat", "work/work", "work", ""];

/** By name, since looking for what is there takes longer than removing it. */
function removeLeftovers(base: string): void {
  try {
    rmSync(join(base, "work/work/incompat/volatile/dirty"), { force: true });
    for (const folder of LEFTOVERS) rmdirSync(join(base, folder));
  } catch {
    // A kernel that makes other ones, or a tree that was never mounted.
    rmSync(base, { recursive: true, force: true });
  }
}

/**
 * Mounts layers (oldest first). When their paths do not fit into the options, or hold characters that mean something
 * there, they are named by links in a folder, reached through an open descriptor of it; beyond some 200 layers, with
 * that folder as working directory for the moment of the call.
 */
function mountLayers(
  libc: Libc,
  owner: Owner,
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
  const named = writable === undefined ? layers : [...layers, writable.upper, writable.work];
  if (Buffer.byteLength(plain) <= OPTION_BYTES && named.every(path => !/[:,\\]/.test(path))) {
    return mountVolatile(libc, target, plain, flags, writable !== undefined);
  }
  const folder = linkFolder(owner);
  const names = newestFirst.map(layer => linkTo(folder, layer));
  const links = (prefix: string): string =>
    overlayOptions(
      names.map(name => prefix + name),
      writable && { upper: `${prefix}UPPER`, work: `${prefix}WORK` },
    );
  const own = Object.entries({ UPPER: writable?.upper, WORK: writable?.work });
  for (const [name, path] of own) if (path !== undefined) symlinkSync(path, join(folder.path, name));
  const fd = openSync(folder.path, "r");
  // Only synchronous calls until the way back: nobody may see the other working directory.
  const back = openSync(".", "r");
  try {
    const linked = links(`/proc/self/fd/${fd}/`);
    if (Buffer.byteLength(linked) <= OPTION_BYTES)
      return mountVolatile(libc, target, linked, flags, writable !== undefined);
    process.chdir(folder.path);
    mountVolatile(libc, target, links(""), flags, writable !== undefined);
  } finally {
    process.chdir(`/proc/self/fd/${back}`);
    for (const opened of [fd, back]) closeSync(opened);
    for (const [name, path] of own) if (path !== undefined) unlinkSync(join(folder.path, name));
  }
}

/** Links to layers, which are mounted again and again: each step of a chain has all of those before it. */
interface LinkFolder {
  readonly path: string;
  readonly names: Map<string, string>;
}

const linkFolders = new WeakMap<Owner, LinkFolder>();

function linkFolder(owner: Owner): LinkFolder {
  const known = linkFolders.get(owner);
  if (known) return known;
  const folder = { path: newMountPoint(owner), names: new Map<string, string>() };
  mkdirSync(folder.path, { mode: 0o700 });
  linkFolders.set(owner, folder);
  return folder;
}

function linkTo({ path, names }: LinkFolder, layer: string): string {
  const known = names.get(layer);
  if (known !== undefined) return known;
  const name = names.size.toString(36);
  symlinkSync(layer, join(path, name));
  names.set(layer, name);
  return name;
}

/** What mount(2) is given for layers: read-only without a place to write. */
export function overlayOptions(
  newestFirst: readonly string[],
  writable: { readonly upper: string; readonly work: string } | undefined,
): string {
  const lower = `lowerdir=${newestFirst.join(":")}`;
  if (writable === undefined) return isInitialNamespace() ? lower : `${lower},userxattr`;
  return `${lower},upperdir=${writable.upper},workdir=${writable.work},${PLAIN},volatile`;
}

/** "volatile" (Linux 5.10) spares the flush of the whole disk at each unmount; without it things are just slower. */
export function mountVolatile(
  libc: Libc,
  target: string,
  options: string,
  flags: number,
  writable: boolean,
): void {
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
