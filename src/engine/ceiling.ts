// Keeps the cache below its ceiling: while a build runs, by evicting what nobody uses; and when the engine is done, when
// the build's own results may go as well.
import { setTimeout as delay } from "node:timers/promises";
import type { Engine } from "./engine.ts";
import { collectGarbage, type StorageGoal } from "./storage.ts";

/** How often a running build looks; short ones never do. */
const LOOK_MS = 5_000;

/** The engine with a ceiling on its state directory. `goal` is asked for once the directory exists. */
export function withCeiling(engine: Engine, rootPath: string, goal: () => Promise<StorageGoal>): Engine {
  let due = false;
  return {
    ...engine,
    async solve(requests, context) {
      due = true;
      const over = new AbortController();
      const watching = watch(rootPath, goal, over.signal);
      try {
        return await engine.solve(requests, context);
      } finally {
        over.abort();
        await watching;
        // Whoever interrupts a build does not want to wait; the next build looks again.
        if (context.signal.aborted) due = false;
      }
    },
    async [Symbol.asyncDispose]() {
      await engine[Symbol.asyncDispose]();
      if (due) await collectGarbage(rootPath, await goal());
    },
  };
}

async function watch(rootPath: string, goal: () => Promise<StorageGoal>, over: AbortSignal): Promise<void> {
  for (;;) {
    try {
      await delay(LOOK_MS, undefined, { signal: over });
    } catch {
      return;
    }
    await collectGarbage(rootPath, await goal(), over);
  }
}
