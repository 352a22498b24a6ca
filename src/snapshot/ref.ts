// A ref: the result of an op, a file tree that later steps read or build upon.
import type { Range } from "../diagnostic/source.ts";
import type { SnapshotId } from "./snapshotter.ts";

export type Ref =
  /** An empty tree. */
  | { readonly tag: "scratch" }
  /** A committed snapshot; `layers` are blobs known to hold its chain (pulled images), oldest first. */
  | { readonly tag: "snapshot"; readonly id: SnapshotId }
  /** A user's directory, read in place through filters (patterns of `.dockerignore` and of source attributes). */
  | { readonly tag: "local"; readonly tree: LocalTree };

export interface LocalTree {
  /** Absolute path. */
  readonly root: string;
  readonly excludePatterns: readonly string[];
  /** Where each exclude pattern is written, when that is known. */
  readonly excludedAt?: readonly Range[] | undefined;
  readonly includePatterns: readonly string[];
  /** Only these paths (with wildcards) and what they link to are visible; undefined means everything. */
  readonly followPaths: readonly string[] | undefined;
}
