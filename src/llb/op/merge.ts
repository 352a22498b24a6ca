// The merge op (pb.MergeOp): results laid over each other, later ones on top.
import { int64, list, message, sub } from "../message.ts";
import { checkInput, type OpCheck } from "./op.ts";

export interface MergeOp {
  /** Lowest first. */
  readonly inputs: readonly MergeInput[];
}

export interface MergeInput {
  readonly input: number;
}

const mergeInput = message<MergeInput>("MergeInput", { input: int64(1) });

export const mergeOp = message<MergeOp>("MergeOp", { inputs: list(sub(1, () => mergeInput)) });

export const checkMerge: OpCheck<MergeOp> = (spec, inputs) => {
  for (const { input } of spec.inputs) checkInput(input, inputs, "a merge op");
};
