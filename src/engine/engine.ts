// The engine: takes frontend requests, gives exported results. Embedded or remote behind one interface.
import type { ExportReport, ExportRequest } from "../exporter/exporter.ts";
import type { CallAnswer, CallMethod } from "../frontend/answer.ts";
import type { FrontendInput, FrontendRequest, IgnoreFile } from "../frontend/frontend.ts";
import type { RememberedStep, RunRecord } from "../cache/runs.ts";
import type { Definition } from "../llb/definition.ts";
import type { Emit } from "../progress/event.ts";
import type { KeptStep, Session } from "../session/session.ts";
import type { ImageConfig } from "../oci/imageconfig.ts";
import type { Platform } from "../oci/platform.ts";
import type { Diagnostic } from "../diagnostic/diagnostic.ts";

/** One build among those solved together. Names are unique within a solve; they label progress and errors. */
export interface SolveRequest {
  readonly name: string;
  readonly work: SolveWork;
  readonly exports: readonly ExportRequest[];
  /** What its steps may do beyond the default: `network.host`, `security.insecure`, `device=NAME`. */
  readonly entitlements?: readonly string[];
  /** Every vertex of this build executes, whatever the cache has; or only stages of these names. */
  readonly noCache?: boolean | readonly string[];
}

/** `links` maps keys of frontend inputs to names of other requests of the same solve. */
export interface FrontendWork {
  readonly tag: "frontend";
  readonly frontend: string;
  readonly request: Omit<FrontendRequest, "inputs">;
  readonly links: Readonly<Record<string, string>>;
  /** Further inputs of the frontend, such as a folder of an archive. */
  readonly inputs?: Readonly<Record<string, FrontendInput>>;
}

export type SolveWork =
  | FrontendWork
  | {
      readonly tag: "definition";
      readonly definition: Definition;
      readonly platform: Platform;
      readonly config?: ImageConfig;
    };

/** A question to the frontend of a build. */
export interface CallRequest {
  readonly name: string;
  readonly method: CallMethod;
  readonly work: FrontendWork;
}

export interface CallReport {
  readonly name: string;
  readonly answer: CallAnswer;
}

/** Which step of a target, to look around in. */
export interface StepPlace {
  /** As its name tells: a stage (its last step), a number ("build 2/4", "2/4"), or text that no other step has. */
  readonly step?: string;
  /** As it is before the step has run; default: after. */
  readonly before?: boolean;
}

/** What became of a step of one target, or would. */
export type StepReport = RememberedStep;

/** The steps of one request, inputs before users. */
export interface PlanReport {
  readonly name: string;
  readonly steps: readonly StepReport[];
}

export interface SolveContext {
  readonly session: Session;
  readonly emit: Emit;
  readonly signal: AbortSignal;
  /** Names the definition that the requests come from: under it their run is remembered. Not remembered when absent. */
  readonly definition?: string;
}

export interface SolveReport {
  readonly name: string;
  readonly exports: readonly ExportReport[];
  readonly warnings: readonly Diagnostic[];
}

/** A request lowered to LLB, before anything runs. */
export interface LoweredRequest {
  readonly name: string;
  readonly images: readonly {
    readonly platform: Platform;
    readonly definition: Definition;
    readonly config: ImageConfig;
  }[];
  readonly warnings: readonly Diagnostic[];
  /** SOURCE_DATE_EPOCH in seconds. */
  readonly sourceDateEpoch?: number;
  /** The ignore files that were read. */
  readonly ignoreFiles: readonly IgnoreFile[];
}

/** A file of a solved definition; undefined when there is none. `path` is slash-separated. */
export type ReadSolved = (path: string) => Uint8Array | undefined;

export interface Engine extends AsyncDisposable {
  /** Lowers all requests, linked ones in order. @throws BakeError */
  lower(requests: readonly SolveRequest[], context: SolveContext): Promise<readonly LoweredRequest[]>;
  /** Solves a definition and lends its files to `use`. @throws BakeError */
  read<T>(
    definition: Definition,
    context: SolveContext,
    use: (read: ReadSolved) => Promise<T> | T,
  ): Promise<T>;
  /** Lowers, merges, solves and exports. Nothing is exported unless everything it needs succeeded. */
  solve(requests: readonly SolveRequest[], context: SolveContext): Promise<readonly SolveReport[]>;
  /**
   * What `solve` would execute, without executing it. What lowering needs is executed, directories are read.
   * @throws BakeError
   */
  plan(requests: readonly SolveRequest[], context: SolveContext): Promise<readonly PlanReport[]>;
  /**
   * Builds what a step of the request `name` needs, or its result when no step is named, and opens its container.
   * @throws BakeError "usage" when there is no such step
   */
  open(
    requests: readonly SolveRequest[],
    name: string,
    place: StepPlace,
    context: SolveContext,
  ): Promise<KeptStep>;
  /** The last run of a request of a definition in this state directory; undefined when there was none. */
  lastRun(definition: string, name: string): Promise<RunRecord | undefined>;
  /** Asks frontends; links of the questions name `requests`, which are lowered only then. @throws BakeError */
  call(
    calls: readonly CallRequest[],
    requests: readonly SolveRequest[],
    context: SolveContext,
  ): Promise<readonly CallReport[]>;
}
