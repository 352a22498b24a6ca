// Brings the cache below its ceiling when the engine is done: then the build's own results may go as well. While it
// runs, room is made where it is needed (room.ts).
import type { Engine } from "./engine.ts";
import { collectGarbage, type StorageGoal } from "./storage.ts";

/** The engine with a ceiling on its state directory. `goal` is asked for once the directory exists. */
export function withCeiling(engine: Engine, rootPath: string, goal: () => Promise<StorageGoal>): Engine {
  let due = false;
  return {
    ...engine,
    async solve(requests, context) {
      due = true;
      return await engine.solve(requests, context);
    },
    async [Symbol.asyncDispose]() {
      await engine[Symbol.asyncDispose]();
      if (due) await collectGarbage(rootPath, await goal());
    },
  };
}
