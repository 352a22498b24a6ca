// Makes room in the state directory for a build that needs it: the ceiling on the cache at work while something runs.
import type { Room } from "../content/ledger.ts";
import type { Emit } from "../progress/event.ts";
import type { StorageGoal } from "./storage.ts";

/** Keeps to `limits`, which are asked for once. Those who listen are warned when that cannot be done. */
export function createRoom(
  rootPath: string,
  limits: () => Promise<StorageGoal>,
  listeners: ReadonlySet<Emit>,
): Room {
  let known: Promise<StorageGoal> | undefined;
  const goal = (): Promise<StorageGoal> => (known ??= limits());
  return {
    async limits() {
      const { maxBytes = Infinity, minFreeBytes = 0 } = await goal();
      return { maxBytes, minFreeBytes };
    },
    async make(pledgedBytes) {
      const { openStorage } = await import("./storage.ts");
      await using storage = await openStorage(rootPath);
      await storage.prune({ ...(await goal()), pledgedBytes });
    },
    onOver(usedBytes, maxBytes) {
      for (const emit of listeners)
        emit({
          type: "warning",
          diagnostic: {
            severity: "warning",
            code: "cache-over",
            message: `the cache is above its limit of ${mebibytes(maxBytes)}: what running builds use takes ${mebibytes(usedBytes)}`,
            hint: "the build goes on; when it is over, what does not fit is removed, and made again by the next one: raise --cache-max-size to keep it",
          },
        });
    },
  };
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}
