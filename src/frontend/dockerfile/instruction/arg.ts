// ARG within a stage: a value given from outside, visible to the following instructions but not part of the image.
import { readQuotedWords, syntaxError } from "../arguments.ts";
import { addHistory } from "../imageconfig.ts";
import { checkSecretName } from "../lint.ts";
import type { InstructionKind } from "../model.ts";
import { describedIn } from "../outline.ts";
import type { InstructionLine } from "../parse.ts";
import { expand, NON_ENV_ARGS } from "../steps.ts";
import { cut } from "../text.ts";

export interface ArgDeclaration {
  readonly name: string;
  /** The default, not expanded; undefined when there is none. */
  readonly value: string | undefined;
}

/** Reads the arguments of ARG. @throws BakeError "dockerfile-syntax" */
export function readArgs(line: InstructionLine): readonly ArgDeclaration[] {
  const words = readQuotedWords(line.rest, line.escape);
  if (words.length === 0)
    throw syntaxError("ARG needs at least one argument", line, "write ARG NAME or ARG NAME=default");
  return words.map(word => {
    const [name, value] = cut(word, "=") ?? [word, undefined];
    if (name === "") throw syntaxError("ARG has an empty name", line);
    return { name, value };
  });
}

export const arg: InstructionKind = {
  heredocs: false,
  counted: false,
  parse(line) {
    const declarations = readArgs(line);
    return {
      line,
      sources: [],
      lower(stage, conversion) {
        const linter = conversion.linter.withComments(line.comments);
        const history: string[] = [];
        for (const declaration of declarations) {
          const { name } = declaration;
          checkSecretName("ARG", name, linter, line.range);
          let value = conversion.options.buildArgs.get(name);
          const isGlobal =
            value === undefined &&
            declaration.value === undefined &&
            conversion.globalArgs.get(name) !== undefined;
          if (value === undefined && declaration.value === undefined) value = conversion.globalArgs.get(name);
          else if (value === undefined && declaration.value !== undefined) {
            value = expand(declaration.value, line, stage, conversion);
          }
          if (value !== undefined && !NON_ENV_ARGS.has(name)) stage.state = stage.state.addEnv(name, value);
          if (!isGlobal) {
            const description = describedIn(line, name);
            stage.notes.args.set(name, {
              ...{ name, description, range: line.range },
              value: value ?? "",
              uses: new Set(),
            });
          }
          stage.notes.used.add(name);
          stage.buildArgs.push({ name, value });
          history.push(value === undefined ? name : `${name}=${value}`);
        }
        addHistory(stage.draft, `ARG ${history.join(" ")}`, { layer: false, epoch: conversion.epoch });
      },
    };
  },
};
