// Cooperative time slices. File system calls are many times faster synchronously than through the thread pool, so
// walks and copies use the former and let the event loop run at short intervals.
import { setImmediate as nextTurn } from "node:timers/promises";

/** Long enough to be cheap, short enough that progress output and signals do not stutter. */
const SLICE_MS = 8;

export interface Slicer {
  /** Call between small pieces of synchronous work: undefined mostly, at the end of a slice a promise to await. */
  pause(): Promise<void> | undefined;
}

/** `pause()` throws or rejects with the signal's reason once it is aborted. */
export function createSlicer(signal?: AbortSignal): Slicer {
  // Not performance.now(), for whose first call Node loads half a millisecond of code.
  let began = Date.now();
  const turn = async (): Promise<void> => {
    await nextTurn();
    signal?.throwIfAborted();
    began = Date.now();
  };
  return {
    pause() {
      const passed = Date.now() - began;
      // Less than nothing has passed when the clock was set back.
      if (passed >= 0 && passed < SLICE_MS) return undefined;
      signal?.throwIfAborted();
      return turn();
    },
  };
}
