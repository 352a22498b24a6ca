// Locks between processes: flock(2) on a file, which the kernel drops when the holder dies, however it dies.
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readdirSync, readFileSync, statSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { loadLibc, type Libc } from "./libc.ts";
import { isCode, type StateRoot } from "./root.ts";

/** Waiting is by polling, since a blocking flock would hold a thread for ever: from 1 ms, slowing to this. */
const MAX_WAIT_MS = 25;

export interface LockOptions {
  /** Several holders at once, none of them exclusive. Default false. */
  readonly shared?: boolean;
  /** Called once when the lock is not free, before waiting, with the process that holds it, if that can be told. */
  readonly onWait?: (holderPid: number | undefined) => void;
}

/**
 * Runs `fn` while this call alone, in all processes of the machine, holds the lock named `key`. Not re-entrant.
 * @throws what `fn` throws, or the abort reason when the signal aborts while waiting
 */
export async function withLock<T>(
  root: StateRoot,
  key: string,
  signal: AbortSignal | undefined,
  fn: () => Promise<T> | T,
  options: LockOptions = {},
): Promise<T> {
  const lock = await acquireLock(root, key, signal, options);
  try {
    return await fn();
  } finally {
    lock.release();
  }
}

export interface HeldLock {
  /** Gives the lock back; further calls do nothing. */
  release(): void;
}

/** Waits for the lock named `key`. Prefer `withLock`, which cannot forget to release. */
export async function acquireLock(
  root: StateRoot,
  key: string,
  signal: AbortSignal | undefined,
  options: LockOptions = {},
): Promise<HeldLock> {
  const libc = await loadLibc();
  const path = lockPath(root, key);
  let waitMs = 1;
  let told = false;
  for (;;) {
    signal?.throwIfAborted();
    const lock = attempt(
      libc,
      path,
      options.shared ?? false,
      told ? undefined : fd => options.onWait?.(holderOf(fd)),
    );
    if (lock) return lock;
    told = true;
    await delay(waitMs, undefined, signal ? { signal } : {});
    waitMs = Math.min(MAX_WAIT_MS, waitMs * 1.5);
  }
}

/** Takes the lock if it is free right now. */
export async function tryLock(
  root: StateRoot,
  key: string,
  options: LockOptions = {},
): Promise<HeldLock | undefined> {
  return attempt(await loadLibc(), lockPath(root, key), options.shared ?? false);
}

function lockPath(root: StateRoot, key: string): string {
  return join(root.locks, createHash("sha256").update(key).digest("hex").slice(0, 40));
}

/**
 * The exclusive holder unlinks the file before letting go, so that lock files do not pile up. Whoever had the old
 * file open then holds a lock nobody else can see, hence the comparison of the inode after locking.
 */
function attempt(
  libc: Libc,
  path: string,
  shared: boolean,
  onBusy?: (fd: number) => void,
): HeldLock | undefined {
  for (;;) {
    const fd = openSync(path, "a", 0o600);
    let kept = false;
    try {
      if (!libc.flock(fd, shared ? "shared" : "exclusive")) {
        onBusy?.(fd);
        return undefined;
      }
      kept = isCurrent(fd, path);
      if (kept) return holder(fd, path, shared);
    } finally {
      if (!kept) closeSync(fd);
    }
  }
}

function holder(fd: number, path: string, shared: boolean): HeldLock {
  let held = true;
  return {
    release() {
      if (!held) return;
      held = false;
      try {
        if (!shared) removeLockFile(path);
      } finally {
        closeSync(fd);
      }
    },
  };
}

/** A disk may fail for a moment. A file that stays for longer is free, and gone when the lock is next given back. */
function removeLockFile(path: string): void {
  for (let tries = 2; tries > 0; tries--) {
    try {
      return unlinkSync(path);
    } catch {
      // What the lock was held for is done all the same.
    }
  }
}

/** A process that holds a lock on an open file, from /proc/locks (proc(5)); the kernel names none of another container. */
function holderOf(fd: number): number | undefined {
  const inode = fstatSync(fd).ino;
  let table: string;
  try {
    table = readFileSync("/proc/locks", "utf8");
  } catch {
    return undefined;
  }
  for (const line of table.split("\n")) {
    const [, kind, , , pid, file] = line.trim().split(/ +/);
    if (kind === "FLOCK" && file?.endsWith(`:${inode}`) && Number(pid) > 0) return Number(pid);
  }
  return undefined;
}

/** The process that holds a lock, in words. */
export function describeHolder(pid: number | undefined): string {
  if (pid === process.pid) return "another build of this process";
  return pid === undefined ? "another bake" : `another bake (pid ${pid})`;
}

/** Removes the lock files that nobody holds: killed holders, and all shared ones, leave theirs behind. */
export async function removeFreeLocks(root: StateRoot): Promise<void> {
  const libc = await loadLibc();
  for (const name of readdirSync(root.locks)) attempt(libc, join(root.locks, name), false)?.release();
}

function isCurrent(fd: number, path: string): boolean {
  try {
    return statSync(path).ino === fstatSync(fd).ino;
  } catch (thrown) {
    if (isCode(thrown, "ENOENT")) return false;
    throw thrown;
  }
}
