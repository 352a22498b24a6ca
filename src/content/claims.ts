// Claims: which of the processes that share a state directory does something that the others wait for. Thousands of them
// are taken in a build, so each is no file of its own but a byte of one. They do not keep a process from itself.
import { setTimeout as delay } from "node:timers/promises";
import { type ByteLocks, openByteLocks } from "./bytelocks.ts";
import type { Owner } from "./lease.ts";
import type { HeldLock } from "./lock.ts";
import type { StateRoot } from "./root.ts";
import { sweepDyingOwners } from "./sweep.ts";

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

/** The file is opened with the first claim; the owner gives back what is held when it leaves. */
export function openClaims(root: StateRoot, owner: Pick<Owner, "onDispose">): Claims {
  let opened: Promise<ByteLocks> | undefined;
  const open = async (): Promise<ByteLocks> => {
    const locks = await openByteLocks(root);
    owner.onDispose(() => Promise.resolve(locks.close()));
    return locks;
  };
  const lockOf = (key: string): string => `claim ${key}`;
  const take = async (key: string): Promise<HeldLock | undefined> =>
    (await (opened ??= open())).take(lockOf(key));
  return {
    take,
    async wait(key, { signal, onWait }) {
      let told = false;
      for (let waitMs = 1; ; waitMs = Math.min(MAX_WAIT_MS, waitMs * 1.5)) {
        signal.throwIfAborted();
        const held = await take(key);
        if (held !== undefined) {
          try {
            if (told) await sweepDyingOwners(root);
            return held;
          } catch (thrown) {
            held.release();
            throw thrown;
          }
        }
        if (!told) {
          const holder = (await opened)?.holder(lockOf(key));
          onWait(holder === "unseen" ? undefined : holder);
        }
        told = true;
        await delay(waitMs, undefined, { signal });
      }
    },
  };
}
