// Cache mounts as archives, to be kept between machines: a tar of their folders and the notes beside them, as they are
// in the state directory.
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { openOwner, type Owner, readLeases } from "../content/lease.ts";
import { acquireLock, withLock } from "../content/lock.ts";
import { isCode, openStateRoot, type StateRoot } from "../content/root.ts";
import { BakeError } from "../diagnostic/error.ts";
import { expectFileDestination, stageBeside } from "../exporter/staging.ts";
import { applyLayer } from "../layer/apply.ts";
import { type Compression, compressStream } from "../layer/compression.ts";
import { packTree } from "../layer/pack.ts";
import { type CacheIdentity, cacheNote, nameOfCache, readCacheNote, shownCache } from "../op/cachename.ts";
import { createHeld } from "../op/held.ts";
import { CACHE_MOUNTS } from "./usage.ts";

/** A cache mount, with its name for people: the id as a Dockerfile's author wrote it. */
export interface CacheMount extends CacheIdentity {
  readonly shown: string;
}

export interface SaveOptions {
  /** Picks from all caches there are. */
  readonly select: (all: readonly CacheMount[]) => readonly CacheMount[];
  readonly compression: Compression;
  readonly signal: AbortSignal;
}

/**
 * Packs caches into a file, which appears whole, or a stream; tells which. A locked cache is waited for, another one is
 * read as it is: a build that writes meanwhile may be seen half-way. Copies that private caches have besides stay out.
 */
export async function saveCacheMounts(
  rootPath: string,
  dest: string | Writable,
  { select, compression, signal }: SaveOptions,
): Promise<readonly CacheMount[]> {
  const root = await openStateRoot(rootPath);
  await using owner = await openOwner(root);
  await using held = createHeld();
  const folder = join(root.path, CACHE_MOUNTS);
  const caches = select(await cachesIn(folder));
  for (const cache of caches) {
    const name = nameOfCache(cache);
    // As a step does that mounts it: who removes caches looks at leases under this lock.
    await withLock(root, `cache-mount-init-${name}`, signal, () => owner.lease("cache-mount", name));
    if (cache.sharing !== "locked") continue;
    const lock = await acquireLock(root, `cache-mount-${name}`, signal);
    held.add({ [Symbol.asyncDispose]: () => Promise.resolve(lock.release()) });
  }
  const includePatterns = caches.map(nameOfCache).flatMap(name => [name, cacheNote(name)]);
  const filter = includePatterns.length === 0 ? { excludePatterns: ["**"] } : { includePatterns };
  const archive = compressStream(packTree({ root: folder, filter, signal }), compression, { signal });
  if (typeof dest !== "string") {
    await pipeline(Readable.from(archive), dest, { end: false, signal });
    return caches;
  }
  expectFileDestination(dest, "tar");
  await using staged = stageBeside(dest, owner);
  await pipeline(Readable.from(archive), createWriteStream(staged.path, { flags: "wx" }), { signal });
  await rename(staged.path, dest);
  return caches;
}

/**
 * Puts the caches of an archive in the place of those of the same name; tells which. Nothing changes unless all of the
 * archive could be read.
 * @throws BakeError "content-corrupt" when it is not an archive of caches, "state-unusable" when a build uses one of them
 */
export async function loadCacheMounts(
  rootPath: string,
  archive: Readable | string,
  signal: AbortSignal,
): Promise<readonly CacheMount[]> {
  const root = await openStateRoot(rootPath);
  await using owner = await openOwner(root);
  const staged = owner.newPath("active");
  await mkdir(staged, { mode: 0o700 });
  const stream = typeof archive === "string" ? createReadStream(archive) : archive;
  await applyLayer(stream, staged, { whiteouts: false, signal });
  const entries = await entriesOf(staged);
  const caches = await cachesIn(staged);
  if (caches.length * 2 !== entries.length)
    throw new BakeError("content-corrupt", "this is not an archive of cache mounts", {
      hint: "`bake cache-mount save -o FILE` writes one",
    });
  await mkdir(join(root.path, CACHE_MOUNTS), { recursive: true, mode: 0o700 });
  for (const cache of caches) await replace(cache, staged, root, owner, signal);
  return caches;
}

async function replace(
  cache: CacheMount,
  staged: string,
  root: StateRoot,
  owner: Owner,
  signal: AbortSignal,
): Promise<void> {
  const name = nameOfCache(cache);
  const folder = join(root.path, CACHE_MOUNTS);
  await withLock(root, `cache-mount-init-${name}`, signal, async () => {
    if ((await readLeases(root))["cache-mount"].has(name))
      throw new BakeError("state-unusable", `the cache "${cache.shown}" is in use by a build`, {
        hint: "load it when the build has ended",
      });
    for (const part of [cacheNote(name), name]) {
      await rename(join(folder, part), owner.newPath("trash")).catch(ignoreMissing);
      await rename(join(staged, part), join(folder, part));
    }
  });
}

/** The caches in a folder that are known by their notes. */
async function cachesIn(folder: string): Promise<readonly CacheMount[]> {
  const names = (await entriesOf(folder)).filter(isName);
  const notes = await Promise.all(names.map(name => readCacheNote(folder, name)));
  return notes.flatMap(cache => (cache === undefined ? [] : { ...cache, shown: shownCache(cache) }));
}

/** None is to be left out without a word: only a folder that does not exist has none. */
async function entriesOf(folder: string): Promise<readonly string[]> {
  return (await readdir(folder).catch(ignoreMissing)) ?? [];
}

function ignoreMissing(thrown: unknown): undefined {
  if (isCode(thrown, "ENOENT")) return undefined;
  throw thrown;
}

function isName(name: string): boolean {
  return /^[0-9a-f]{64}$/.test(name);
}
