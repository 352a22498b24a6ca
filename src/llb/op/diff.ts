// The diff op (pb.DiffOp): what changed between two results.
import { BakeError } from "../../diagnostic/error.ts";
import { int64, message, sub } from "../message.ts";
import { checkInput, type OpCheck } from "./op.ts";

export interface DiffOp {
  readonly lower?: DiffInput;
  readonly upper?: DiffInput;
}

export interface DiffInput {
  /** -1 is an empty file system. */
  readonly input: number;
}

const lowerInput = message<DiffInput>("LowerDiffInput", { input: int64(1) });

const upperInput = message<DiffInput>("UpperDiffInput", { input: int64(1) });

export const diffOp = message<DiffOp>("DiffOp", {
  lower: sub(1, () => lowerInput),
  upper: sub(2, () => upperInput),
});

export const checkDiff: OpCheck<DiffOp> = ({ lower, upper }, inputs) => {
  if (lower === undefined || upper === undefined)
    throw new BakeError("llb-invalid", "a diff op lacks its lower or upper side");
  checkInput(lower.input, inputs, "the lower side of a diff op");
  checkInput(upper.input, inputs, "the upper side of a diff op");
};
