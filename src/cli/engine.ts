// The engine of a run, as flags and environment ask for it.
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { ONE_OWNER } from "../content/oneowner.ts";
import { BakeError } from "../diagnostic/error.ts";
import type { Engine } from "../engine/engine.ts";
import type { RunLimits } from "../executor/cgroup.ts";
import type { EngineOptimization } from "../engine/without.ts";
import type { WorkerKind } from "../worker/worker.ts";
import { type CacheLimitFlags, cacheLimits } from "./cachelimits.ts";
import { hostPlatform } from "./hostplatform.ts";
import { willKeepOwners } from "./namespace.ts";
import { parseAge, parseSize } from "./sizes.ts";
import { defaultRoot, type Environment } from "./environment.ts";

export interface EngineFlags extends CacheLimitFlags {
  readonly root?: string;
  readonly ociRuntime?: string;
  readonly worker?: WorkerKind;
  readonly maxParallelism?: number;
  readonly keepGoing?: boolean;
  readonly memory?: string;
  readonly cpus?: number;
  readonly stepTimeout?: string;
  readonly verifyInputs?: boolean;
  readonly failOnCacheMiss?: boolean;
}

/**
 * Opens the state directory when it is first needed. Dispose it to leave nothing behind. A confined engine answers from
 * the cache alone, and fails where it would have to execute or mount something.
 */
export async function createEngine(
  flags: EngineFlags,
  environment: Environment,
  { confined = false }: { readonly confined?: boolean } = {},
): Promise<Engine> {
  const { createEmbeddedEngine } = await import("../engine/embedded.ts");
  const { withCeiling } = await import("../engine/ceiling.ts");
  const root = rootPath(flags, environment);
  // A wrong size is told before anything is built.
  const limits = cacheLimits(flags, environment, root);
  const engine = createEmbeddedEngine({
    rootPath: root,
    // It adds nothing, so it needs no room.
    ...(!confined && { limits }),
    platform: hostPlatform(environment),
    runtime: flags.ociRuntime ?? environment.env["LLBAKE_OCI_RUNTIME"],
    searchPath: environment.env["PATH"],
    worker: flags.worker,
    vmKernel: environment.env["LLBAKE_VM_KERNEL"],
    maxParallelism: flags.maxParallelism ?? availableParallelism(),
    keepGoing: flags.keepGoing ?? false,
    runLimits: runLimits(flags),
    stepTimeoutMs: flags.stepTimeout === undefined ? undefined : parseTimeout(flags.stepTimeout),
    verifyInputs: flags.verifyInputs ?? false,
    failOnCacheMiss: flags.failOnCacheMiss ?? confined,
    confined,
    ...(environment.env["LLBAKE_DISABLE"] && { without: await disabled(environment.env["LLBAKE_DISABLE"]) }),
    now: Date.now,
    stdout: environment.stdout,
  });
  // Nor may it remove everything.
  if (confined) return engine;
  return withCeiling(engine, root, limits);
}

/** What a test wants switched off. @throws BakeError "usage" */
async function disabled(names: string): Promise<ReadonlySet<EngineOptimization>> {
  const { ENGINE_OPTIMIZATIONS } = await import("../engine/without.ts");
  return new Set(
    names.split(",").map(name => {
      const known = ENGINE_OPTIMIZATIONS.find(optimization => optimization === name);
      if (known !== undefined) return known;
      throw new BakeError(
        "usage",
        `LLBAKE_DISABLE names "${name}", which is none of ${ENGINE_OPTIMIZATIONS.join(", ")}`,
      );
    }),
  );
}

/** Less than a shell needs to start is a slip, such as a missing unit. */
const MIN_MEMORY_BYTES = 1024 * 1024;

/** @throws BakeError "usage" */
function runLimits({ memory, cpus }: EngineFlags): RunLimits {
  const memoryBytes = memory === undefined ? undefined : parseSize(memory, "--memory");
  if (memoryBytes !== undefined && memoryBytes < MIN_MEMORY_BYTES)
    throw new BakeError("usage", `--memory=${memory ?? ""} is too little for any step`, {
      hint: "write a number with a unit, such as 500MB or 4GB",
    });
  return { memoryBytes, cpus };
}

/** @throws BakeError "usage" */
function parseTimeout(text: string): number {
  const timeoutMs = parseAge(text, "--step-timeout");
  if (timeoutMs > 0) return timeoutMs;
  throw new BakeError("usage", "--step-timeout must be longer than nothing", {
    hint: "leave it out to give steps any time",
  });
}

/** The state directory of a run, absolute. */
export function rootPath(flags: EngineFlags, environment: Environment): string {
  const path = resolve(environment.cwd, flags.root ?? defaultRoot(environment));
  return willKeepOwners(environment) ? path : join(path, ONE_OWNER);
}
