// HEALTHCHECK: how to tell whether a container of the image works.
import type { Healthcheck } from "../../../oci/imageconfig.ts";
import { readCommand, readFlags, syntaxError } from "../arguments.ts";
import { addHistory } from "../imageconfig.ts";
import type { InstructionKind } from "../model.ts";
import type { InstructionLine } from "../parse.ts";
import { formatGoDuration, goList, parseGoDuration, parseGoInt, trimSpace } from "../text.ts";
import { markSet } from "./command.ts";

const SHORTEST_NS = 1e6;
const MAX_RETRIES = 2 ** 31;

export const healthcheck: InstructionKind = {
  heredocs: false,
  counted: false,
  parse(line) {
    const check = readCheck(line);
    return {
      line,
      sources: [],
      lower(stage, conversion) {
        markSet("HEALTHCHECK", line, stage, conversion);
        stage.draft.healthcheck = check;
        addHistory(stage.draft, `HEALTHCHECK ${describe(check)}`, { layer: false, epoch: conversion.epoch });
      },
    };
  },
};

function readCheck(line: InstructionLine): Healthcheck {
  const [, type = "", rest = ""] = /^(\S*)\s*([^]*)$/.exec(line.rest) ?? [];
  if (type === "")
    throw syntaxError(
      "HEALTHCHECK needs an argument",
      line,
      "write HEALTHCHECK CMD command or HEALTHCHECK NONE",
    );
  if (type.toUpperCase() === "NONE") {
    if (trimSpace(rest) !== "") throw syntaxError("HEALTHCHECK NONE takes no arguments", line);
    return { Test: ["NONE"] };
  }
  const flags = readFlags(line, {
    interval: "text",
    timeout: "text",
    "start-period": "text",
    "start-interval": "text",
    retries: "text",
  });
  if (type.toUpperCase() !== "CMD")
    throw syntaxError(`HEALTHCHECK has the unknown type "${type}"`, line, "write CMD or NONE");
  const command = readCommand(rest, line);
  if (command.arguments.length === 0) throw syntaxError("HEALTHCHECK CMD needs a command", line);
  const retries = flags.retries === undefined || flags.retries === "" ? 0 : parseGoInt(flags.retries);
  if (retries === undefined || retries < 0 || retries >= MAX_RETRIES)
    throw syntaxError(`--retries takes a count, not "${flags.retries ?? ""}"`, line);
  return {
    Test: [command.shell ? "CMD-SHELL" : "CMD", ...command.arguments],
    Interval: readInterval(flags.interval, "interval", line),
    Timeout: readInterval(flags.timeout, "timeout", line),
    StartPeriod: readInterval(flags["start-period"], "start-period", line),
    StartInterval: readInterval(flags["start-interval"], "start-interval", line),
    Retries: retries,
  };
}

function readInterval(text: string | undefined, flag: string, line: InstructionLine): number {
  if (text === undefined || text === "") return 0;
  const value = parseGoDuration(text);
  if (value === undefined)
    throw syntaxError(`--${flag} takes a duration, not "${text}"`, line, "write for example 30s or 1m30s");
  if (value !== 0 && value < SHORTEST_NS)
    throw syntaxError(`--${flag} must be at least 1ms, not "${text}"`, line);
  return value;
}

/** The struct as Go's %+v prints it. */
function describe(check: Healthcheck): string {
  const duration = (value: number | undefined): string => formatGoDuration(value ?? 0);
  return `{Test:${goList(check.Test ?? [])} Interval:${duration(check.Interval)} Timeout:${duration(check.Timeout)} StartPeriod:${duration(check.StartPeriod)} StartInterval:${duration(check.StartInterval)} Retries:${check.Retries ?? 0}}`;
}
