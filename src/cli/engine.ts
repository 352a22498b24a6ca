// The engine of a run, as flags and environment ask for it.
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import type { Engine } from "../engine/engine.ts";
import { hostPlatform } from "./hostplatform.ts";
import { defaultRoot, type Environment } from "./environment.ts";

export interface EngineFlags {
  readonly root?: string;
  readonly ociRuntime?: string;
  readonly maxParallelism?: number;
  readonly keepGoing?: boolean;
  readonly failOnCacheMiss?: boolean;
}

/** Opens the state directory when it is first needed. Dispose it to leave nothing behind. */
export async function createEngine(flags: EngineFlags, environment: Environment): Promise<Engine> {
  const { createEmbeddedEngine } = await import("../engine/embedded.ts");
  return createEmbeddedEngine({
    rootPath: rootPath(flags, environment),
    platform: hostPlatform(environment),
    runtime: flags.ociRuntime ?? environment.env["LLBAKE_OCI_RUNTIME"],
    maxParallelism: flags.maxParallelism ?? availableParallelism(),
    keepGoing: flags.keepGoing ?? false,
    failOnCacheMiss: flags.failOnCacheMiss ?? false,
    now: Date.now,
    stdout: environment.stdout,
  });
}

/** The state directory of a run, absolute. */
export function rootPath(flags: EngineFlags, environment: Environment): string {
  return resolve(environment.cwd, flags.root ?? defaultRoot(environment));
}
