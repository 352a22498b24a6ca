// One Dockerfile for one platform to LLB and an image config. Steps: stages by name, what the target needs, images
// resolved at once, ONBUILD triggers, then every needed stage in the order of the file.
import { BakeError, invariant } from "../../diagnostic/error.ts";
import type { Diagnostic } from "../../diagnostic/diagnostic.ts";
import type { Source } from "../../diagnostic/source.ts";
import { didYouMean } from "../../diagnostic/suggest.ts";
import type { Definition, SourceInfo } from "../../llb/definition.ts";
import { marshal } from "../../llb/marshal.ts";
import type { State } from "../../llb/state.ts";
import type { ImageConfig } from "../../oci/imageconfig.ts";
import { normalizePlatform, type Platform } from "../../oci/platform.ts";
import { compileIgnore } from "../../pattern/ignore.ts";
import type { FrontendHost, FrontendRequest, IgnoreFile } from "../frontend.ts";
import { syntaxError } from "./arguments.ts";
import { resolveBases } from "./base.ts";
import { findContext } from "./context.ts";
import type { Epoch } from "./epoch.ts";
import { computeGlobalArgs, defaultGlobalArgs, type GlobalArgs } from "./globalargs.ts";
import { configFromDraft, copyDraft, ensurePath, type ImageDraft, nameOf } from "./imageconfig.ts";
import { instructions } from "./instruction/table.ts";
import { changeDirectory } from "./instruction/workdir.ts";
import type { IgnoreLine } from "./dockerignore.ts";
import type { WholeFile } from "./include.ts";
import { closestName, createLintRun, type Linter, type LintOptions, type LintRun } from "./lint.ts";
import { lintDefaultImages, lintFile } from "./lintfile.ts";
import type { Command, Conversion, FromCommand, SourceInfos, Stage, StageCommand } from "./model.ts";
import type { DockerfileOptions } from "./options.ts";
import { createNotes } from "./outline.ts";
import { type InstructionLine, parseDockerfile } from "./parse.ts";
import { readPlatform } from "./platform.ts";
import {
  checkCircles,
  createStage,
  createStageList,
  type FileStages,
  parseOptions,
  reachableFrom,
  readInstruction,
  type StageList,
} from "./stage.ts";
import { linesOf, located } from "./steps.ts";
import { asksForLabs } from "./syntaxrequest.ts";
import { emptyEnvironment, environmentFromPairs, expandWord } from "./words.ts";

export interface LowerOptions {
  readonly request: FrontendRequest;
  readonly host: FrontendHost;
  readonly signal: AbortSignal;
  readonly options: DockerfileOptions;
  readonly file: WholeFile;
  readonly stages: FileStages;
  readonly lint: LintOptions;
  /** Undefined: the build platform, and images keep what they say of themselves. */
  readonly platform: Platform | undefined;
  /** The main context; `paths` gives what the build reads of it. */
  readonly mainContext: (paths: () => ReadonlySet<string>) => State;
  /** The ignore file of a local main context. */
  readonly ignore: readonly IgnoreLine[];
  /** Collects the ignore files of named contexts. */
  readonly ignoreFiles?: IgnoreFile[];
  readonly epoch: Epoch | undefined;
}

export interface Lowered {
  readonly definition: Definition;
  readonly config: ImageConfig;
  readonly warnings: readonly Diagnostic[];
}

/** Everything a conversion shares between its steps. */
interface Run extends LowerOptions {
  readonly allStages: boolean;
  readonly sources: SourceInfos;
  readonly list: StageList;
  readonly linter: Linter;
  readonly globals: GlobalArgs;
  readonly targetPlatform: Platform;
}

/** @throws BakeError with ranges in the Dockerfile */
export async function lowerFile(given: LowerOptions): Promise<Lowered> {
  const lint = createLintRun(given.lint);
  const wanted = await lowerStages(given, { lint });
  lint.finish();
  const targetPlatform = given.platform ?? given.request.buildPlatform;
  settlePlatform(wanted.draft, targetPlatform, given.platform !== undefined);
  const definition = marshal(wanted.state, { platform: targetPlatform });
  return { definition, config: configFromDraft(wanted.draft), warnings: lint.warnings };
}

export interface StagesOptions {
  readonly lint: LintRun;
  /** Also apply stages that the target does not need, to check them; default false. */
  readonly allStages?: boolean;
}

/** Applies the instructions of all stages that the target needs; gives the target's. @throws BakeError */
export async function lowerStages(
  given: LowerOptions,
  { lint, allStages = false }: StagesOptions,
): Promise<Stage> {
  const { file, stages, options, request } = given;
  const targetPlatform = given.platform ?? request.buildPlatform;
  lintFile(file, stages, lint.linter);
  const target = options.target || (stages.stages.at(-1)?.from.name ?? "");
  const argOptions = {
    buildPlatform: request.buildPlatform,
    targetPlatform,
    target,
    buildArgs: options.buildArgs,
    escape: file.escape,
  };
  lintDefaultImages(stages, defaultGlobalArgs(stages, argOptions), file.escape, lint.linter);
  const globals = computeGlobalArgs(stages, argOptions);
  const sources = createSourceInfos(file);
  const run: Run = {
    ...given,
    allStages,
    sources,
    list: createStageList(),
    linter: lint.linter,
    globals,
    targetPlatform,
  };

  createStages(run);
  const wanted = findTarget(run);
  linkCommands(run);
  const reachable = await resolveStages(run, wanted);

  const contextPaths = new Set<string>();
  const conversion: Conversion = {
    options,
    sources,
    escape: file.escape,
    targetPlatform,
    linter: lint.linter,
    labs: asksForLabs(request, file.parts[0]?.parsed.source.text ?? ""),
    globalArgs: environmentFromPairs(globals.values),
    buildContext: given.mainContext(() => contextPaths),
    ignore: given.ignore.length === 0 ? undefined : compileIgnore(given.ignore.map(({ pattern }) => pattern)),
    ignoreLines: given.ignore,
    epoch: given.epoch,
  };
  for (const stage of run.list.all) {
    if (allStages ? stage.unregistered : !reachable.has(stage) || stage.dispatched) continue;
    lowerStage(stage, conversion);
    for (const path of stage.contextPaths) contextPaths.add(path);
  }
  // What is exported may be any file of the target.
  wanted.paths.add("/");
  for (const [name, value] of options.labels) wanted.draft.labels.set(name, value);
  return wanted;
}

/** The LLB source info of each file, made once so that all locations in a file share it. */
function createSourceInfos({ parts }: WholeFile): SourceInfos {
  const infos = new Map(
    parts.map(({ parsed: { source }, bytes, language }): [Source, SourceInfo] => [
      source,
      { filename: source.name, data: bytes, language },
    ]),
  );
  return source => {
    const info = infos.get(source);
    invariant(info !== undefined, "BUG: an instruction is of no file");
    return info;
  };
}

function createStages(run: Run): void {
  const { options, linter, request, file } = run;
  const environment = environmentFromPairs(run.globals.values);
  for (const [index, { from, commands }] of run.stages.stages.entries()) {
    const { line } = from;
    const stageLinter = linter.withComments(line.comments);
    const base = located(line, () => expandWord(from.base, environment, { escape: file.escape }));
    reportFromArgs(base.unmatched, run, line, stageLinter);
    if (base.text === "")
      throw syntaxError(
        `FROM ${from.base} names no image once its variables are replaced`,
        line,
        "give the ARG a default",
      );
    const stage = createStage(from, {
      baseName: base.text,
      displayName: from.name,
      ignoreCache: options.noCache === "all" || options.noCache.has(from.name),
      notes: createNotes(run.globals.notes),
    });
    const platform = fromPlatform(from, run, stageLinter);
    stage.platform = platform?.value;
    if (from.name !== "") {
      stage.context = located(line, () =>
        findContext(from.name, stage.platform ?? run.targetPlatform, { ...run, request }),
      );
      if (stage.context !== undefined) {
        run.list.add(stage);
        stage.base = undefined;
        stage.commands = commands.map(command => ({ command, sources: [], trigger: false }));
        continue;
      }
    } else stage.displayName = `stage-${index}`;
    run.list.add(stage);
    for (const name of [...base.matched, ...(platform?.matched ?? [])]) stage.notes.used.add(name);
    const ownBase = base.text !== "scratch" && stage.base === undefined ? 1 : 0;
    stage.commands = commands.map(command => ({ command, sources: [], trigger: false }));
    stage.stepsTotal =
      ownBase +
      commands.filter(({ line: { word } }) => instructions.get(word.toLowerCase())?.counted === true).length;
  }
}

/** The platform FROM asks for, as written. */
function fromPlatform(
  from: FromCommand,
  run: Run,
  linter: Linter,
): { readonly value: Platform; readonly matched: ReadonlySet<string> } | undefined {
  const { platform: written, line, name } = from;
  if (written === "") return undefined;
  const environment = environmentFromPairs(run.globals.values);
  const { text, matched, unmatched } = located(line, () =>
    expandWord(written, environment, { escape: run.file.escape }),
  );
  reportFromArgs(unmatched, run, line, linter);
  if (
    matched.size === 1 &&
    unmatched.size === 0 &&
    matched.has("TARGETPLATFORM") &&
    text === environment.get("TARGETPLATFORM")
  ) {
    linter.warn(
      "RedundantTargetPlatform",
      `Setting platform to predefined ${written} in FROM is redundant as this is the default behavior`,
      line.range,
    );
  }
  if (text === "") {
    const near = [...unmatched]
      .map(missing => didYouMean(missing, run.globals.values.keys()))
      .find(hint => hint !== undefined);
    throw syntaxError(
      `FROM --platform=${written} names no platform once its variables are replaced`,
      line,
      near ?? "give the ARG a default",
    );
  }
  // Two steps of BuildKit's add the place of a platform they cannot read.
  const platform = located(line, () => readPlatform(text, run.request.buildPlatform), {
    reported: [linesOf(line), linesOf(line)],
  });
  if (
    matched.size === 0 &&
    unmatched.size === 0 &&
    !name.includes(platform.os) &&
    !name.includes(platform.architecture)
  ) {
    linter.warn(
      "FromPlatformFlagConstDisallowed",
      `FROM --platform flag should not use constant value ${JSON.stringify(text)}`,
      line.range,
    );
  }
  return { value: platform, matched };
}

function reportFromArgs(names: ReadonlySet<string>, run: Run, line: InstructionLine, linter: Linter): void {
  const known = new Set([...run.globals.values.keys(), ...run.globals.declared]);
  for (const name of names) {
    if (known.has(name)) continue;
    const near = closestName(name, known);
    linter.warn(
      "UndefinedArgInFrom",
      `FROM argument '${name}' is not declared${near === undefined ? "" : ` (did you mean ${near}?)`}`,
      line.range,
    );
  }
}

function findTarget({ options, list }: Run): Stage {
  const stage = options.target === "" ? list.all.at(-1) : list.byName(options.target);
  if (stage !== undefined) return stage;
  const names = list.all.map(({ displayName }) => displayName).filter(name => name !== "");
  throw new BakeError("dockerfile-lower", `the Dockerfile has no stage "${options.target}"`, {
    hint: didYouMean(options.target, names) ?? `its stages: ${names.join(", ")}`,
  });
}

/** Connects COPY --from and mounts with the stages they name. */
function linkCommands(run: Run): void {
  const { list } = run;
  // The list grows while it is walked: images that are only copied from join it, and have no commands.
  for (const stage of [...list.all])
    stage.commands = stage.commands.map(({ command }) => linkCommand(command, stage, run, false));
  checkCircles(list.all);
  const [only, ...others] = list.all;
  if (only !== undefined && others.length === 0) only.displayName = "";
}

function linkCommand(command: Command, stage: Stage, { list, file }: Run, trigger: boolean): StageCommand {
  // BuildKit links before it looks at places; only for the instructions of a base it adds that of FROM.
  const place = trigger ? {} : { reported: [] };
  const sources = command.sources.map(({ name, byIndex }) => {
    if (byIndex) checkLiteral(name, command.line, file.escape, place);
    const index = byIndex && /^[-+]?\d+$/.test(name) ? Number(name) : undefined;
    const found = index === undefined ? list.byName(name) : list.all[index];
    if (index !== undefined && found === undefined) {
      throw syntaxError(
        `${command.line.word.toUpperCase()} reads from stage ${name}, but there are ${list.all.length}`,
        command.line,
        "stages are counted from 0",
        place,
      );
    }
    return (
      found ??
      createStage(
        { line: command.line, base: name, name: "", platform: "" },
        { baseName: name, displayName: "", unregistered: true, place: byIndex ? {} : { reported: [[]] } },
      )
    );
  });
  for (const source of sources) {
    stage.dependencies.set(source, command.line);
    if (source.unregistered && !list.all.includes(source)) list.add(source);
  }
  return { command, sources, trigger };
}

function checkLiteral(
  name: string,
  line: InstructionLine,
  escape: string,
  place: Pick<Diagnostic, "reported">,
): void {
  const { text } = located(line, () => expandWord(name, emptyEnvironment, { escape }), place);
  if (text !== name)
    throw syntaxError("--from cannot have variables", line, "name a stage that is FROM the variable", place);
}

async function resolveStages(run: Run, target: Stage): Promise<ReadonlySet<Stage>> {
  for (;;) {
    const reachable = reachableFrom(target);
    await resolveBases(run, run.allStages ? new Set(run.list.all) : reachable);
    let grew = false;
    for (const stage of run.list.all) {
      if (!reachable.has(stage)) continue;
      const triggers =
        stage.base === undefined
          ? [...stage.draft.onBuild]
          : stage.triggersStarted
            ? []
            : stage.base.commands.flatMap(({ command }) => command.trigger ?? []);
      stage.triggersStarted = true;
      if (triggers.length === 0) continue;
      stage.draft.onBuild = [];
      if (addTriggers(stage, triggers, run)) grew = true;
    }
    if (!grew) return reachableFrom(target);
  }
}

/** Puts the instructions a base keeps for its users first; whether they read stages not known before. */
function addTriggers(stage: Stage, triggers: readonly string[], run: Run): boolean {
  const { line } = stage.from;
  const commands = triggers.map(text => {
    const { value, diagnostics } = parseDockerfile({ name: "ONBUILD", text }, parseOptions);
    const [trigger, ...more] = value?.lines ?? [];
    const problem =
      diagnostics[0]?.message ??
      (trigger === undefined || more.length > 0 ? "it is not a single instruction" : undefined);
    if (trigger === undefined || problem !== undefined) throw triggerError(text, problem ?? "", line);
    // The place of a trigger is the FROM that brings it in.
    const moved = {
      ...trigger,
      startLine: line.startLine,
      endLine: line.endLine,
      range: line.range,
      wordRange: line.range,
      flags: trigger.flags.map(flag => ({ ...flag, range: line.range })),
    };
    if (trigger.word.toLowerCase() === "from") throw triggerError(text, "FROM is not allowed there", line);
    return linkCommand(readInstruction(moved), stage, run, true);
  });
  stage.commands = [...commands, ...stage.commands];
  stage.stepsTotal += commands.length;
  return commands.some(({ sources }) => sources.length > 0);
}

function triggerError(text: string, why: string, line: InstructionLine): BakeError {
  return new BakeError(
    "dockerfile-lower",
    `the base image brings the instruction "${text}", which cannot be used: ${why}`,
    { range: line.range },
  );
}

function lowerStage(stage: Stage, conversion: Conversion): void {
  inherit(stage);
  stage.dispatched = true;
  stage.platform ??= conversion.targetPlatform;
  const { os } = stage.platform;
  const { options } = conversion;
  const fromLine = stage.from.line;
  ensurePath(stage.draft, os);
  for (const entry of stage.draft.env) {
    const name = nameOf(entry);
    stage.state = stage.state.addEnv(name, entry.slice(name.length + 1));
  }
  if (options.hostname !== "") stage.state = stage.state.hostname(options.hostname);
  if (stage.draft.workdir !== "") located(fromLine, () => changeDirectory(stage, stage.draft.workdir, os));
  if (stage.draft.user !== "") stage.state = stage.state.user(stage.draft.user);
  stage.state = stage.state.network(options.network);
  for (const { command, sources, trigger } of stage.commands) {
    stage.inTrigger = trigger;
    located(command.line, () => command.lower(stage, conversion, sources));
  }
}

/** Takes over what the stage builds on. */
function inherit(stage: Stage): void {
  const { base } = stage;
  if (base === undefined) return;
  stage.state = base.state;
  stage.platform = base.platform;
  stage.draft = { ...copyDraft(base.draft), onBuild: [] };
  stage.paths = base.paths;
  stage.workdirSet = base.workdirSet;
  for (const argument of base.buildArgs) stage.buildArgs.push(argument);
}

/** A platform that was asked for overrules what the base image says. */
function settlePlatform(draft: ImageDraft, target: Platform, isExplicit: boolean): void {
  if (isExplicit) {
    const same = draft.os === target.os && draft.architecture === target.architecture;
    draft.os = target.os;
    draft.architecture = target.architecture;
    if (target.variant !== undefined || !same) draft.variant = target.variant ?? "";
    if (target.osVersion !== undefined || !same) draft.osVersion = target.osVersion ?? "";
    if (target.osFeatures !== undefined) draft.osFeatures = target.osFeatures;
  }
  const {
    os,
    architecture,
    variant = "",
  } = normalizePlatform({ os: draft.os, architecture: draft.architecture, variant: draft.variant });
  draft.os = os;
  draft.architecture = architecture;
  draft.variant = variant;
}
