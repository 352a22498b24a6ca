// What to say when a disk is full: which one, how much of it is free, and what to do.
import { statfsSync } from "node:fs";
import { dirname } from "node:path";
import { BakeError } from "../diagnostic/error.ts";

/** Whether something failed because there was no space left, however deep that is told. */
export function isFull(thrown: unknown): boolean {
  for (let at: unknown = thrown; at instanceof Error; at = at.cause) {
    const code: unknown = "code" in at ? at.code : undefined;
    if (code === "ENOSPC" || code === "EDQUOT" || (at instanceof BakeError && code === "disk-full"))
      return true;
  }
  return false;
}

export interface FullDisk {
  readonly path: string;
  /** Whether `path` is the state directory or in it. */
  readonly isState: boolean;
  readonly cause: unknown;
}

const MESSAGE = "no space left on the disk of";

/** The error for a disk without space. */
export function fullDisk({ path, isState, cause }: FullDisk): BakeError {
  const what = isState ? `state directory "${path}"` : `"${path}"`;
  const hint = isState
    ? '"bake prune" removes what is cached and not in use; or free some space, or name a state directory on another disk with --root'
    : "free some space there, or name a destination on another disk";
  return new BakeError("disk-full", `${MESSAGE} ${what}${describe(path)}`, { hint, cause });
}

/**
 * Names the disk in whatever failed for want of space while a state directory was used; other errors pass through. A
 * failure that names neither a path nor the state was one of writing to `dest`, when there is one.
 */
export function explainFullDisk(thrown: unknown, statePath: string, dest?: string): unknown {
  if (!isFull(thrown)) return thrown;
  // What says so already, points at a line, or tells of several problems was explained further in.
  if (thrown instanceof BakeError && thrown.message.startsWith(MESSAGE)) return thrown;
  if (thrown instanceof BakeError && (thrown.diagnostics.length > 1 || thrown.diagnostics[0]?.range))
    return thrown;
  const path = pathOf(thrown) ?? (isOfStore(thrown) ? undefined : dest);
  const isState = path === undefined || path === statePath || path.startsWith(`${statePath}/`);
  return fullDisk({ path: isState ? statePath : path, isState, cause: thrown });
}

/** Of a disk that is full a little is free again as soon as the write that failed has ended. */
const FULL_PART = 1 / 20;
const FULL_BYTES = 16 * 1024 ** 2;

/** Whether a command that failed may have failed for want of space. */
export function isNearlyFull(path: string): boolean {
  const { bavail, bsize, blocks, ffree, files } = statfsSync(path);
  return bavail * bsize < Math.min(FULL_BYTES, blocks * bsize * FULL_PART) || (files > 0 && ffree === 0);
}

/** Why a command may have failed that was running when the state's disk had no space left. */
export function fullDiskHint(statePath: string): string {
  return `the disk of the state directory "${statePath}" was full when the command ended: "bake prune" removes what is cached and not in use`;
}

/** Stores give the code, but not the path. */
function isOfStore(thrown: unknown): boolean {
  for (let at: unknown = thrown; at instanceof Error; at = at.cause)
    if (at instanceof BakeError && at.code === "disk-full") return true;
  return false;
}

/** The innermost path that a system call failed on; of two, the one written to. */
function pathOf(thrown: unknown): string | undefined {
  let found: string | undefined;
  for (let at: unknown = thrown; at instanceof Error; at = at.cause) {
    if ("path" in at && typeof at.path === "string") found = at.path;
    if ("dest" in at && typeof at.dest === "string") found = at.dest;
  }
  return found;
}

/** As " (3.1 MiB of 190.0 MiB are free now)"; by then what was in the making is gone. */
function describe(path: string): string {
  for (let at = path; ; at = dirname(at)) {
    try {
      const { bavail, bsize, blocks, ffree, files } = statfsSync(at);
      if (files > 0 && ffree === 0) return ": it can hold no more files, all inodes are in use";
      return ` (${mebibytes(bavail * bsize)} of ${mebibytes(blocks * bsize)} are free now)`;
    } catch {
      if (at === dirname(at)) return "";
    }
  }
}

function mebibytes(bytes: number): string {
  return bytes < 1024 ** 3
    ? `${(bytes / 1024 ** 2).toFixed(1)} MiB`
    : `${(bytes / 1024 ** 3).toFixed(1)} GiB`;
}
