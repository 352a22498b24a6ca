// Locks on single bytes of one file of the state directory, at the cost of a system call each. The kernel drops those of
// a process that dies all at once, before any flock(2) it held.
import { createHash } from "node:crypto";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { loadLibc } from "./libc.ts";
import type { HeldLock } from "./lock.ts";
import type { StateRoot } from "./root.ts";

export interface ByteLocks {
  /** Takes a key if no other process has it; this process is not kept from taking it again. */
  take(key: string): HeldLock | undefined;
  /** The other process that has a key, which may not be seen from here; undefined when none has. */
  holder(key: string): number | "unseen" | undefined;
  /** Gives back what was taken. */
  close(): void;
}

/** By path: closing a file drops all locks that the process has on it, so that it is opened once only. */
const files = new Map<string, { readonly fd: number; users: number }>();

/** Opens the locks of a state directory, to be closed. They are of the process, and fcntl(2) ones. */
export async function openByteLocks(root: StateRoot): Promise<ByteLocks> {
  const libc = await loadLibc();
  const path = join(root.path, "claims");
  const file = files.get(path) ?? { fd: openSync(path, "a+", 0o600), users: 0 };
  files.set(path, file);
  file.users++;
  const held = new Set<number>();
  let closed = false;
  return {
    take(key) {
      const at = placeOf(key);
      if (!libc.lockByte(file.fd, at)) return undefined;
      held.add(at);
      return {
        release() {
          if (held.delete(at)) libc.unlockByte(file.fd, at);
        },
      };
    },
    holder: key => libc.holderOfByte(file.fd, placeOf(key)),
    close() {
      if (closed) return;
      closed = true;
      for (const at of held) libc.unlockByte(file.fd, at);
      held.clear();
      if (--file.users > 0) return;
      files.delete(path);
      closeSync(file.fd);
    },
  };
}

/** One of 2^52 bytes, of which the file has none: two keys that share one would at worst wait for each other's work. */
function placeOf(key: string): number {
  return parseInt(createHash("sha256").update(key).digest("hex").slice(0, 13), 16);
}
