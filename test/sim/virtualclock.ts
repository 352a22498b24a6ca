// Time that only moves when nothing else can happen. An empty agenda before the end is a deadlock.
import type { Clock } from "../../src/solver/op.ts";

export interface VirtualClock extends Clock {
  /** Settles `ms` later; rejects when the signal aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  at(ms: number, work: () => void): void;
  /** Lets time pass until `work` has settled. @throws when nothing is left to wait for, or after too many turns */
  run<T>(work: Promise<T>): Promise<T>;
}

const MAX_TURNS = 200_000;

export function createVirtualClock(): VirtualClock {
  const agenda: { readonly at: number; readonly order: number; readonly work: () => void }[] = [];
  let now = 0;
  let order = 0;

  function add(at: number, work: () => void): void {
    // Sorted, latest first: the agenda is short.
    const entry = { at, order: order++, work };
    let i = agenda.length;
    while (i > 0 && (agenda[i - 1]?.at ?? 0) <= at) i--;
    agenda.splice(i, 0, entry);
  }

  return {
    now: () => now,
    at: (ms, work) => add(ms, work),
    sleep(ms, signal) {
      return new Promise((resolve, reject) => {
        const stop = (): void => reject(new DOMException("aborted", "AbortError"));
        if (signal?.aborted === true) return stop();
        signal?.addEventListener("abort", stop, { once: true });
        if (ms === Infinity) return;
        add(now + ms, () => {
          signal?.removeEventListener("abort", stop);
          resolve();
        });
      });
    },
    async run(work) {
      const state = { settled: false };
      const settle = (): void => void (state.settled = true);
      work.then(settle, settle);
      for (let turn = 0; ; turn++) {
        await new Promise(resolve => setImmediate(resolve));
        if (state.settled) return work;
        const next = agenda.pop();
        if (next === undefined)
          throw new Error("deadlock: nothing is left to happen, and the work has not settled");
        if (turn > MAX_TURNS) throw new Error("livelock: the work does not settle");
        now = next.at;
        next.work();
      }
    },
  };
}
