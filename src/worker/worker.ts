// A worker: what this machine and one state directory offer to ops. Parts that cost something to open (the runtime,
// the registry client, the stat cache) are opened when first needed.
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { type BlobStore, openBlobStore } from "../content/blob.ts";
import { openOwner, type Owner } from "../content/lease.ts";
import { openStateRoot, type StateRoot } from "../content/root.ts";
import type { Executor } from "../executor/executor.ts";
import type { StatCache } from "../layer/filehash.ts";
import type { Platform } from "../oci/platform.ts";
import type { RegistryClient } from "../registry/client.ts";
import type { Session } from "../session/session.ts";
import { type LayerBlobs, openLayerBlobs } from "../snapshot/layerblobs.ts";
import { openSnapshotter } from "../snapshot/open.ts";
import type { Snapshotter } from "../snapshot/snapshotter.ts";
import { createImageResolver, type ImageResolver } from "../source/imageresolver.ts";
import { openMemoryDirectory } from "./memorydirectory.ts";
import { openStatCache, type SavedStatCache } from "./statcache.ts";
import { openStepLogs, type StepLogs } from "./steplogs.ts";

export interface Worker extends AsyncDisposable {
  /** What steps run on without emulation. */
  readonly platform: Platform;
  /** Milliseconds since the epoch, for progress events. */
  now(): number;
  readonly root: StateRoot;
  readonly owner: Owner;
  readonly blobs: BlobStore;
  readonly snapshots: Snapshotter;
  readonly layerBlobs: LayerBlobs;
  readonly images: ImageResolver;
  /** Directory of the cache mounts of steps. */
  readonly cacheMounts: string;
  readonly logs: StepLogs;
  statCache(): Promise<StatCache>;
  /** @throws BakeError "runtime-missing" when no OCI runtime works here */
  executor(): Promise<Executor>;
  /** A client that asks with the credentials of a session. */
  registry(session: Session): Promise<RegistryClient>;
  /** A new directory in memory whose files never reach a disk. */
  memoryDirectory(): Promise<{ readonly path: string } & AsyncDisposable>;
}

export interface WorkerOptions {
  /** The state directory; created when missing. */
  readonly rootPath: string;
  readonly platform: Platform;
  /** Path or name of the OCI runtime; the best one found when absent. */
  readonly runtime?: string | undefined;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Enters the state directory. @throws BakeError "state-unusable" */
export async function openWorker({ rootPath, platform, runtime, now }: WorkerOptions): Promise<Worker> {
  const root = await openStateRoot(rootPath);
  const owner = await openOwner(root);
  try {
    const blobs = openBlobStore(root, owner);
    const snapshots = await openSnapshotter(root, owner);
    const cacheMounts = path.join(root.path, "cache-mounts");
    await mkdir(cacheMounts, { recursive: true, mode: 0o700 });
    const clients = new WeakMap<Session, Promise<RegistryClient>>();
    const registry = (session: Session): Promise<RegistryClient> => {
      const known = clients.get(session);
      if (known !== undefined) return known;
      const client = import("../registry/client.ts").then(({ createRegistryClient }) =>
        createRegistryClient({ credentials: host => session.credentials(host) }),
      );
      clients.set(session, client);
      return client;
    };
    let stats: Promise<SavedStatCache> | undefined;
    let executor: Promise<Executor> | undefined;
    return {
      platform,
      now,
      root,
      owner,
      blobs,
      snapshots,
      layerBlobs: openLayerBlobs(root, owner),
      images: createImageResolver({ blobs }),
      cacheMounts,
      logs: openStepLogs(root, owner, { now }),
      registry,
      statCache: () => (stats ??= openStatCache(root, owner)),
      executor: () => (executor ??= openExecutor(root, owner, runtime)),
      memoryDirectory: () => openMemoryDirectory(owner),
      async [Symbol.asyncDispose]() {
        try {
          await (await stats)?.save();
        } finally {
          await owner[Symbol.asyncDispose]();
        }
      },
    };
  } catch (error) {
    await owner[Symbol.asyncDispose]();
    throw error;
  }
}

async function openExecutor(root: StateRoot, owner: Owner, runtime: string | undefined): Promise<Executor> {
  const { createExecutor } = await import("../executor/container.ts");
  return createExecutor({ root, owner, ...(runtime !== undefined && { runtime }) });
}
