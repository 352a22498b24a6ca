// ONBUILD: an instruction kept in the image for those who build on it.
import { readFlags, syntaxError } from "../arguments.ts";
import type { InstructionKind } from "../model.ts";
import { splitInstruction } from "../parse.ts";

export const onbuild: InstructionKind = {
  heredocs: false,
  wraps: true,
  counted: false,
  parse(line) {
    if (line.rest === "") throw syntaxError("ONBUILD needs an instruction", line);
    readFlags(line, {});
    const word = splitInstruction(line.rest, line.escape).word.toUpperCase();
    if (word === "ONBUILD") throw syntaxError("ONBUILD cannot hold another ONBUILD", line);
    if (word === "MAINTAINER" || word === "FROM") throw syntaxError(`ONBUILD cannot hold ${word}`, line);
    const trigger = triggerOf(line);
    return {
      line,
      sources: [],
      trigger,
      lower(stage) {
        stage.draft.onBuild = [...stage.draft.onBuild, trigger];
      },
    };
  },
};

/** The text of the instruction that an ONBUILD line holds, heredocs included. */
function triggerOf({
  original,
  heredocs,
}: {
  readonly original: string;
  readonly heredocs: readonly { readonly name: string; readonly body: string }[];
}): string {
  const text = original.replace(/^\s*ONBUILD\s*/i, "");
  return text + heredocs.map(({ name, body }) => `\n${body}${name}`).join("");
}
