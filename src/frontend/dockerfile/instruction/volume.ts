// VOLUME: paths whose content lives outside the image's layers when it runs.
import { lowerError, readFlags, readListOrWords, syntaxError } from "../arguments.ts";
import { addHistory } from "../imageconfig.ts";
import type { InstructionKind } from "../model.ts";
import { expand } from "../steps.ts";
import { goList, trimSpace } from "../text.ts";

export const volume: InstructionKind = {
  heredocs: false,
  counted: false,
  parse(line) {
    const paths = readListOrWords(line).map(trimSpace);
    if (paths.length === 0) throw syntaxError("VOLUME needs at least one argument", line);
    readFlags(line, {});
    if (paths.includes("")) throw syntaxError("VOLUME has an empty path", line);
    return {
      line,
      sources: [],
      lower(stage, conversion) {
        const expanded = paths.map(path => expand(path, line, stage, conversion));
        for (const path of expanded) {
          if (path === "")
            throw lowerError("VOLUME has a path that is empty once its variables are replaced", line);
          stage.draft.volumes.add(path);
        }
        addHistory(stage.draft, `VOLUME ${goList(expanded)}`, { layer: false, epoch: conversion.epoch });
      },
    };
  },
};
