// What builds keep the cache to, as flags and environment ask for it.
import type { StorageGoal } from "../engine/storage.ts";
import type { Environment } from "./environment.ts";
import { parseAge, parseSize } from "./sizes.ts";

export interface CacheLimitFlags {
  readonly cacheMaxSize?: string;
  readonly cacheMinFree?: string;
  readonly cacheKeepDuration?: string;
}

/**
 * What is asked for, checked at once; what is not asked for is decided by the disk of the state directory, when the
 * result is called. @throws BakeError "usage"
 */
export function cacheLimits(
  flags: CacheLimitFlags,
  { env }: Pick<Environment, "env">,
  root: string,
): () => Promise<StorageGoal> {
  const read = <T>(
    flag: string | undefined,
    name: string,
    variable: string,
    parse: (text: string, from: string) => T,
  ): T | undefined => {
    if (flag !== undefined) return parse(flag, name);
    const wanted = env[variable];
    return wanted ? parse(wanted, variable) : undefined;
  };
  const maxBytes = read(flags.cacheMaxSize, "--cache-max-size", "LLBAKE_CACHE_MAX_SIZE", parseSize);
  const minFreeBytes = read(flags.cacheMinFree, "--cache-min-free", "LLBAKE_CACHE_MIN_FREE", parseSize);
  const unusedForMs = read(
    flags.cacheKeepDuration,
    "--cache-keep-duration",
    "LLBAKE_CACHE_KEEP_DURATION",
    parseAge,
  );
  return async () => {
    const { defaultGoal } = await import("../engine/storage.ts");
    return {
      ...defaultGoal(root),
      ...(maxBytes !== undefined && { maxBytes }),
      ...(minFreeBytes !== undefined && { minFreeBytes }),
      ...(unusedForMs !== undefined && { unusedForMs }),
    };
  };
}
