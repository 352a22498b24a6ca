// Snapshots: immutable directory trees, each the changes over its parent. Committed by rename, never altered after.
import type { Change } from "../layer/change.ts";

declare const snapshotBrand: unique symbol;

/** Names a committed snapshot within one state directory. */
export type SnapshotId = string & { readonly [snapshotBrand]: true };

/** Checks the form of an id that was stored; undefined when it is not one. */
export function parseSnapshotId(text: string): SnapshotId | undefined {
  return /^[a-z0-9]+$/.test(text) ? (text as SnapshotId) : undefined;
}

export interface Snapshotter {
  readonly kind: "overlay" | "native";
  /**
   * A writable tree that begins as `parent` (empty when undefined). Discarded on dispose unless committed. It may have
   * `mountPoints` too as long as it is mounted, where `parent` has nothing of these names.
   */
  prepare(parent: SnapshotId | undefined, mountPoints?: MountPoints): Promise<ActiveSnapshot>;
  /** The whole tree of a snapshot for reading; unmounted on dispose. */
  view(id: SnapshotId): Promise<MountedTree>;
  /**
   * The folders that make up the tree of a snapshot, oldest first, each over those before by the rules of overlayfs:
   * for reading all of it without a mount.
   */
  stack(id: SnapshotId): Promise<readonly string[]>;
  /** The snapshot and what it was made upon, oldest first. @throws BakeError "state-unusable" when one is missing */
  chain(id: SnapshotId): Promise<readonly SnapshotId[]>;
  /** Whether a snapshot is there; if so it stays while this process lives. */
  exists(id: SnapshotId): Promise<boolean>;
  /** The snapshot committed under a name, such as the chain id of image layers; it stays while this process lives. */
  lookup(name: string): Promise<SnapshotId | undefined>;
  /** What was noted beside a snapshot; it stays while this process lives. */
  noted(id: SnapshotId, name: string): Promise<Noted | undefined>;
  /** What a snapshot changed against its parent, sorted by path component (bytes of UTF-8), parents before children. */
  changes(id: SnapshotId): Promise<SnapshotChanges>;
  /** What an upper tree changed against a lower one that it need not be made from; undefined is an empty tree. */
  difference(lower: SnapshotId | undefined, upper: SnapshotId | undefined): Promise<SnapshotChanges>;
  /**
   * Lays changes over another snapshot, or over nothing. The new snapshot's own changes are these and the directories
   * above each of them, removals of what is not there included. The same changes of a snapshot over the same base are
   * one snapshot. Removed entries are not looked for behind symlinks.
   */
  lay(base: SnapshotId | undefined, changes: SnapshotChanges, signal: AbortSignal): Promise<SnapshotId>;
}

export interface Noted {
  /** The directory of the snapshot's own entries. */
  readonly own: string;
  readonly bytes: Buffer;
}

/** Paths in a tree, without a slash in front. */
export interface MountPoints {
  readonly folders: readonly string[];
  /** Empty ones. */
  readonly files: readonly string[];
}

export interface MountedTree extends AsyncDisposable {
  /** Absolute path of the tree's root. */
  readonly root: string;
}

export interface ActiveSnapshot extends MountedTree {
  /** Mounted when first asked for. @throws BakeError "mount-failed" */
  readonly root: string;
  /**
   * The tree in the parts it is made of, for adding to it without a mount; undefined once `root` was asked for, which
   * ends the use of the parts.
   */
  parts(): Promise<TreeParts | undefined>;
  /** Keeps a small file beside the tree, found again with `noted`. Names are lower-case letters and digits. */
  note(name: string, bytes: Uint8Array): void;
  /**
   * Makes the tree permanent; the active snapshot may no longer be used, dispose does nothing then. With a name it
   * can be looked up again; when another process was first with that name, its snapshot is the result.
   *
   * The revision of a snapshot made upon the same parent takes its place: the tree is what was made laid over that
   * snapshot, and its changes are all those over the parent. For overlays only, and not of a revision.
   */
  commit(options?: { readonly name?: string; readonly revisionOf?: SnapshotId }): Promise<SnapshotId>;
}

export interface TreeParts {
  /** Where entries are added: on the same file system as committed snapshots. */
  readonly own: string;
  /** The tree that `own` lies over, for reading; undefined when `own` is the whole tree. */
  readonly below: string | undefined;
}

export interface SnapshotChanges extends AsyncDisposable {
  /** Directory under which the content of added and modified paths is found. */
  readonly root: string;
  readonly changes: readonly Change[];
  /** The snapshot that made them; others only repeat them. Undefined for a difference. */
  readonly layer?: SnapshotId | undefined;
  /** Where a file of `root` can be linked from; as it is seen when undefined. */
  readonly origin?: (path: string) => string;
}

/** The name of the snapshot that repeats the changes of `layer` over `base`. */
export function laidName(base: SnapshotId | undefined, layer: SnapshotId): string {
  return `laid ${base ?? "-"} ${layer}`;
}

export type { Change };
