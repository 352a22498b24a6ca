// Where an owner mounts what its steps see. Once steps run that is a small file system in memory, from which mounts reach
// mount namespaces that were split off before they were made (mount_namespaces(7), "Shared subtrees").
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Libc } from "./libc.ts";
import type { Owner } from "./lease.ts";
import { mountsUnder } from "./mounttable.ts";

const MS_SHARED = 1 << 20;

interface Place {
  /** Folder of mount points. */
  path: string;
  isShared: boolean;
  count: number;
}

const places = new WeakMap<Owner, Place>();

/** A path that is not there, in a folder that is. It goes away with the owner at the latest. */
export function newMountPoint(owner: Owner): string {
  const place = placeOf(owner);
  return join(place.path, (place.count++).toString(36));
}

/**
 * From now on what is mounted at mount points is seen in mount namespaces that are split off later on, and what is
 * unmounted is gone there too. False where that cannot be had.
 */
export function shareMounts(libc: Libc, owner: Owner): boolean {
  const place = placeOf(owner);
  if (place.isShared) return true;
  const path = join(owner.path, "shared");
  mkdirSync(path, { recursive: true, mode: 0o711 });
  try {
    libc.mount("tmpfs", path, "tmpfs", 0, "mode=711,size=1m");
    libc.mount("none", path, "none", MS_SHARED, "");
  } catch {
    return false;
  }
  Object.assign(place, { path, isShared: true });
  return true;
}

/** What was mounted before mounts were shared. */
export function unsharedMounts(owner: Owner): readonly string[] {
  return mountsUnder(join(owner.path, "mounts"));
}

function placeOf(owner: Owner): Place {
  const known = places.get(owner);
  if (known) return known;
  const place = { path: join(owner.path, "mounts"), isShared: false, count: 0 };
  mkdirSync(place.path, { recursive: true, mode: 0o711 });
  places.set(owner, place);
  return place;
}
