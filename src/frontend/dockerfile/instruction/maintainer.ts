// MAINTAINER: the author of the image; a label says the same today.
import { readFlags, readOne } from "../arguments.ts";
import { addHistory } from "../imageconfig.ts";
import type { InstructionKind } from "../model.ts";

export const maintainer: InstructionKind = {
  heredocs: false,
  counted: false,
  parse(line) {
    const author = readOne(line);
    readFlags(line, {});
    return {
      line,
      sources: [],
      lower(stage, conversion) {
        stage.draft.author = author;
        addHistory(stage.draft, `MAINTAINER ${author}`, { layer: false, epoch: conversion.epoch });
      },
    };
  },
};
