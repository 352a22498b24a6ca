// Who is alive: each process that uses the state directory is an owner with a folder of its own, holding all that is
// transient, and an flock on a file in it. The kernel drops that lock at death, so the next process knows and sweeps.
import { randomBytes } from "node:crypto";
import { appendFileSync, closeSync, openSync, readFileSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { BakeError } from "../diagnostic/error.ts";
import { loadLibc } from "./libc.ts";
import { mountsUnder, unmountUnder } from "./mounttable.ts";
import { startTime } from "./procstat.ts";
import type { StateRoot } from "./root.ts";
import { removeOwnerFolder, sweepDeadOwners } from "./sweep.ts";

/** What a lease protects from being pruned. */
export type LeaseKind = "blob" | "snapshot" | "cache-mount";

/** This process as a guest of the state directory. Everything under `path` is gone after dispose. */
export interface Owner extends AsyncDisposable {
  /** `<pid>-<start time in ticks>-<random>`, also the folder's name. */
  readonly name: string;
  readonly path: string;
  /** Folder for files in the making; on the file system of the state directory, so rename works. */
  readonly temp: string;
  /** A path below `folder` of the owner that nothing uses; the parent exists, the path itself does not. */
  newPath(folder: OwnerFolder): string;
  /** Keeps a blob, snapshot or cache mount from being pruned while this process lives. Call before checking that it exists. */
  lease(kind: LeaseKind, id: string): void;
  /** Runs before the folder is removed, newest first; a failure does not keep the others from running. */
  onDispose(release: () => Promise<void>): void;
}

export type OwnerFolder = "temp" | "active" | "bundles" | "trash";

const FOLDERS: readonly OwnerFolder[] = ["temp", "active", "bundles", "trash"];

/**
 * Enters the state directory and sweeps what dead owners left.
 * @throws BakeError "state-unusable" when the folder cannot be made
 */
export async function openOwner(root: StateRoot): Promise<Owner> {
  const owner = await enter(root);
  try {
    await sweepDeadOwners(root);
    return owner;
  } catch (thrown) {
    await owner[Symbol.asyncDispose]();
    throw thrown;
  }
}

async function enter(root: StateRoot): Promise<Owner> {
  const libc = await loadLibc();
  const name = `${process.pid}-${ownStartTime()}-${randomBytes(4).toString("hex")}`;
  // Sweepers skip drafts: the folder takes its name only once its lock is held.
  const draft = join(root.owners, `.new-${name}`);
  await mkdir(draft, { mode: 0o700 });
  for (const folder of FOLDERS) await mkdir(join(draft, folder));
  const fd = openSync(join(draft, "alive"), "wx", 0o600);
  try {
    if (!libc.flock(fd, "exclusive")) throw new Error("a new file is locked");
    await rename(draft, join(root.owners, name));
  } catch (thrown) {
    closeSync(fd);
    await rm(draft, { recursive: true, force: true });
    throw new BakeError("state-unusable", `cannot lock files in state directory "${root.path}"`, {
      hint: "choose a state directory on a local disk; some network file systems have no locks",
      cause: thrown,
    });
  }
  return createOwner(root, name, fd);
}

function createOwner(root: StateRoot, name: string, fd: number): Owner {
  const path = join(root.owners, name);
  const leased = new Set<string>();
  const releases: (() => Promise<void>)[] = [];
  let counter = 0;
  let disposed = false;
  return {
    name,
    path,
    temp: join(path, "temp"),
    newPath: folder => join(path, folder, (counter++).toString(36)),
    lease(kind, id) {
      const line = `${kind} ${id}\n`;
      if (leased.has(line)) return;
      appendFileSync(join(path, "leases"), line);
      leased.add(line);
    },
    onDispose(release) {
      releases.push(release);
    },
    async [Symbol.asyncDispose]() {
      if (disposed) return;
      disposed = true;
      const failures: unknown[] = [];
      for (const release of releases.reverse())
        await release().catch((thrown: unknown) => failures.push(thrown));
      try {
        if ((await mountsUnder(path)).length > 0) await unmountUnder(path);
        await removeOwnerFolder(path);
      } finally {
        closeSync(fd);
      }
      if (failures.length > 0) throw failures[0];
    },
  };
}

/** What living owners hold. Dead ones count until they are swept. */
export async function readLeases(root: StateRoot): Promise<Readonly<Record<LeaseKind, ReadonlySet<string>>>> {
  const leases = {
    blob: new Set<string>(),
    snapshot: new Set<string>(),
    "cache-mount": new Set<string>(),
  };
  for (const name of await readdir(root.owners)) {
    const text = await readFile(join(root.owners, name, "leases"), "utf8").catch(() => "");
    for (const line of text.split("\n")) {
      const [kind, id] = line.split(" ");
      if ((kind === "blob" || kind === "snapshot" || kind === "cache-mount") && id !== undefined)
        leases[kind].add(id);
    }
  }
  return leases;
}

function ownStartTime(): string {
  return startTime(readFileSync("/proc/self/stat", "utf8"));
}
