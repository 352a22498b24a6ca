// Who is alive: each process that uses the state directory is an owner with a folder of its own, holding all that is
// transient, and an flock on a file in it. The kernel drops that lock at death, so the next process knows and sweeps.
import {
  appendFileSync,
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  statSync,
} from "node:fs";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { BakeError, invariant } from "../diagnostic/error.ts";
import { withBallast } from "./ballast.ts";
import { type ByteLocks, openByteLocks } from "./bytelocks.ts";
import { explainFullDisk } from "./fulldisk.ts";
import { whileOpen } from "./gate.ts";
import { type Ledger, openLedger, type Room } from "./ledger.ts";
import { type Libc, loadLibc, SystemError } from "./libc.ts";
import { mountsUnder, unmountUnder } from "./mounttable.ts";
import { newOwnerName, ownerByte } from "./ownername.ts";
import { isCode, openStateRoot, type StateRoot } from "./root.ts";
import { OUTSIDE, removeOwnerFolder, sweepDyingOwners } from "./sweep.ts";

/** What a lease protects from being pruned. */
export type LeaseKind = "blob" | "snapshot" | "cache-mount";

/** This process as a guest of the state directory. Everything under `path` is gone after dispose. */
export interface Owner extends AsyncDisposable {
  /** Also the folder's name. */
  readonly name: string;
  readonly path: string;
  /** What this owner writes is charged here; nothing is limited when it was opened without a `room`. */
  readonly ledger: Ledger;
  /**
   * A path below `folder` of the owner that nothing uses; the parent exists, the path itself does not. It is on the
   * file system of the state directory, so rename works.
   */
  newPath(folder: OwnerFolder): string;
  /** Keeps a blob, snapshot or cache mount from being pruned while this process lives. Call before checking that it exists. */
  lease(kind: LeaseKind, id: string): void;
  /**
   * Notes something in the making outside the state directory, as beside a build's output, before it is made: should
   * this process be killed, the next one removes it. Its name has to match `OUTSIDE_NAME`.
   */
  noteOutside(path: string): void;
  /**
   * Gives all leases back, so that what was used can be removed; whatever is used again is to be leased again. Nothing
   * happens while something is still in the making.
   */
  releaseLeases(): void;
  /** Runs when leases were given back: what was known to exist may be gone from then on. */
  onRelease(forget: () => void): void;
  /**
   * Tidies something up below `path` while this process would otherwise wait for a step, or at the latest when the
   * folder is removed, which takes all of it. A failure is nobody's.
   */
  whenIdle(chore: () => void): void;
  /** Does what was put off. */
  doChores(): void;
  /** Runs before the folder is removed, newest first; a failure does not keep the others from running. */
  onDispose(release: () => Promise<void>): void;
}

export type OwnerFolder = "temp" | "active" | "bundles" | "networks" | "trash";

/**
 * Enters the state directory and sweeps what dead owners left, also those that are just dying. With `room` what it writes is charged and limited.
 * @throws BakeError "state-unusable" when the folder cannot be made
 */
export async function openOwner(
  root: StateRoot,
  options: { readonly room?: Room | undefined } = {},
): Promise<Owner> {
  const owner = await whileOpen(root.path, async () => {
    // Taken down since it was opened?
    if (!existsSync(root.owners)) await openStateRoot(root.path);
    return await withBallast(root.path, () => enter(root, options.room));
  });
  try {
    await sweepDyingOwners(root);
    return owner;
  } catch (thrown) {
    await owner[Symbol.asyncDispose]();
    throw thrown;
  }
}

async function enter(root: StateRoot, room: Room | undefined): Promise<Owner> {
  const libc = await loadLibc();
  const name = newOwnerName();
  // The folder takes its name only once its lock is held; until then the draft itself is locked, for sweepers.
  let draft = join(root.owners, `.new-${name}`);
  let guard: number | undefined;
  let fd: number | undefined;
  let locks: ByteLocks | undefined;
  try {
    // Before it is seen, as whoever has no byte is taken for dying.
    locks = await openByteLocks(root);
    invariant(locks.take(ownerByte(name)) !== undefined, "BUG: a new name is nobody's");
    ({ fd: guard, path: draft } = openGuarded(libc, draft));
    fd = openSync(join(draft, "alive"), "wx", 0o600);
    invariant(libc.flock(fd, "exclusive"), "BUG: a new file is locked");
    renameSync(draft, join(root.owners, name));
  } catch (thrown) {
    if (fd !== undefined) closeSync(fd);
    locks?.close();
    await rm(draft, { recursive: true, force: true });
    if (!(thrown instanceof SystemError)) throw explainFullDisk(thrown, root.path);
    throw new BakeError("state-unusable", `cannot lock files in state directory "${root.path}"`, {
      hint: "choose a state directory on a local disk; some network file systems have no locks",
      cause: thrown,
    });
  } finally {
    if (guard !== undefined) closeSync(guard);
  }
  return createOwner(root, name, { fd, locks }, room);
}

/** How often a sweeper may take a draft for a dead one's in the moment before it is locked. */
const DRAFT_ATTEMPTS = 10;

/**
 * Makes a folder and locks it; the lock goes with the descriptor. One that a sweeper was quicker to lock is left to it,
 * and another made under another name: what the sweeper still removes, it removes by name.
 */
function openGuarded(libc: Libc, name: string): { readonly fd: number; readonly path: string } {
  for (let attempt = 1; ; attempt++) {
    const path = `${name}.${attempt}`;
    mkdirSync(path, { mode: 0o700 });
    let fd: number | undefined;
    try {
      fd = openSync(path, "r");
      if (libc.flock(fd, "exclusive") && statSync(path).ino === fstatSync(fd).ino) return { fd, path };
    } catch (thrown) {
      if (!isCode(thrown, "ENOENT")) throw thrown;
    }
    if (fd !== undefined) closeSync(fd);
    if (attempt === DRAFT_ATTEMPTS) throw new Error(`"${path}" is locked by another process`);
  }
}

const MAX_CHORES = 8;

function createOwner(
  root: StateRoot,
  name: string,
  life: { readonly fd: number; readonly locks: ByteLocks },
  room: Room | undefined,
): Owner {
  const path = join(root.owners, name);
  // Both are made when first needed: a build that finds everything made hardly writes.
  const folders = new Set<OwnerFolder>();
  let leases: number | undefined;
  const leased = new Set<string>();
  const releases: (() => Promise<void>)[] = [];
  const forgetters: (() => void)[] = [];
  const chores: (() => void)[] = [];
  let counter = 0;
  let disposed = false;
  const ledger = openLedger(root, name, room);
  const doChores = (): void => {
    for (const chore of chores.splice(0)) {
      try {
        chore();
      } catch {
        // It goes with the folder.
      }
    }
  };
  return {
    name,
    path,
    ledger,
    newPath(folder) {
      if (!folders.has(folder)) mkdirSync(join(path, folder), { recursive: true });
      folders.add(folder);
      return join(path, folder, (counter++).toString(36));
    },
    lease(kind, id) {
      const line = `${kind} ${id}\n`;
      if (leased.has(line)) return;
      leases ??= openSync(join(path, "leases"), "a");
      appendFileSync(leases, line);
      leased.add(line);
    },
    noteOutside: outside => appendFileSync(join(path, OUTSIDE), `${JSON.stringify(outside)}\n`),
    whenIdle(chore) {
      chores.push(chore);
      // Whoever is never idle does not let it pile up.
      if (chores.length >= MAX_CHORES) doChores();
    },
    doChores,
    releaseLeases() {
      doChores();
      // What is mounted is made of what was leased.
      const isMaking = folders.has("active") && readdirSync(join(path, "active")).length > 0;
      if (leases === undefined || leased.size === 0 || isMaking) return;
      ftruncateSync(leases);
      leased.clear();
      for (const forget of forgetters) forget();
    },
    onRelease(forget) {
      forgetters.push(forget);
    },
    onDispose(release) {
      releases.push(release);
    },
    async [Symbol.asyncDispose]() {
      if (disposed) return;
      disposed = true;
      if (leases !== undefined) closeSync(leases);
      const failures: unknown[] = [];
      for (const release of releases.reverse())
        await release().catch((thrown: unknown) => failures.push(thrown));
      // What it says is counted anew now and then.
      await ledger.close().catch(() => undefined);
      try {
        if (mountsUnder(path).length > 0) await unmountUnder(path);
        await removeOwnerFolder(path);
      } finally {
        closeSync(life.fd);
        life.locks.close();
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
