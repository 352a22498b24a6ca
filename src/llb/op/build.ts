// The build op (pb.BuildOp): a nested build whose definition is a file of an input.
import { definitionMessage, type DefinitionMessage } from "../definitionmessage.ts";
import { int64, map, message, sub, text } from "../message.ts";
import { checkInput, type OpCheck } from "./op.ts";

export interface BuildOp {
  /** Index of the input that is the frontend, or -1: the definition is LLB itself. */
  readonly builder: number;
  readonly inputs: Readonly<Record<string, BuildInput>>;
  readonly def?: DefinitionMessage;
  readonly attrs: Readonly<Record<string, string>>;
}

export interface BuildInput {
  readonly input: number;
}

/** The builder of definitions that are LLB. */
export const LLB_BUILDER = -1;
/** The name of the input that holds the definition, and the default name of the file it is in. */
export const LLB_DEFINITION_INPUT = "buildkit.llb.definition";
/** Names another file. */
export const DEFINITION_FILE_ATTR = "llbbuild.filename";

const buildInput = message<BuildInput>("BuildInput", { input: int64(1) });

export const buildOp = message<BuildOp>("BuildOp", {
  builder: int64(1),
  inputs: map(2, number => sub(number, () => buildInput)),
  def: sub(3, () => definitionMessage),
  attrs: map(4, text),
});

export const checkBuild: OpCheck<BuildOp> = ({ builder, inputs: named }, inputs) => {
  checkInput(builder, inputs, "the builder of a build op");
  for (const [name, { input }] of Object.entries(named))
    checkInput(input, inputs, `the input "${name}" of a build op`, { empty: false });
};
