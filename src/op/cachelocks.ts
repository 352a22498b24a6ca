// Cache mounts that one step at a time may use, in all processes of the machine.
import { acquireLock, describeHolder } from "../content/lock.ts";
import { sweepDyingOwners } from "../content/sweep.ts";
import type { VertexDigest } from "../llb/definition.ts";
import type { ExecOp } from "../llb/op/exec.ts";
import type { OpContext } from "../solver/op.ts";
import type { OpDeps } from "./binding.ts";
import { cacheName } from "./cachename.ts";
import type { Held } from "./held.ts";

/**
 * Waits for the locked caches of a step. Each is taken once and all in one order: a step that mounts a cache twice would
 * wait for itself, and two steps that take two of them the other way round for each other.
 */
export async function lockCaches(
  step: VertexDigest,
  { mounts }: ExecOp,
  held: Held,
  { worker }: OpDeps,
  { signal, emit }: OpContext,
): Promise<void> {
  const locked = mounts.filter(({ type, cache }) => type === "cache" && cache?.sharing === "locked");
  if (locked.length === 0) return;
  const shown = new Map(locked.map(mount => [cacheName(mount), mount.cache?.id ?? ""]));
  for (const name of [...shown.keys()].sort()) {
    let part: string | undefined;
    const tell = (done: boolean): void => {
      if (part !== undefined)
        emit({ type: "status", id: step, part, at: worker.now(), current: 0, total: 0, done });
    };
    try {
      const lock = await acquireLock(worker.root, `cache-mount-${name}`, signal, {
        onWait(holderPid) {
          part = `waiting for the cache ${JSON.stringify(shown.get(name))}, used by ${describeHolder(holderPid)}`;
          tell(false);
        },
      });
      held.add({ [Symbol.asyncDispose]: () => Promise.resolve(lock.release()) });
    } finally {
      tell(true);
    }
  }
  // A step of a process that was killed may still run, and use them.
  await sweepDyingOwners(worker.root);
}
