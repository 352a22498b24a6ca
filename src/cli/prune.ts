// `bake prune`: removes what builds have left in the state directory. Builds that run meanwhile keep what they use.
import { exitCodes } from "../diagnostic/codes.ts";
import { BakeError } from "../diagnostic/error.ts";
import type { StorageGoal } from "../engine/storage.ts";
import type { DefineCommand } from "./command.ts";
import { cacheGoal, rootPath } from "./engine.ts";
import { formatSize, parseAge, parseSize } from "./sizes.ts";

interface PruneFlags {
  readonly root?: string;
  readonly all?: boolean;
  readonly keepStorage?: string;
  readonly olderThan?: string;
}

export const definePrune: DefineCommand = (command, { environment, signal }, done) => {
  command
    .description(
      "Remove what is cached, least recently used first, but for what a running build uses. Without options: down to the ceiling that builds keep to.",
    )
    .option("--all", "remove everything")
    .option("--keep-storage <size>", "remove until at most this much remains, as 5GB")
    .option("--older-than <duration>", "remove what was not used for this long, as 36h or 7d")
    .option("--root <dir>", "folder for the cache and other state")
    .action(async (flags: PruneFlags) => {
      if (flags.all === true && (flags.keepStorage !== undefined || flags.olderThan !== undefined))
        throw new BakeError("usage", "--all leaves nothing to keep", {
          hint: "use --all alone, or --keep-storage and --older-than",
        });
      const root = rootPath(flags, environment);
      const { openStorage } = await import("../engine/storage.ts");
      await using storage = await openStorage(root);
      const removed = await storage.prune(
        await goalOf(flags, () => cacheGoal({}, environment, root)),
        signal,
      );
      const bytes = removed.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
      environment.stdout.write(
        `Removed ${removed.length} ${removed.length === 1 ? "entry" : "entries"}, ${formatSize(bytes)}\n`,
      );
      done(exitCodes.ok);
    });
};

async function goalOf(
  { all, keepStorage, olderThan }: PruneFlags,
  usual: () => Promise<StorageGoal>,
): Promise<StorageGoal> {
  if (all === true) return { maxBytes: 0, forget: true };
  if (keepStorage === undefined && olderThan === undefined) return usual();
  return {
    ...(keepStorage !== undefined && { maxBytes: parseSize(keepStorage, "--keep-storage") }),
    ...(olderThan !== undefined && { usedBeforeMs: Date.now() - parseAge(olderThan, "--older-than") }),
  };
}
