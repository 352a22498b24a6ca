// `bake prune`: removes what builds have left in the state directory. Builds that run meanwhile keep what they use.
import { exitCodes } from "../diagnostic/codes.ts";
import { BakeError } from "../diagnostic/error.ts";
import type { Storage, StorageGoal } from "../engine/storage.ts";
import type { StoredThing } from "../engine/usage.ts";
import { collect } from "./arguments.ts";
import type { DefineCommand } from "./command.ts";
import { cacheLimits } from "./cachelimits.ts";
import { rootPath } from "./engine.ts";
import { takeRights } from "./rights.ts";
import { formatSize, parseAge, parseSize } from "./sizes.ts";
import { expectOfTargets, parseStorageFilter } from "./storagefilter.ts";

interface PruneFlags {
  readonly root?: string;
  readonly all?: boolean;
  readonly target: readonly string[];
  readonly filter: readonly string[];
  readonly keepDuration?: string;
  readonly maxUsedSpace?: string;
  readonly reservedSpace?: string;
  readonly minFreeSpace?: string;
  readonly dryRun?: boolean;
  readonly verbose?: boolean;
  /** Other names of the above. */
  readonly keepStorage?: string;
  readonly olderThan?: string;
  readonly force?: boolean;
}

export const definePrune: DefineCommand = (command, { environment, signal }, done) => {
  command
    .description(
      "Remove what is cached, least recently used first, but for what a running build uses. Without options: down to the ceiling that builds keep to.",
    )
    .option("-a, --all", "remove everything, and what is remembered of earlier builds")
    .option("--target <name>", "remove what this target uses and no other does; may be repeated", collect, [])
    .option(
      "--filter <filter>",
      "remove only some, as type=cache-mount or description~=npm; may be repeated",
      collect,
      [],
    )
    .option("--keep-duration <duration>", "keep what was used within this time, as 36h or 7d")
    .option("--max-used-space <size>", "remove until at most this much remains, as 5GB")
    .option("--reserved-space <size>", "keep this much in any case")
    .option("--min-free-space <size>", "remove until this much of the disk is free")
    .option("--dry-run", "only tell what would be removed")
    .option("--verbose", "tell of each entry that is removed")
    .option("--keep-storage <size>", "the same as --max-used-space")
    .option("--older-than <duration>", "the same as --keep-duration")
    .option("-f, --force", "does nothing: there is no question to answer")
    .option("--root <dir>", "folder for the cache and other state")
    .action(async (flags: PruneFlags) => {
      const root = rootPath(flags, environment);
      const request = parseRequest(flags);
      await takeRights(environment, root);
      const { openStorage, storageExists } = await import("../engine/storage.ts");
      let removed: readonly StoredThing[] = [];
      if (await storageExists(root)) {
        await using storage = await openStorage(root);
        const goal = await goalOf(request, flags.target, storage, cacheLimits({}, environment, root));
        const described = flags.verbose === true;
        removed = await (flags.dryRun === true
          ? storage.plan(goal, signal)
          : storage.prune({ ...goal, described }, signal));
      }
      const bytes = removed.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
      const verb = flags.dryRun === true ? "Would remove" : "Removed";
      if (flags.verbose === true || flags.dryRun === true)
        for (const { kind, id, sizeBytes, description } of removed)
          environment.stdout.write(
            `${kind} ${id}  ${formatSize(sizeBytes)}  ${description}`.trimEnd() + "\n",
          );
      environment.stdout.write(
        `${verb} ${removed.length} ${removed.length === 1 ? "entry" : "entries"}, ${formatSize(bytes)}\n`,
      );
      done(exitCodes.ok);
    });
};

/** What the flags ask for; undefined when they ask for nothing, so that the usual ceiling counts. @throws BakeError */
function parseRequest(flags: PruneFlags): StorageGoal | undefined {
  const { unusedForMs, matches } = parseStorageFilter(flags.filter);
  const size = (name: "maxUsedSpace" | "keepStorage" | "reservedSpace" | "minFreeSpace", flag: string) => {
    const text = flags[name];
    return text === undefined ? undefined : parseSize(text, flag);
  };
  const age = (text: string | undefined, flag: string): number | undefined =>
    text === undefined ? undefined : parseAge(text, flag);
  const keepMs = Math.max(
    unusedForMs ?? -Infinity,
    age(flags.keepDuration, "--keep-duration") ?? -Infinity,
    age(flags.olderThan, "--older-than") ?? -Infinity,
  );
  const wanted = [size("maxUsedSpace", "--max-used-space"), size("keepStorage", "--keep-storage")];
  const sizes = wanted.filter(bytes => bytes !== undefined);
  const reservedBytes = size("reservedSpace", "--reserved-space");
  const minFreeBytes = size("minFreeSpace", "--min-free-space");
  const hasAge = Number.isFinite(keepMs);
  const selects = flags.filter.length > 0 || flags.target.length > 0 || hasAge;
  const limits = sizes.length > 0 || minFreeBytes !== undefined || reservedBytes !== undefined;
  if (flags.all === true && (limits || hasAge || flags.target.length > 0))
    throw new BakeError("usage", "--all leaves nothing to keep", {
      hint: "use --all alone, or --max-used-space, --keep-duration and the like without it",
    });
  if (flags.all === true && !selects) return { maxBytes: 0, forget: true };
  if (!selects && !limits && flags.all !== true) return undefined;
  // Without a limit that is to be reached, all that is selected goes.
  const isBounded = sizes.length > 0 || minFreeBytes !== undefined;
  return {
    maxBytes: sizes.length > 0 ? Math.min(...sizes) : isBounded ? undefined : 0,
    ...(reservedBytes !== undefined && { reservedBytes }),
    ...(minFreeBytes !== undefined && { minFreeBytes }),
    ...(hasAge && { usedBeforeMs: Date.now() - keepMs }),
    isCandidate: matches,
  };
}

async function goalOf(
  request: StorageGoal | undefined,
  targets: readonly string[],
  storage: Storage,
  usual: () => Promise<StorageGoal>,
): Promise<StorageGoal> {
  if (request === undefined) return usual();
  if (targets.length === 0) return request;
  const ofTargets = expectOfTargets(await storage.list(), targets);
  const { isCandidate } = request;
  return { ...request, isCandidate: thing => ofTargets(thing) && (isCandidate?.(thing) ?? true) };
}
