// What most instructions do with their stage: read its environment, expand words, name their step.
import type { Diagnostic } from "../../diagnostic/diagnostic.ts";
import { BakeError } from "../../diagnostic/error.ts";
import type { Platform } from "../../oci/platform.ts";
import { normalizePlatform } from "../../oci/platform.ts";
import { closestName } from "./lint.ts";
import type { Conversion, Stage } from "./model.ts";
import type { InstructionLine } from "./parse.ts";
import { formatFullPlatform, readPlatform } from "./platform.ts";
import { trimSpace } from "./text.ts";
import { type Environment, expandWord, type WordOptions } from "./words.ts";

/** Build args that steer attestations and never become variables. */
export const NON_ENV_ARGS: ReadonlySet<string> = new Set([
  "BUILDKIT_SBOM_SCAN_CONTEXT",
  "BUILDKIT_SBOM_SCAN_STAGE",
]);

/** The variables of a stage as instructions see them. */
export function environmentOf(stage: Stage): Environment {
  const { env } = stage.state.values;
  return { get: name => env.get(name), keys: () => [...env.keys()] };
}

/** Expands a word of an instruction and warns about names nobody set. @throws BakeError at the instruction */
export function expand(
  word: string,
  line: InstructionLine,
  stage: Stage,
  conversion: Conversion,
  options: WordOptions = {},
): string {
  return located(line, () =>
    withReport(line, stage, conversion, environment =>
      expandWord(word, environment, { escape: conversion.escape, ...options }),
    ),
  ).text;
}

/** Runs an expansion and warns about the names it misses, also when it fails. */
function withReport<T>(
  line: InstructionLine,
  stage: Stage,
  conversion: Conversion,
  run: (environment: Environment) => T,
): T {
  const { get, keys } = environmentOf(stage);
  const missing = new Set<string>();
  const reading: Environment = {
    keys,
    get(name) {
      const value = get(name);
      if (value === undefined) missing.add(name);
      return value;
    },
  };
  try {
    return run(reading);
  } finally {
    reportUndefined(missing, line, stage, conversion);
  }
}

function reportUndefined(
  names: ReadonlySet<string>,
  line: InstructionLine,
  stage: Stage,
  conversion: Conversion,
): void {
  for (const name of names) {
    if (NON_ENV_ARGS.has(name) || stage.buildArgs.some(argument => argument.name === name)) continue;
    const near = closestName(name, stage.state.values.env.keys());
    const hint = near === undefined ? "" : ` (did you mean $${near}?)`;
    conversion.linter
      .withComments(line.comments)
      .warn("UndefinedVar", `Usage of undefined variable '$${name}'${hint}`, line.range);
  }
}

/** Runs something; errors without a place get that of the instruction. */
export function located<T>(line: InstructionLine, run: () => T, place: Pick<Diagnostic, "reported"> = {}): T {
  try {
    return run();
  } catch (thrown) {
    throw thrown instanceof BakeError ? thrown.at(line.range, place) : thrown;
  }
}

/** The numbers of an instruction's lines. */
export function linesOf({ startLine, endLine }: InstructionLine): readonly number[] {
  return Array.from({ length: endLine - startLine + 1 }, (_, index) => startLine + index);
}

/** The text of an instruction in progress output: variables replaced, the instruction's word in upper case. */
export function stepText(text: string, environment: Environment, options: WordOptions): string {
  let expanded = trimSpace(text);
  try {
    expanded = expandWord(expanded, environment, options).text;
  } catch (thrown) {
    if (!(thrown instanceof BakeError)) throw thrown;
  }
  return expanded.replace(/^[^ ]*/, word => word.toUpperCase());
}

/** Counts a step and gives its name, `[stage 2/5] RUN make`. */
export function nameStep(
  stage: Stage,
  text: string,
  { options }: Pick<Conversion, "options">,
  platform: Platform | undefined,
  environment: Environment,
): string {
  if (stage.stepsTotal === 0) return text;
  stage.stepsDone++;
  const prefix =
    options.multiPlatform && platform !== undefined
      ? `${formatFullPlatform(platform)}${crossTarget(platform, environment)} `
      : "";
  const name = stage.displayName === "" ? "" : `${stage.displayName} `;
  const width = String(stage.stepsTotal).length;
  const trigger = stage.inTrigger ? "ONBUILD " : "";
  return `[${prefix}${name}${String(stage.stepsDone).padStart(width)}/${stage.stepsTotal}] ${trigger}${text}`;
}

/** `->arm64` when TARGET* variables say that a step builds for another platform than it runs on. */
function crossTarget(base: Platform, environment: Environment): string {
  const wanted = targetOf(environment, base);
  if (wanted === undefined) return "";
  const target = normalizePlatform({
    ...wanted,
    os: wanted.os || base.os,
    architecture: wanted.architecture || base.architecture,
  });
  if (target.os !== base.os) return `->${formatFullPlatform(target)}`;
  if (target.architecture === base.architecture) return "";
  return `->${target.architecture}${target.variant === undefined ? "" : `/${target.variant}`}`;
}

function targetOf(environment: Environment, base: Platform): Platform | undefined {
  let found: Platform | undefined;
  for (const name of environment.keys()) {
    const value = environment.get(name) ?? "";
    const partial = found ?? { os: "", architecture: "" };
    if (name === "TARGETPLATFORM") {
      try {
        return readPlatform(value, base);
      } catch {
        continue;
      }
    }
    if (name === "TARGETOS") found = { ...partial, os: value };
    if (name === "TARGETARCH") found = { ...partial, architecture: value };
    if (name === "TARGETVARIANT") found = { ...partial, variant: value };
  }
  return found;
}
