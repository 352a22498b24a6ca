// Claims: which of the processes that share a state directory does something that the others wait for. Thousands of them
// are taken in a build, so each is no file of its own but a byte of one, locked by fcntl(2) at the cost of a system call.
// The kernel drops such locks when their process dies. They do not keep a process from itself.
import { createHash } from "node:crypto";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Owner } from "./lease.ts";
import { loadLibc, type Libc } from "./libc.ts";
import type { HeldLock } from "./lock.ts";
import type { StateRoot } from "./root.ts";
import { sweepDeadOwners } from "./sweep.ts";

export interface Claims {
  /** Takes a key if no other process has it. */
  take(key: string): Promise<HeldLock | undefined>;
  /**
   * Waits for a key; `onWait` is told of its holder first. When the holder has died, what it left running is gone.
   * @throws the abort reason
   */
  wait(
    key: string,
    options: { readonly signal: AbortSignal; readonly onWait: (holderPid: number | undefined) => void },
  ): Promise<HeldLock>;
}

/** A lock that is waited for is tried after 1 ms, and then less and less often, down to this. */
const MAX_WAIT_MS = 25;

/** The file is opened with the first claim, and open until the owner leaves: closing it would drop all claims. */
export function openClaims(root: StateRoot, owner: Pick<Owner, "onDispose">): Claims {
  let opened: { readonly libc: Libc; readonly fd: number } | undefined;
  const open = async (): Promise<{ readonly libc: Libc; readonly fd: number }> => {
    const libc = await loadLibc();
    if (opened !== undefined) return opened;
    const fd = openSync(join(root.path, "claims"), "a+", 0o600);
    owner.onDispose(() => Promise.resolve(closeSync(fd)));
    return (opened = { libc, fd });
  };
  const take = async (key: string): Promise<HeldLock | undefined> => {
    const { libc, fd } = await open();
    const at = placeOf(key);
    if (!libc.lockByte(fd, at)) return undefined;
    let held = true;
    return {
      release() {
        if (held) libc.unlockByte(fd, at);
        held = false;
      },
    };
  };
  return {
    take,
    async wait(key, { signal, onWait }) {
      const { libc, fd } = await open();
      let told = false;
      for (let waitMs = 1; ; waitMs = Math.min(MAX_WAIT_MS, waitMs * 1.5)) {
        signal.throwIfAborted();
        const held = await take(key);
        if (held !== undefined) {
          try {
            if (told) await sweepDeadOwners(root);
            return held;
          } catch (thrown) {
            held.release();
            throw thrown;
          }
        }
        if (!told) onWait(libc.holderOfByte(fd, placeOf(key)));
        told = true;
        await delay(waitMs, undefined, { signal });
      }
    },
  };
}

/** One of 2^52 bytes, of which the file has none: two keys that share one would at worst wait for each other's work. */
function placeOf(key: string): number {
  return parseInt(createHash("sha256").update(key).digest("hex").slice(0, 13), 16);
}
