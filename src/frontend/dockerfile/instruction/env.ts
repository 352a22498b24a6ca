// ENV: variables of later steps and of the image.
import { readFlags, readPairs } from "../arguments.ts";
import { addHistory, setEnv } from "../imageconfig.ts";
import { checkSecretName, warnLegacyPair } from "../lint.ts";
import type { InstructionKind } from "../model.ts";
import { expand } from "../steps.ts";

export const env: InstructionKind = {
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
        // All words see the variables as they were before the instruction.
        const expanded = pairs.map(({ name, value, legacy }) => ({
          name: expand(name, line, stage, conversion),
          value: expand(value, line, stage, conversion),
          legacy,
        }));
        let history = "ENV";
        for (const { name, value, legacy } of expanded) {
          if (legacy) warnLegacyPair(linter, line);
          checkSecretName("ENV", name, linter, line.range);
          history += ` ${name}=${value}`;
          stage.state = stage.state.addEnv(name, value);
          setEnv(stage.draft, name, value);
        }
        addHistory(stage.draft, history, { layer: false, epoch: conversion.epoch });
      },
    };
  },
};
