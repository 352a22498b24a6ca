// Mount points. A runtime makes the files and folders it mounts on when the root lacks them; what is empty of these is
// removed after the step, since the snapshot is to hold what the command did, nothing else.
import { readdirSync, rmdirSync, statSync, unlinkSync, utimesSync } from "node:fs";
import { dirname } from "node:path";
import { lstatOrNone } from "../system/lstat.ts";
import { relativeToRoot, resolveInRoot } from "../layer/rootpath.ts";

export interface MountStubs {
  /** Removes the mount points that the runtime made and that are still empty, and sets their parents' times back. */
  remove(): void;
}

/** Looks which of `destinations` and their parents are missing in `root`, deepest first. Call before the container starts. */
export function findMountStubs(root: string, destinations: readonly string[]): MountStubs {
  const missing = new Set<string>();
  for (const destination of destinations) {
    let path = resolveInRoot(root, destination, { followLast: true });
    while (path !== root && path.startsWith(`${root}/`) && lstatOrNone(path) === undefined) {
      missing.add(path);
      path = dirname(path);
    }
  }
  const stubs = [...missing].sort((a, b) => b.length - a.length);
  // The folders that exist and will get a stub in them.
  const parents = new Map<string, { readonly atime: Date; readonly mtime: Date }>();
  for (const stub of stubs) {
    const parent = dirname(stub);
    const found = missing.has(parent) ? undefined : lstatOrNone(parent);
    if (found) parents.set(parent, { atime: found.atime, mtime: found.mtime });
  }
  return {
    remove() {
      for (const stub of stubs) removeStub(root, stub, parents);
    },
  };
}

/**
 * The command may have put a link in the place of a parent: what is then found there is not ours. Times of a parent
 * go back only when the removal is all that would have changed them.
 */
function removeStub(
  root: string,
  stub: string,
  parents: ReadonlyMap<string, { readonly atime: Date; readonly mtime: Date }>,
): void {
  if (resolveInRoot(root, relativeToRoot(root, stub), { followLast: false }) !== stub) return;
  const found = lstatOrNone(stub);
  if (found === undefined) return;
  const isEmpty = found.isDirectory() ? readdirSync(stub).length === 0 : found.isFile() && found.size === 0;
  if (!isEmpty) return;
  const parent = dirname(stub);
  const before = parents.get(parent);
  const now = statSync(parent);
  if (found.isDirectory()) rmdirSync(stub);
  else unlinkSync(stub);
  if (before === undefined) return;
  // The runtime made the stub when it began; a parent changed later than that was changed by the command.
  const byCommand = now.mtimeMs > Math.max(found.birthtimeMs, before.mtime.getTime()) + STUB_SETTLE_MS;
  const times = byCommand ? now : before;
  utimesSync(parent, times.atime, times.mtime);
}

/** All stubs in one folder are made within this time. */
const STUB_SETTLE_MS = 20;
