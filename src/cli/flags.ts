// The options of `bake [TARGET...]` as the other files of the command see them.
import type { WorkerKind } from "../worker/worker.ts";

/** The options as commander hands them over; absent ones were not given. */
export interface BakeFlags {
  readonly file: readonly string[];
  readonly print?: boolean;
  readonly list?: string;
  readonly explainVar?: string;
  readonly listTargets?: boolean;
  readonly listVariables?: boolean;
  readonly set: readonly string[];
  readonly var: readonly string[];
  readonly push?: boolean;
  readonly load?: boolean;
  readonly pull?: boolean;
  readonly noCache?: boolean;
  readonly progress?: string;
  readonly metadataFile?: string;
  readonly allow: readonly string[];
  readonly call?: string;
  readonly check?: boolean;
  readonly provenance?: string;
  readonly sbom?: string;
  readonly policy: readonly string[];
  readonly builder?: string;
  readonly debug?: boolean;
  readonly watch?: boolean;
  readonly root?: string;
  readonly ociRuntime?: string;
  readonly worker?: WorkerKind;
  readonly maxParallelism?: number;
  readonly keepGoing?: boolean;
  readonly memory?: string;
  readonly cpus?: number;
  readonly cgroupParent?: string;
  readonly stepTimeout?: string;
  readonly onError?: string;
  readonly cacheMaxSize?: string;
  readonly cacheMinFree?: string;
  readonly cacheKeepDuration?: string;
  readonly verifyInputs?: boolean;
  readonly failOnCacheMiss?: boolean;
}
