// Slots for running steps: a priority queue (p-queue) per pool. Without its interval and timeout options p-queue uses
// no timer, so a simulation stays in charge of time.
import PQueue from "p-queue";
import type { Pool } from "./op.ts";

export interface PoolLimits {
  /** How many steps compute at once. At least 1. */
  readonly cpu: number;
  /** How many steps that mostly wait for the network run at once. At least 1. */
  readonly network: number;
}

export interface Pools {
  /**
   * Runs `work` when the pool has a slot, highest priority first, first come first served among equals. When the
   * signal aborts before that, rejects at once and never calls `work`; afterwards the signal is for `work` to heed,
   * and the slot is held until it has settled.
   */
  run<T>(
    pool: Pool,
    work: () => Promise<T>,
    options: { readonly signal: AbortSignal; readonly priority: number },
  ): Promise<T>;
}

export function createPools({ cpu, network }: PoolLimits): Pools {
  const queues = {
    cpu: new PQueue({ concurrency: Math.max(1, cpu) }),
    network: new PQueue({ concurrency: Math.max(1, network) }),
    free: undefined,
  } satisfies Record<Pool, PQueue | undefined>;
  return {
    run(pool, work, { signal, priority }) {
      if (signal.aborted) return Promise.reject(reasonOf(signal));
      const queue = queues[pool];
      return queue === undefined ? work() : runQueued(queue, work, signal, priority);
    },
  };
}

// p-queue's own signal option is not used: it would free the slot of a running step before the step has stopped.
function runQueued<T>(
  queue: PQueue,
  work: () => Promise<T>,
  signal: AbortSignal,
  priority: number,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(reasonOf(signal));
    signal.addEventListener("abort", onAbort, { once: true });
    const task = async (): Promise<void> => {
      signal.removeEventListener("abort", onAbort);
      if (signal.aborted) return;
      try {
        resolve(await work());
      } catch (error) {
        reject(error);
      }
    };
    queue.add(task, { priority }).catch(reject);
  });
}

function reasonOf(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  return reason instanceof Error ? reason : new DOMException("the build was stopped", "AbortError");
}
