// ADD: like COPY from the context, but also URLs and git repositories, and archives are unpacked.
import { readFlags } from "../arguments.ts";
import type { InstructionKind } from "../model.ts";
import type { InstructionLine } from "../parse.ts";
import { joinPath } from "../../../llb/path.ts";
import { lowerTransfer, readTransfer } from "../transfer.ts";

/** @throws BakeError "dockerfile-syntax" */
export function readAddFlags(line: InstructionLine) {
  return readFlags(line, {
    chown: "text",
    chmod: "text",
    link: "bool",
    "keep-git-dir": "bool",
    checksum: "text",
    unpack: "bool",
    exclude: "list",
  });
}

export const add: InstructionKind = {
  heredocs: true,
  counted: true,
  parse(line) {
    const paths = readTransfer(line);
    const flags = readAddFlags(line);
    return {
      line,
      sources: [],
      lower(stage, conversion) {
        const added = lowerTransfer(stage, conversion, {
          line,
          paths,
          from: conversion.buildContext,
          isAdd: true,
          chown: flags.chown ?? "",
          chmod: flags.chmod ?? "",
          checksum: flags.checksum ?? "",
          link: flags.link === true,
          parents: false,
          excludes: (flags.exclude ?? []).map(({ value }) => value),
          ignore: conversion.ignore,
          unpack: flags.unpack,
          keepGitDir: flags["keep-git-dir"],
        });
        // Addresses of repositories count as paths too unless they begin with http; digests depend on it.
        for (const path of added) if (!/^https?:\/\//.test(path)) stage.contextPaths.add(joinPath("/", path));
      },
    };
  },
};
