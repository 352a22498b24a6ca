// LABEL: labels of the image.
import { readFlags, readPairs } from "../arguments.ts";
import { addHistory } from "../imageconfig.ts";
import { warnLegacyPair } from "../lint.ts";
import type { InstructionKind } from "../model.ts";
import { expand } from "../steps.ts";

export const label: InstructionKind = {
  heredocs: false,
  counted: false,
  parse(line) {
    readFlags(line, {});
    const pairs = readPairs(line);
    return {
      line,
      sources: [],
      lower(stage, conversion) {
        const linter = conversion.linter.withComments(line.comments);
        let history = "LABEL";
        for (const pair of pairs) {
          const name = expand(pair.name, line, stage, conversion);
          const value = expand(pair.value, line, stage, conversion);
          if (pair.legacy) warnLegacyPair(linter, line);
          stage.draft.labels.set(name, value);
          history += ` ${name}=${value}`;
        }
        addHistory(stage.draft, history, { layer: false, epoch: conversion.epoch });
      },
    };
  },
};
