// What CMD and ENTRYPOINT share: a command in shell or JSON form that ends up in the image config.
import { type CommandLine, readCommand, readFlags } from "../arguments.ts";
import { addHistory, type ImageDraft, withShell } from "../imageconfig.ts";
import type { Conversion, InstructionKind, Stage } from "../model.ts";
import type { InstructionLine } from "../parse.ts";
import { goQuoteList } from "../text.ts";

/** A row for CMD or ENTRYPOINT; `apply` puts the finished command into the draft. */
export function configCommand(
  keyword: "CMD" | "ENTRYPOINT",
  apply: (draft: ImageDraft, command: readonly string[], stage: Stage) => void,
): InstructionKind {
  return {
    heredocs: false,
    counted: false,
    parse(line) {
      readFlags(line, {});
      const command = readCommand(line.rest, line);
      return {
        line,
        sources: [],
        lower(stage, conversion) {
          markSet(keyword, line, stage, conversion);
          const full = finish(command, line, stage, conversion);
          apply(stage.draft, full, stage);
          addHistory(stage.draft, `${keyword} ${goQuoteList(full)}`, {
            layer: false,
            epoch: conversion.epoch,
          });
        },
      };
    },
  };

  function finish(
    command: CommandLine,
    line: InstructionLine,
    stage: Stage,
    conversion: Conversion,
  ): readonly string[] {
    if (!command.shell) return command.arguments;
    if (stage.draft.shell.length === 0) {
      const message = `JSON arguments recommended for ${line.word} to prevent unintended behavior related to OS signals`;
      conversion.linter.withComments(line.comments).warn("JSONArgsRecommended", message, line.range);
    }
    return withShell(stage.draft, command.arguments.join(" "));
  }
}

/** Notes that an instruction of which only the last counts was used, and warns at the one that is lost. */
export function markSet(keyword: string, line: InstructionLine, stage: Stage, conversion: Conversion): void {
  const before = stage.lastSet.get(keyword);
  if (before !== undefined) {
    const message = `Multiple ${line.word} instructions should not be used in the same stage because only the last one will be used`;
    conversion.linter.withComments(line.comments).warn("MultipleInstructionsDisallowed", message, before);
  }
  stage.lastSet.set(keyword, line.range);
}
