// Questions about a Dockerfile, answered without building: its checks, what a target can be given, which targets it has.
// The methods and their meaning are those of BuildKit's subrequests; like there, they look at the build platform.
import { hasErrors } from "../../diagnostic/diagnostic.ts";
import { BakeError } from "../../diagnostic/error.ts";
import { positionAt, type Range, type Source } from "../../diagnostic/source.ts";
import type { AnswerSource, CallAnswer, CallMethod, LintAnswer, Lines, Place } from "../answer.ts";
import type { WholeFile } from "./include.ts";
import { createLintRun, type LintRun } from "./lint.ts";
import { lintFile } from "./lintfile.ts";
import { lintPage, lintRule } from "./lintrules.ts";
import { lowerStages } from "./lower.ts";
import type { Stage } from "./model.ts";
import { describedIn, outlineOf } from "./outline.ts";
import { localContext } from "./place.ts";
import { type ConvertOptions, type OpenFile, openFile, readFile } from "./readfile.ts";
import { readEpoch } from "./sourcedate.ts";
import { type FileStages, readStages } from "./stage.ts";
import { cut } from "./text.ts";

interface Question extends OpenFile {
  readonly options: ConvertOptions;
}

const answers: Readonly<Record<CallMethod, (question: Question) => Promise<CallAnswer>>> = {
  lint: answerLint,
  outline: answerOutline,
  targets: answerTargets,
};

/** @throws BakeError when the file cannot be read, and but for `lint` when it cannot be lowered */
export function answerCall(options: ConvertOptions, method: CallMethod): Promise<CallAnswer> {
  return answers[method]({ ...openFile(options), options });
}

/** Checks every stage, or what the target needs when one was asked for. */
async function answerLint(question: Question): Promise<LintAnswer> {
  const run = createLintRun(question.lint);
  const sources = createSources(question);
  const failure = await lintStages(question, run, sources).then(
    () => undefined,
    (thrown: unknown) => {
      const error = BakeError.from(thrown);
      if (error.code === "interrupted" || error.code === "internal") throw thrown;
      const [main] = error.diagnostics;
      return { message: error.message, hint: main?.hint, place: sources.failurePlace(error) };
    },
  );
  const warnings = run.warnings.map(({ message, range, hint }) => {
    const [rule, detail] = cut(message, ": ") ?? [message, ""];
    return {
      rule,
      description: lintRule(rule)?.description ?? "",
      url: lintPage(rule),
      detail,
      ...(hint !== undefined && { hint }),
      place: sources.place(range),
    };
  });
  return { method: "lint", warnings, sources: sources.list, ...(failure && { failure }) };
}

async function lintStages(question: Question, run: LintRun, sources: Sources): Promise<void> {
  const file = await readFile(question, question.options);
  sources.know(file);
  const stages = readStages(file.lines);
  if (hasErrors(stages.diagnostics)) {
    // What can be told of the text is told although it cannot be built.
    lintFile(file, stages.value, run.linter);
    throw BakeError.ofDiagnostics(stages.diagnostics);
  }
  await lowerForCall(question, file, stages.value, run, question.given.target === "");
  run.finish();
}

async function answerOutline(question: Question): Promise<CallAnswer> {
  const sources = createSources(question);
  const { file, stages } = await readOrThrow(question, sources);
  const run = createLintRun(question.lint);
  const target = await lowerForCall(question, file, stages, run, false);
  run.finish();
  const { args, secrets, ssh } = outlineOf(target);
  const inOrder = <T extends { readonly place: Place; readonly name: string }>(items: readonly T[]): T[] =>
    items.toSorted(
      (a, b) =>
        a.place.source - b.place.source ||
        (a.place.ranges[0]?.[0] ?? 0) - (b.place.ranges[0]?.[0] ?? 0) ||
        (a.name < b.name ? -1 : 1),
    );
  const need = ({ name, required, range }: (typeof secrets)[number]) => ({
    name,
    required,
    place: sources.place(range),
  });
  const { from } = target;
  return {
    method: "outline",
    name: from.name,
    description: describedIn(from.line, from.name),
    args: inOrder(
      args.map(({ name, description, value, range }) => ({
        name,
        description,
        value,
        place: sources.place(range),
      })),
    ),
    secrets: inOrder(secrets.map(need)),
    ssh: inOrder(ssh.map(need)),
    sources: sources.list,
  };
}

async function answerTargets(question: Question): Promise<CallAnswer> {
  const sources = createSources(question);
  const { stages } = await readOrThrow(question, sources);
  return {
    method: "targets",
    targets: stages.stages.map(({ from }, index) => ({
      name: from.name,
      isDefault: index === stages.stages.length - 1,
      description: describedIn(from.line, from.name),
      base: from.base,
      platform: from.platform,
      place: sources.place(from.line.range),
    })),
    sources: sources.list,
  };
}

async function readOrThrow(
  question: Question,
  sources: Sources,
): Promise<{ readonly file: WholeFile; readonly stages: FileStages }> {
  const file = await readFile(question, question.options);
  sources.know(file);
  const { value, diagnostics } = readStages(file.lines);
  if (hasErrors(diagnostics)) throw BakeError.ofDiagnostics(diagnostics);
  return { file, stages: value };
}

async function lowerForCall(
  { options: { request, host, signal, place }, given, lint }: Question,
  file: WholeFile,
  stages: FileStages,
  run: LintRun,
  allStages: boolean,
): Promise<Stage> {
  const outside = { request, host, signal };
  const { options, globalArgs, epoch } = await readEpoch(given, stages, { ...outside, remote: place.remote });
  const patterns = place.ignore.map(({ pattern }) => pattern);
  return lowerStages(
    {
      ...outside,
      options,
      file,
      stages: { ...stages, globalArgs },
      lint,
      platform: undefined,
      mainContext: paths => place.remote ?? localContext(request, patterns, paths),
      ignore: place.ignore,
      epoch,
    },
    { lint: run, allStages },
  );
}

/** The texts an answer points into, and the way from ranges to lines of them. */
interface Sources {
  readonly list: readonly AnswerSource[];
  /** Adds the files that were included. */
  readonly know: (file: WholeFile) => void;
  readonly place: (range: Range | undefined) => Place;
  readonly failurePlace: (error: BakeError) => Place;
}

const NOWHERE: Place = { source: 0, ranges: [] };

function createSources({ source, options: { place: found, language = "Dockerfile" } }: Question): Sources {
  const list: AnswerSource[] = [];
  const known = new Map<Source, number>();
  let lines: WholeFile["lines"] = [];
  const add = (text: Source, data: Uint8Array, spoken: string): void => {
    if (known.has(text)) return;
    known.set(text, list.length);
    list.push({ filename: text.name, data, language: spoken });
  };
  add(source, found.dockerfile, language);
  const place = (range: Range | undefined): Place => {
    if (range === undefined) return NOWHERE;
    let first = positionAt(range.source, range.start).line;
    let last = positionAt(range.source, Math.max(range.start, range.end - 1)).line;
    if (!known.has(range.source)) add(range.source, new TextEncoder().encode(range.source.text), "");
    const holder = lines.find(
      line => line.range.source === range.source && line.startLine <= first && first <= line.endLine,
    );
    // A piece of an instruction stands for all of it.
    if (holder !== undefined && range.start !== range.end && last <= holder.endLine && first !== last)
      [first, last] = [holder.startLine, holder.endLine];
    const ranges: Lines[] = [];
    for (let number = first; number <= last; number++) ranges.push([number, number]);
    return { source: known.get(range.source) ?? 0, ranges };
  };
  return {
    list,
    know(file) {
      lines = file.lines;
      for (const { parsed, bytes, language: spoken } of file.parts) add(parsed.source, bytes, spoken);
    },
    place,
    failurePlace({ diagnostics: [main] }) {
      return place(main?.range);
    },
  };
}
