// USER: who runs later steps and the image.
import { readFlags, readOne } from "../arguments.ts";
import { addHistory } from "../imageconfig.ts";
import type { InstructionKind } from "../model.ts";
import { expand } from "../steps.ts";

export const user: InstructionKind = {
  heredocs: false,
  counted: false,
  parse(line) {
    const written = readOne(line);
    readFlags(line, {});
    return {
      line,
      sources: [],
      lower(stage, conversion) {
        const name = expand(written, line, stage, conversion);
        stage.state = stage.state.user(name);
        stage.draft.user = name;
        addHistory(stage.draft, `USER ${name}`, { layer: false, epoch: conversion.epoch });
      },
    };
  },
};
