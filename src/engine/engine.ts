// The engine: takes frontend requests, gives exported results. Embedded or remote behind one interface.
import type { ExportReport, ExportRequest } from "../exporter/exporter.ts";
import type { FrontendRequest } from "../frontend/frontend.ts";
import type { Definition } from "../llb/definition.ts";
import type { Emit } from "../progress/event.ts";
import type { Session } from "../session/session.ts";
import type { ImageConfig } from "../oci/imageconfig.ts";
import type { Platform } from "../oci/platform.ts";
import type { Diagnostic } from "../diagnostic/diagnostic.ts";

/** One build among those solved together. Names are unique within a solve; they label progress and errors. */
export interface SolveRequest {
  readonly name: string;
  readonly work: SolveWork;
  readonly exports: readonly ExportRequest[];
  /** Every vertex of this build executes, whatever the cache has; or only stages of these names. */
  readonly noCache?: boolean | readonly string[];
}

export type SolveWork =
  /** `links` maps keys of frontend inputs to names of other requests of the same solve. */
  | {
      readonly tag: "frontend";
      readonly frontend: string;
      readonly request: Omit<FrontendRequest, "inputs">;
      readonly links: Readonly<Record<string, string>>;
    }
  | {
      readonly tag: "definition";
      readonly definition: Definition;
      readonly platform: Platform;
      readonly config?: ImageConfig;
    };

export interface SolveContext {
  readonly session: Session;
  readonly emit: Emit;
  readonly signal: AbortSignal;
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
}

export interface Engine extends AsyncDisposable {
  /** Lowers all requests, linked ones in order. @throws BakeError */
  lower(requests: readonly SolveRequest[], context: SolveContext): Promise<readonly LoweredRequest[]>;
  /** Lowers, merges, solves and exports. Nothing is exported unless everything it needs succeeded. */
  solve(requests: readonly SolveRequest[], context: SolveContext): Promise<readonly SolveReport[]>;
}
