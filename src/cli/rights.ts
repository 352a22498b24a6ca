// Runs what may need more rights than an ordinary user has. What is cached needs none: so it is tried without, and only
// when that does not do is the program started anew in a user namespace. Starting a program takes longer than a build
// that has nothing to do.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Environment } from "./environment.ts";
import { enterNamespace, findWay, isOutside } from "./namespace.ts";
import { formOfRun } from "./runform.ts";

/**
 * A run that takes longer than this gains little by not being started anew; and until then it shows nothing. To come
 * this far again takes as long as it took: on a busy machine, so many times that are worth a try.
 */
const TRY_MS = 300;
const TRY_STARTS = 5;

export interface RightsOptions {
  readonly environment: Environment;
  /** The state directory. */
  readonly rootPath: string;
  /** Whether it can be run twice: it reads nothing that can be read only once, and says nothing before its end. */
  readonly canTry: boolean;
  readonly signal: AbortSignal;
}

/**
 * Runs `run` with the rights to mount and to give files away, as far as this user can have them. It is first run
 * `confined` where that may be enough: then it may neither execute nor mount anything, and has to fail instead.
 */
export async function withRights<T>(
  { environment, rootPath, canTry, signal }: RightsOptions,
  run: (how: { readonly confined: boolean; readonly signal: AbortSignal }) => Promise<T>,
): Promise<T> {
  if (!isOutside(environment)) return await run({ confined: false, signal });
  if (canTry && existsSync(rootPath)) {
    // performance.now() counts from the start of the process.
    const limit = AbortSignal.timeout(Math.round(Math.max(TRY_MS, TRY_STARTS * performance.now())));
    try {
      return await run({ confined: true, signal: AbortSignal.any([signal, limit]) });
    } catch (thrown) {
      if (signal.aborted) throw thrown;
    }
  }
  await takeRights(environment, rootPath);
  return await run({ confined: false, signal });
}

/**
 * Starts this program anew in a user namespace, when it is outside of one and can have one; does not return then.
 * Nothing of what it does may be under way.
 */
export async function takeRights(environment: Environment, rootPath: string): Promise<void> {
  if (!isOutside(environment)) return;
  const way = await findWay(environment);
  if (way === undefined) return;
  await killLeftovers(rootPath);
  await enterNamespace(way, environment);
}

/**
 * Steps that outlived their `bake` are in its user namespace. There only its owner has a say, which is this user: but
 * not from within another namespace.
 */
async function killLeftovers(rootPath: string): Promise<void> {
  if (!hasOwners(rootPath)) return;
  const [{ openStateRoot }, { whileOpen }, { sweepDyingOwners }] = await Promise.all([
    import("../content/root.ts"),
    import("../content/gate.ts"),
    import("../content/sweep.ts"),
  ]);
  try {
    const root = await openStateRoot(rootPath);
    // Nothing of this process is in it that would keep another one from taking it down meanwhile.
    await whileOpen(root.path, () => sweepDyingOwners(root));
  } catch {
    // What is wrong with the directory is told by whoever opens it.
  }
}

function hasOwners(rootPath: string): boolean {
  try {
    return readdirSync(join(rootPath, "owners")).length > 0;
  } catch {
    return false;
  }
}

/** As `takeRights`, for a run that is about to read what can be read only once. */
export async function takeRightsToRead(environment: Environment, rootPath: string): Promise<void> {
  if (formOfRun(environment.argv).readsOnce) await takeRights(environment, rootPath);
}
