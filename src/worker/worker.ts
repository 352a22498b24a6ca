// A worker: what this machine and one state directory offer to ops. Parts that cost something to open (the runtime,
// the registry client, the stat cache) are opened when first needed.
import { mkdirSync } from "node:fs";
import path from "node:path";
import { type BlobStore, openBlobStore } from "../content/blob.ts";
import { type Claims, openClaims } from "../content/claims.ts";
import { isFull } from "../content/fulldisk.ts";
import { openOwner, type Owner } from "../content/lease.ts";
import type { Room } from "../content/ledger.ts";
import { openStateRoot, type StateRoot } from "../content/root.ts";
import type { EmulationWay } from "../executor/emulation.ts";
import type { RunLimits } from "../executor/cgroup.ts";
import type { Executor } from "../executor/executor.ts";
import type { StatCache } from "../layer/filehash.ts";
import type { Platform } from "../oci/platform.ts";
import type { RegistryClient } from "../registry/client.ts";
import type { Session } from "../session/session.ts";
import { type LayerBlobs, openLayerBlobs } from "../snapshot/layerblobs.ts";
import { openSnapshots } from "../snapshot/open.ts";
import type { Snapshotter } from "../snapshot/snapshotter.ts";
import { createImageResolver, type ImageResolver } from "../source/imageresolver.ts";
import type { Copies } from "./copies.ts";
import { openMemoryDirectory } from "./memorydirectory.ts";
import { openStatCache, type SavedStatCache } from "./statcache.ts";
import { openStepLogs, type StepLogs } from "./steplogs.ts";

export interface Worker extends AsyncDisposable {
  /** What steps run on without emulation. */
  readonly platform: Platform;
  /** How long a step may take, in milliseconds; any time when absent. */
  readonly stepTimeoutMs: number | undefined;
  /** Where devices are described; where BuildKit looks when absent. */
  readonly deviceFolders: readonly string[] | undefined;
  /** Milliseconds since the epoch, for progress events. */
  now(): number;
  readonly root: StateRoot;
  readonly owner: Owner;
  readonly blobs: BlobStore;
  /** Held while steps execute. */
  readonly claims: Claims;
  readonly snapshots: Snapshotter;
  readonly layerBlobs: LayerBlobs;
  readonly images: ImageResolver;
  /** Directory of the cache mounts of steps. */
  readonly cacheMounts: string;
  readonly logs: StepLogs;
  /** What is known of the files below a directory of the user. */
  statCache(directory: string): Promise<StatCache>;
  /** Earlier copies of local folders; undefined when nothing is to be taken from them. */
  copies(): Promise<Copies | undefined>;
  /** @throws BakeError "runtime-missing" when no OCI runtime works here */
  executor(): Promise<Executor>;
  /** A client that asks with the credentials of a session. */
  registry(session: Session): Promise<RegistryClient>;
  /** A new directory in memory whose files never reach a disk. */
  memoryDirectory(): Promise<{ readonly path: string } & AsyncDisposable>;
}

export type WorkerKind = "oci" | "qemu-vm";

export interface WorkerOptions {
  /** The state directory; created when missing. */
  readonly rootPath: string;
  readonly platform: Platform;
  /** Path or name of the OCI runtime; the best one found when absent. */
  readonly runtime?: string | undefined;
  /** Where to look for emulators and for a runtime given by name: a list of folders as in PATH. Default: the usual folders. */
  readonly searchPath?: string | undefined;
  /** What runs steps: containers on this machine's kernel, or each in a virtual machine of its own. Default: "oci". */
  readonly worker?: WorkerKind | undefined;
  /** Folder with boot/vmlinuz-VERSION and lib/modules/VERSION for virtual machines. Default: the machine's root. */
  readonly vmKernel?: string | undefined;
  /** The ways to emulate other platforms that may be taken. Default: all. */
  readonly emulationWays?: readonly EmulationWay[] | undefined;
  /** How large the state directory may get; as large as its disk when absent. */
  readonly room?: Room | undefined;
  /** Limits for all steps of the run together. */
  readonly runLimits?: RunLimits | undefined;
  /** How long a step may take, in milliseconds. Default: any time. */
  readonly stepTimeoutMs?: number | undefined;
  /** Where devices are described. Default: where BuildKit looks. */
  readonly deviceFolders?: readonly string[] | undefined;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Every file of local folders is read, whatever its times say, and none is shared with earlier copies. Default false. */
  readonly verifyInputs?: boolean | undefined;
  /** Snapshots are not opened: their content and its owners mean something only with the right to mount. */
  readonly confined?: boolean | undefined;
}

/** Enters the state directory. @throws BakeError "state-unusable" */
export async function openWorker(options: WorkerOptions): Promise<Worker> {
  const { rootPath, platform, now } = options;
  const root = await openStateRoot(rootPath);
  const owner = await openOwner(root, { room: options.room });
  try {
    const blobs = openBlobStore(root, owner);
    const { snapshotter: snapshots } = await openSnapshots(root, owner, { confined: options.confined });
    const cacheMounts = path.join(root.path, "cache-mounts");
    mkdirSync(cacheMounts, { recursive: true, mode: 0o700 });
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
    const statCaches = new Map<string, Promise<SavedStatCache>>();
    let copies: Promise<Copies | undefined> | undefined;
    let executor: Promise<Executor> | undefined;
    return {
      platform,
      stepTimeoutMs: options.stepTimeoutMs,
      deviceFolders: options.deviceFolders,
      now,
      root,
      owner,
      blobs,
      claims: openClaims(root, owner),
      snapshots,
      layerBlobs: openLayerBlobs(root, owner),
      images: createImageResolver({ blobs }),
      cacheMounts,
      logs: openStepLogs(root, owner, { now }),
      registry,
      copies: () =>
        options.verifyInputs === true
          ? Promise.resolve(undefined)
          : (copies ??= openCopies(root, owner, snapshots)),
      statCache(directory) {
        const known = statCaches.get(directory);
        if (known !== undefined) return known;
        const opened = openStatCache(root, owner, directory, { verify: options.verifyInputs });
        statCaches.set(directory, opened);
        return opened;
      },
      executor: () => (executor ??= openExecutor(root, owner, options)),
      memoryDirectory: () => openMemoryDirectory(owner),
      async [Symbol.asyncDispose]() {
        try {
          for (const cache of statCaches.values()) await (await cache).save();
        } catch (thrown) {
          // On a full disk what was learned is learned again.
          if (!isFull(thrown)) throw thrown;
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

async function openExecutor(root: StateRoot, owner: Owner, options: WorkerOptions): Promise<Executor> {
  const { platform, runtime, searchPath, emulationWays, runLimits } = options;
  if (options.worker === "qemu-vm") {
    const { createVmExecutor } = await import("../executor/vm.ts");
    return createVmExecutor({
      root,
      owner,
      platform,
      searchPath,
      limits: runLimits,
      kernelFolder: options.vmKernel,
    });
  }
  const { createExecutor } = await import("../executor/container.ts");
  return createExecutor({ root, owner, platform, runtime, searchPath, emulationWays, limits: runLimits });
}

async function openCopies(root: StateRoot, owner: Owner, snapshots: Snapshotter): Promise<Copies> {
  return (await import("./copies.ts")).openCopies(root, owner, snapshots);
}
