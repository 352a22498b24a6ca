// SHELL: what runs the shell form of commands.
import { readFlags, readJsonList, syntaxError } from "../arguments.ts";
import { addHistory } from "../imageconfig.ts";
import type { InstructionKind } from "../model.ts";
import { goList } from "../text.ts";

export const shell: InstructionKind = {
  heredocs: false,
  counted: false,
  parse(line) {
    readFlags(line, {});
    const list = readJsonList(line.rest, line);
    if (line.rest === "" || list?.length === 0)
      throw syntaxError("SHELL needs at least one argument", line, 'write SHELL ["/bin/sh", "-c"]');
    if (list === undefined)
      throw syntaxError(
        "SHELL takes its arguments as a JSON list only",
        line,
        'write SHELL ["/bin/sh", "-c"]',
      );
    return {
      line,
      sources: [],
      lower(stage, conversion) {
        stage.draft.shell = list;
        addHistory(stage.draft, `SHELL ${goList(list)}`, { layer: false, epoch: conversion.epoch });
      },
    };
  },
};
