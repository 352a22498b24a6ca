// The name of a cache mount in the state directory: of its folder, its lock and its lease; and the note beside the folder
// that tells what the name stands for.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { CacheSharing, Mount } from "../llb/op/exec.ts";
import { digestHex, digestOf } from "../oci/digest.ts";
import { formatPlatform, type Platform } from "../oci/platform.ts";

/** What tells a cache from others. Caches of one id but different sharing are different folders. */
export interface CacheIdentity {
  readonly id: string;
  readonly sharing: CacheSharing;
}

/**
 * The mounts of a step with the caches of its platform. A step of another platform than the worker's has caches of its
 * own: what a program of one processor leaves there is of no use to one of another, or breaks it.
 */
export function mountsOfPlatform(
  mounts: readonly Mount[],
  platform: Platform,
  native: Platform,
): readonly Mount[] {
  const suffix = formatPlatform(platform);
  if (suffix === formatPlatform(native)) return mounts;
  return mounts.map(mount =>
    mount.cache === undefined
      ? mount
      : { ...mount, cache: { ...mount.cache, id: `${mount.cache.id}@${suffix}` } },
  );
}

/** The name of the folder that a cache mount stands for. */
export function cacheName(mount: Pick<Mount, "cache">): string {
  return nameOfCache(identityOf(mount));
}

function identityOf({ cache }: Pick<Mount, "cache">): CacheIdentity {
  return { id: cache?.id ?? "", sharing: cache?.sharing ?? "shared" };
}

/** Ids may be any text, so the name is a hash. */
export function nameOfCache({ id, sharing }: CacheIdentity): string {
  return digestHex(digestOf(`${id}\0${sharing}`));
}

/** The note of a cache: a file beside its folder. */
export function cacheNote(name: string): string {
  return `${name}.id`;
}

/** Notes what the cache of a mount is called; `folder` is the one that holds all caches. */
export async function writeCacheNote(folder: string, mount: Pick<Mount, "cache">): Promise<void> {
  const identity = identityOf(mount);
  await writeFile(join(folder, cacheNote(nameOfCache(identity))), `${JSON.stringify(identity)}\n`, {
    mode: 0o600,
  });
}

/** What a name stands for; undefined when there is no note, or one of something else. */
export async function readCacheNote(folder: string, name: string): Promise<CacheIdentity | undefined> {
  try {
    const { id, sharing } = JSON.parse(await readFile(join(folder, cacheNote(name)), "utf8")) as Readonly<
      Record<string, unknown>
    >;
    if (typeof id !== "string" || !isSharing(sharing)) return undefined;
    return nameOfCache({ id, sharing }) === name ? { id, sharing } : undefined;
  } catch {
    return undefined;
  }
}

/** A cache as the author of a Dockerfile named it: the frontend puts a namespace before a slash, mostly an empty one. */
export function shownCache({ id, sharing }: CacheIdentity): string {
  return `${id.replace(/^\//, "")}${sharing === "shared" ? "" : ` (${sharing})`}`;
}

function isSharing(value: unknown): value is CacheSharing {
  return value === "shared" || value === "private" || value === "locked";
}
