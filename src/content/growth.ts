// Watches what a process has in the making: of commands nobody can tell beforehand how much they write, so that is
// charged while it grows. Looking at the free space of the disk costs next to nothing; the files are walked only when
// that has fallen, or from time to time.
import { statfsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Owner } from "./lease.ts";
import type { StateRoot } from "./root.ts";
import { treeSize } from "./treesize.ts";

const LOOK_MS = 100;
/** Walking takes at most this part of the time. */
const WALK_PART = 1 / 20;
const WALK_MS = 1_000;
/** A walk of this many milliseconds is not repeated whenever something was written. */
const LONG_WALK_MS = 50;
const RECOUNT_MS = 2_000;
/** A folder, and what else is there of a build that has made nothing. */
const EMPTY_BYTES = 64 * 1024;

/** Watches until disposed. Problems of watching are none of the build's. */
export function watchGrowth(root: StateRoot, owner: Owner): AsyncDisposable {
  const over = new AbortController();
  const watching = watch(root, owner, over.signal).catch(() => undefined);
  return {
    async [Symbol.asyncDispose]() {
      over.abort();
      await watching;
    },
  };
}

async function watch(root: StateRoot, { path, ledger }: Owner, over: AbortSignal): Promise<void> {
  const active = join(path, "active");
  let walked = { atMs: Date.now(), freeBytes: freeOf(root), pauseMs: WALK_MS, tookMs: 0, activeBytes: 0 };
  const walk = async (freeBytes: number): Promise<number> => {
    const atMs = Date.now();
    const activeBytes = await treeSize(active, over);
    const tookMs = Date.now() - atMs;
    walked = { atMs: Date.now(), freeBytes, pauseMs: pauseAfter(tookMs, WALK_MS), tookMs, activeBytes };
    return activeBytes;
  };
  /** The free space when growth was last told. */
  let toldFreeBytes = walked.freeBytes;
  let counted = {
    atMs: walked.atMs,
    freeBytes: walked.freeBytes,
    chargedBytes: ledger.chargedBytes,
    pauseMs: RECOUNT_MS,
  };
  for (;;) {
    try {
      await delay(LOOK_MS, undefined, { signal: over });
    } catch {
      return;
    }
    const freeBytes = freeOf(root);
    const isDue = Date.now() - walked.atMs >= walked.pauseMs;
    if (!isDue && toldFreeBytes - freeBytes < ledger.pieceBytes / 4) continue;
    toldFreeBytes = freeBytes;
    if (!isDue && walked.tookMs >= LONG_WALK_MS) {
      // Until then all that the disk lost counts as this build's, though others may have written it.
      const lostBytes = Math.max(0, walked.freeBytes - freeBytes);
      await ledger.guessed(walked.activeBytes + lostBytes, () => walk(freeOf(root)));
      continue;
    }
    const activeBytes = await walk(freeBytes);
    // A build that only reads needs no room.
    if (ledger.chargedBytes > 0 || activeBytes > EMPTY_BYTES) await ledger.grown(activeBytes);
    // Caches of steps and repositories grow in place, and what others write to the disk counts for its free space.
    const unexplained = counted.freeBytes - freeBytes - (ledger.chargedBytes - counted.chargedBytes);
    if (unexplained < 4 * ledger.pieceBytes || walked.atMs - counted.atMs < counted.pauseMs) continue;
    await ledger.recount();
    counted = {
      atMs: Date.now(),
      freeBytes: freeOf(root),
      chargedBytes: ledger.chargedBytes,
      pauseMs: pauseAfter(Date.now() - walked.atMs, RECOUNT_MS),
    };
  }
}

function pauseAfter(tookMs: number, leastMs: number): number {
  return Math.max(leastMs, tookMs / WALK_PART);
}

function freeOf(root: StateRoot): number {
  const { bavail, bsize } = statfsSync(root.path);
  return bavail * bsize;
}
