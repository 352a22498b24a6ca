// A layer below all others that has the mount points of every container. Runtimes make those that a root lacks, which
// then have to be found and removed again, so that a snapshot holds what a step did; below everything else they are
// there for the time of the mount, and in nobody's changes.
import { mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Owner } from "../content/lease.ts";
import { lstatOrNone } from "../system/lstat.ts";
import type { MountPoints } from "./snapshotter.ts";

const layers = new WeakMap<Owner, Map<MountPoints, string>>();

/** The folder of the layer, made when first asked for. It is on the file system of all others and goes with the owner. */
export function mountPointLayer(owner: Owner, points: MountPoints): string {
  const made = layers.get(owner) ?? new Map<MountPoints, string>();
  layers.set(owner, made);
  const known = made.get(points);
  if (known !== undefined) return known;
  const path = owner.newPath("temp");
  mkdirSync(path);
  for (const folder of points.folders) mkdirSync(join(path, folder), { recursive: true });
  for (const file of points.files) {
    mkdirSync(join(path, dirname(file)), { recursive: true });
    writeFileSync(join(path, file), "");
  }
  made.set(points, path);
  return path;
}

/**
 * Removes from `upper` the folders that it has only since something in a mount point's folder came and went; `below`
 * are the layers it lies over.
 */
export function dropEmptyFolders(points: MountPoints, upper: string, below: readonly string[]): void {
  const folders = new Set([...points.folders, ...points.files.map(dirname)]);
  for (const folder of [...folders].sort().reverse()) {
    const isNew =
      lstatOrNone(join(upper, folder))?.isDirectory() &&
      !below.some(layer => lstatOrNone(join(layer, folder)));
    if (!isNew) continue;
    try {
      rmdirSync(join(upper, folder));
    } catch {
      // It has something in it.
    }
  }
}
