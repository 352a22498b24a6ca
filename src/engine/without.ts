// What makes builds fast, each by itself to be switched off: results are the same without it, which tests check by
// running with each one off. A testing aid; see docs/solver.md.
import type { Ref } from "../snapshot/ref.ts";
import type { CacheStore } from "../solver/op.ts";
import { type Optimization, OPTIMIZATIONS } from "../solver/optimization.ts";
import type { Worker } from "../worker/worker.ts";

export const ENGINE_OPTIMIZATIONS = [
  ...OPTIMIZATIONS,
  /** Files of local folders are not read again when their times say they are the same. */
  "stats",
  /** Copies of local folders share unchanged files with earlier ones. */
  "copies",
  /** Processes wait for each other instead of doing the same. */
  "claims",
  /** Results of earlier builds are used at all. */
  "cache",
] as const;

export type EngineOptimization = (typeof ENGINE_OPTIMIZATIONS)[number];

/** Those of the solver. */
export function solverWithout(without: ReadonlySet<EngineOptimization>): ReadonlySet<Optimization> {
  return new Set(OPTIMIZATIONS.filter(name => without.has(name)));
}

/** The worker without what it remembers of files. */
export function workerWithout(worker: Worker, without: ReadonlySet<EngineOptimization>): Worker {
  return {
    ...worker,
    ...(without.has("stats") && {
      statCache: () => Promise.resolve({ get: () => undefined, set: () => undefined }),
    }),
    ...(without.has("copies") && { copies: () => Promise.resolve(undefined) }),
  };
}

/** The store without claims, or one that knows nothing. */
export function storeWithout<S extends CacheStore<Ref>>(
  store: S,
  without: ReadonlySet<EngineOptimization>,
): S {
  if (without.has("cache")) return { ...store, query: () => Promise.resolve(undefined), claim: undefined };
  return without.has("claims") ? { ...store, claim: undefined } : store;
}
