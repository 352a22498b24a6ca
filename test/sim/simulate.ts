// A simulation by its seed; one that fails is told with the smallest world of the same seed that fails too, and with the
// command that replays it.
import { live, type Handle, type Simulated } from "./life.ts";
import { FEATURES, randomScenario, type Limits } from "./scenario.ts";

/** @throws Error, with the graph, the trace and a replay command in its message, when a promise is broken */
export async function simulate(seed: number, limits: Limits = {}): Promise<Simulated> {
  try {
    return await live(randomScenario<Handle>(seed, limits));
  } catch (error) {
    throw await shrunk(seed, limits, error);
  }
}

/** Command line options that give the same simulation again. */
export function replayOptions(seed: number, { size, runs, not = [] }: Limits): string {
  const options = [`--seed ${seed}`];
  if (size !== undefined) options.push(`--size ${size}`);
  if (runs !== undefined) options.push(`--runs ${runs}`);
  if (not.length > 0) options.push(`--not ${not.join(",")}`);
  return options.join(" ");
}

/** Takes away what the failure does not need: faults, then steps, then runs. Any failure counts. */
async function shrunk(seed: number, limits: Limits, first: unknown): Promise<Error> {
  let best = limits;
  let error = first;
  const fails = async (smaller: Limits): Promise<boolean> => {
    try {
      await live(randomScenario<Handle>(seed, smaller));
      return false;
    } catch (failure) {
      [best, error] = [smaller, failure];
      return true;
    }
  };
  for (const feature of FEATURES)
    if (best.not?.includes(feature) !== true) await fails({ ...best, not: [...(best.not ?? []), feature] });
  for (let size = 1; size < (best.size ?? 12); size++) if (await fails({ ...best, size })) break;
  for (let runs = 1; runs < (best.runs ?? 6); runs++) if (await fails({ ...best, runs })) break;
  const replay = `node --import tsx test/sim/run.ts ${replayOptions(seed, best)} --trace`;
  const message = error instanceof Error ? error.message : String(error);
  return new Error(`${message}\nreplay: ${replay}`, { cause: first });
}
