// WORKDIR: the directory of later steps and of the image; it is made when it is missing.
import { mkdir } from "../../../llb/builder/file.ts";
import { readFlags, readOne } from "../arguments.ts";
import { addHistory } from "../imageconfig.ts";
import { type InstructionKind, locationOf, type Stage } from "../model.ts";
import { absolutePath, fromSlash, isAbsolute, toSlash } from "../ospath.ts";
import { environmentOf, expand, located, nameStep, stepText } from "../steps.ts";

const DIRECTORY_MODE = 0o755;
const NS_PER_SECOND = 1_000_000_000n;

export const workdir: InstructionKind = {
  heredocs: false,
  counted: true,
  parse(line) {
    const written = readOne(line);
    readFlags(line, {});
    return {
      line,
      sources: [],
      lower(stage, conversion) {
        const path = expand(written, line, stage, conversion);
        const platform = stage.platform ?? conversion.targetPlatform;
        if (!stage.workdirSet && !isAbsolute(path, platform.os)) {
          const message = `Relative workdir ${JSON.stringify(path)} can have unexpected results if the base image changes`;
          conversion.linter.withComments(line.comments).warn("WorkdirRelativePath", message, line.range);
        }
        stage.workdirSet = true;
        const directory = located(line, () => changeDirectory(stage, path, platform.os));
        if (directory !== "/") {
          const environment = environmentOf(stage);
          const action = mkdir(directory, DIRECTORY_MODE, {
            makeParents: true,
            ...(stage.draft.user && { owner: stage.draft.user }),
            ...(conversion.epoch !== undefined && {
              timestamp: BigInt(conversion.epoch.seconds) * NS_PER_SECOND,
            }),
          });
          stage.state = stage.state.file(action, {
            customName: nameStep(
              stage,
              stepText(line.original, environment, { escape: conversion.escape }),
              conversion,
              platform,
              environment,
            ),
            location: locationOf(line, conversion.sources),
            platform,
          });
        }
        addHistory(stage.draft, `WORKDIR ${directory}`, {
          layer: directory !== "/",
          epoch: conversion.epoch,
        });
      },
    };
  },
};

/** Sets the directory of the image and of later steps; returns it with slashes. @throws BakeError without a range */
export function changeDirectory(stage: Stage, path: string, os: string): string {
  const directory = fromSlash(absolutePath(stage.draft.workdir, path, { os }), os);
  stage.draft.workdir = directory;
  const slashed = toSlash(directory, os);
  stage.state = stage.state.dir(slashed);
  return slashed;
}
