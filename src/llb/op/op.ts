// What every op has beside its own message (pb.Op, pb.Input), and the shape of the checks of the kinds.
import { BakeError } from "../../diagnostic/error.ts";
import type { VertexDigest } from "../definition.ts";
import { int64, list, message, text } from "../message.ts";

/** One output of another vertex. */
export interface Input {
  readonly digest: VertexDigest;
  readonly index: number;
}

/** Conditions on the worker, as containerd filters; none of our front parts sets any. */
export interface WorkerConstraints {
  readonly filter: readonly string[];
}

/** The platform as LLB spells it: all fields present. */
export interface PlatformMessage {
  readonly architecture: string;
  readonly os: string;
  readonly variant: string;
  readonly osVersion: string;
  readonly osFeatures: readonly string[];
}

/** An input before its digest is known to be one. */
export interface InputMessage {
  readonly digest: string;
  readonly index: number;
}

export const inputMessage = message<InputMessage>("Input", { digest: text(1), index: int64(2) });

export const workerConstraints = message<WorkerConstraints>("WorkerConstraints", { filter: list(text(1)) });

export const platformMessage = message<PlatformMessage>("Platform", {
  architecture: text(1, "Architecture"),
  os: text(2, "OS"),
  variant: text(3, "Variant"),
  osVersion: text(4, "OSVersion"),
  osFeatures: list(text(5, "OSFeatures")),
});

/** An input index that stands for an empty file system. */
export const EMPTY_INPUT = -1;
/** An output index of results that are thrown away. */
export const SKIP_OUTPUT = -1;

/** Throws BakeError "llb-invalid" when an op cannot be right whatever the rest of the graph is. */
export type OpCheck<S> = (spec: S, inputs: readonly Input[]) => void;

/** Checks an index into the inputs of an op; -1 (an empty file system) is allowed where `empty` says so. */
export function checkInput(
  index: number,
  inputs: readonly Input[],
  what: string,
  { empty = true } = {},
): void {
  if (index === EMPTY_INPUT && empty) return;
  if (index < 0 || index >= inputs.length) {
    throw new BakeError("llb-invalid", `${what} names input ${index}, but the op has ${inputs.length}`);
  }
}
