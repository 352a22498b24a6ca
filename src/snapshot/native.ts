// Snapshots as whole copies, for where overlays cannot be mounted: slow and large, but needing no privilege.
// Copies are made by cp(1), which keeps hard links, sparse files, times and extended attributes, and uses reflinks
// where the file system has them. Files are never hard-linked to a parent's: a step could write through the link.
import { execFile } from "node:child_process";
import { lstat, mkdir, open, readdir, readlink, rm, writeFile } from "node:fs/promises";
import type { BigIntStats } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { storeError } from "../content/blob.ts";
import { loadLibc, type Libc } from "../content/libc.ts";
import type { Owner } from "../content/lease.ts";
import { BakeError } from "../diagnostic/error.ts";
import { compareBytes } from "./overlay.ts";
import type { ActiveSnapshot, Change, SnapshotId, Snapshotter } from "./snapshotter.ts";
import { missing, snapshotIdOfName, type SnapshotStore } from "./snapshotstore.ts";

const COMPARE_BYTES = 128 * 1024;

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
    chain: id => store.chain(id),
    exists: async id => (await store.use(id)) !== undefined,
    async lookup(name) {
      const id = snapshotIdOfName(name);
      return (await store.use(id)) && id;
    },
    async changes(id) {
      const meta = await store.use(id);
      if (!meta) throw missing(id);
      const root = store.files(id);
      const parent = meta.parent === undefined ? undefined : store.files(meta.parent);
      const changes: Change[] = [];
      const comparison = { libc, root, parent, untouchedBefore: BigInt(meta.copiedNs ?? "0") };
      await compareFolder(comparison, "", parent !== undefined, changes);
      return { root, changes, [Symbol.asyncDispose]: nothing };
    },
  };
}

async function prepare(
  store: SnapshotStore,
  owner: Owner,
  parent: SnapshotId | undefined,
): Promise<ActiveSnapshot> {
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
    async commit(options = {}) {
      if (over) throw new BakeError("internal", "BUG: commit of a snapshot that is over");
      over = true;
      const id = await store.commit(
        draft,
        { parent, kind: "native", ...(copiedNs && { copiedNs }) },
        options.name,
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

interface Comparison {
  readonly libc: Libc;
  readonly root: string;
  readonly parent: string | undefined;
  /**
   * An inode whose ctime is older than this has not been touched since the copy: ctime cannot be set. Without it,
   * or when the state directory was moved, contents are compared.
   */
  readonly untouchedBefore: bigint;
}

async function compareFolder(
  c: Comparison,
  folder: string,
  inParent: boolean,
  changes: Change[],
): Promise<void> {
  const now = new Set(await readdir(join(c.root, folder)));
  const before = c.parent !== undefined && inParent ? await readdir(join(c.parent, folder)) : [];
  for (const name of [...new Set([...now, ...before])].sort(compareBytes)) {
    const path = folder === "" ? name : `${folder}/${name}`;
    if (!now.has(name)) {
      changes.push({ kind: "delete", path });
      continue;
    }
    const current = await lstat(join(c.root, path), { bigint: true });
    const former =
      before.includes(name) && c.parent !== undefined
        ? await lstat(join(c.parent, path), { bigint: true })
        : undefined;
    const wasFolder = former?.isDirectory() ?? false;
    if (
      former === undefined ||
      c.parent === undefined ||
      (await differs(c, path, current, join(c.parent, path), former))
    ) {
      changes.push({ kind: "upsert", path });
    }
    if (current.isDirectory()) await compareFolder(c, path, wasFolder, changes);
  }
}

async function differs(
  c: Comparison,
  path: string,
  current: BigIntStats,
  parentPath: string,
  former: BigIntStats,
): Promise<boolean> {
  if (current.mode !== former.mode || current.uid !== former.uid || current.gid !== former.gid) return true;
  if (current.ctimeNs < c.untouchedBefore) return false;
  if (current.mtimeNs !== former.mtimeNs || current.rdev !== former.rdev) return true;
  const full = join(c.root, path);
  if (!sameAttributes(c.libc, full, parentPath)) return true;
  if (current.isSymbolicLink()) return (await readlink(full)) !== (await readlink(parentPath));
  if (!current.isFile()) return false;
  return current.size !== former.size || !(await sameBytes(full, parentPath));
}

function sameAttributes(libc: Libc, a: string, b: string): boolean {
  const names = [...libc.listXattr(a)].sort();
  if (names.join("\0") !== [...libc.listXattr(b)].sort().join("\0")) return false;
  return names.every(name => Buffer.compare(value(libc, a, name), value(libc, b, name)) === 0);
}

function value(libc: Libc, path: string, name: string): Buffer {
  return libc.getXattr(path, name) ?? Buffer.alloc(0);
}

async function sameBytes(a: string, b: string): Promise<boolean> {
  const left = await open(a, "r");
  try {
    const right = await open(b, "r");
    try {
      const [one, two] = [Buffer.alloc(COMPARE_BYTES), Buffer.alloc(COMPARE_BYTES)];
      for (;;) {
        const read = (await left.read(one, 0, COMPARE_BYTES, null)).bytesRead;
        const other = (await right.read(two, 0, COMPARE_BYTES, null)).bytesRead;
        if (read !== other || one.compare(two, 0, other, 0, read) !== 0) return false;
        if (read === 0) return true;
      }
    } finally {
      await right.close();
    }
  } finally {
    await left.close();
  }
}
