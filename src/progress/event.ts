// What a build says while it runs: one union, the only voice to user interfaces. Renderers fold these events;
// no other file of this module may be imported by the layers below the command line.
//
// Times are milliseconds since the epoch, given by whoever emits. A vertex is named by its digest; steps that are not
// LLB vertices (loading definitions, exporting) use ids of their own, unique in the run.
import type { Diagnostic } from "../diagnostic/diagnostic.ts";

/** A unit of progress: an LLB vertex digest, or the id of a step outside the graph ("export:app"). */
export type StepId = string;

export type ProgressEvent =
  /** A step is known. Emitted once per id, before any other event of it. */
  | {
      readonly type: "step";
      readonly id: StepId;
      readonly name: string;
      readonly inputs: readonly StepId[];
      /** Names of the targets that want this step; absent for steps of no target. */
      readonly targets?: readonly string[];
    }
  | { readonly type: "started"; readonly id: StepId; readonly at: number }
  /** Why a step runs, to be read after "because": `file "src/a.c" changed`. Told of every step that executes. */
  | { readonly type: "reason"; readonly id: StepId; readonly text: string }
  /** The command of the step is for another processor, whose `platform` (`linux/arm64`) is emulated. */
  | { readonly type: "emulated"; readonly id: StepId; readonly platform: string }
  /** The step's result came from the cache; no `started` need precede it. */
  | { readonly type: "cached"; readonly id: StepId; readonly at: number }
  | { readonly type: "done"; readonly id: StepId; readonly at: number }
  | { readonly type: "failed"; readonly id: StepId; readonly at: number; readonly message: string }
  | { readonly type: "canceled"; readonly id: StepId; readonly at: number }
  /** Output of a command: raw bytes, cut anywhere. Stream 1 is standard output, 2 standard error. */
  | {
      readonly type: "log";
      readonly id: StepId;
      readonly at: number;
      readonly stream: 1 | 2;
      readonly data: Uint8Array;
    }
  /** A part of a step that moves: a blob being pulled, a layer being written. `total` in bytes, 0 when unknown. */
  | {
      readonly type: "status";
      readonly id: StepId;
      readonly part: string;
      readonly at: number;
      readonly current: number;
      readonly total: number;
      readonly done: boolean;
    }
  | { readonly type: "warning"; readonly target?: string; readonly diagnostic: Diagnostic };

export type Emit = (event: ProgressEvent) => void;
