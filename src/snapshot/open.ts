// Chooses the snapshotter of this machine: overlays when a trial mount works, else copies.
import { closeSync, openSync, readFileSync, statSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { rememberFact } from "../content/facts.ts";
import type { Owner } from "../content/lease.ts";
import { loadLibc } from "../content/libc.ts";
import type { StateRoot } from "../content/root.ts";
import { loadOwners } from "../layer/owner.ts";
import { isInitialNamespace } from "../system/privilege.ts";
import { confineSnapshotter } from "./confined.ts";
import { createNativeSnapshotter } from "./native.ts";
import { createOverlaySnapshotter, mountVolatile, overlayOptions } from "./overlay.ts";
import { unmount } from "./mount.ts";
import { openSnapshotStore, type SnapshotStore } from "./snapshotstore.ts";
import type { Snapshotter } from "./snapshotter.ts";

export interface Snapshots {
  readonly snapshotter: Snapshotter;
  /** The committed snapshots themselves: for prune and statistics. */
  readonly store: SnapshotStore;
  /** Why overlays are not used, as the system said it; undefined when they are. */
  readonly overlayProblem: string | undefined;
}

/**
 * Opens the snapshots of a state directory. `kind` forces one way of keeping them; by default a trial decides, whose
 * good end is remembered. With
 * `confined` nothing is tried and nothing can be opened: it can only be asked what there is.
 */
export async function openSnapshots(
  root: StateRoot,
  owner: Owner,
  options: {
    readonly kind?: Snapshotter["kind"] | undefined;
    readonly confined?: boolean | undefined;
    /** Tries also what went well before. Default false. */
    readonly anew?: boolean | undefined;
  } = {},
): Promise<Snapshots> {
  const store = openSnapshotStore(root, owner);
  await loadOwners();
  if (options.confined === true) {
    const snapshotter = confineSnapshotter(await createOverlaySnapshotter(store, owner));
    return { snapshotter, store, overlayProblem: undefined };
  }
  const problem =
    options.kind !== undefined
      ? undefined
      : await (options.anew === true ? tryOverlay(owner) : rememberTrial(root, owner)).then(
          () => undefined,
          (thrown: unknown) => (thrown instanceof Error ? thrown.message : String(thrown)),
        );
  const kind = options.kind ?? (problem === undefined ? "overlay" : "native");
  const snapshotter =
    kind === "overlay"
      ? await createOverlaySnapshotter(store, owner)
      : await createNativeSnapshotter(store, owner);
  return { snapshotter, store, overlayProblem: problem };
}

/** As `openSnapshots`, when only the snapshotter is of interest. */
export async function openSnapshotter(root: StateRoot, owner: Owner): Promise<Snapshotter> {
  return (await openSnapshots(root, owner)).snapshotter;
}

/**
 * A trial that went well is not repeated until the machine starts anew, this process may do other things, or the state
 * directory is on another file system. One that did not is: its cause may be gone.
 */
async function rememberTrial(root: StateRoot, owner: Owner): Promise<void> {
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const rights = /^(?:CapEff|Seccomp):.*$/gm;
  const key = [
    "overlay trial",
    root.path,
    statSync(root.owners).dev,
    isInitialNamespace(),
    ...(readFileSync("/proc/self/status", "utf8").match(rights) ?? []),
  ];
  const whenSame = (value: unknown): string | undefined => (value === boot ? boot : undefined);
  await rememberFact(root, owner, key.join("\n"), whenSame, async () => {
    await tryOverlay(owner);
    return boot;
  });
}

/** @throws the system's error when overlays cannot be mounted in the state directory */
async function tryOverlay(owner: Owner): Promise<void> {
  const libc = await loadLibc();
  const base = owner.newPath("active");
  const at = (name: string): string => join(base, name);
  await mkdir(base);
  for (const name of ["lower", "upper", "work", "root"]) await mkdir(at(name));
  // By descriptor, since a path may hold characters that mean something in options.
  const fd = openSync(base, "r");
  const near = (name: string): string => `/proc/self/fd/${fd}/${name}`;
  const options = overlayOptions([near("lower")], { upper: near("upper"), work: near("work") });
  try {
    mountVolatile(libc, at("root"), options, 0, true);
    unmount(libc, at("root"));
  } finally {
    closeSync(fd);
    await rm(base, { recursive: true, force: true });
  }
}
