// Questions about a Dockerfile, answered without building: its checks, what a target can be given, which targets it has.
// The methods and their meaning are those of BuildKit's subrequests; like there, they look at the build platform.
import { type Diagnostic, hasErrors } from "../../diagnostic/diagnostic.ts";
import { BakeError } from "../../diagnostic/error.ts";
import { positionAt, type Range, type Source } from "../../diagnostic/source.ts";
import type {
  AnswerSource,
  CallAnswer,
  CallMethod,
  LintAnswer,
  LintFailure,
  LintWarning,
  Lines,
  Place,
} from "../answer.ts";
import type { WholeFile } from "./include.ts";
import { createLintRun, type LintOptions, type LintRun } from "./lint.ts";
import { lintFile } from "./lintfile.ts";
import { lintPage, lintRule } from "./lintrules.ts";
import { lowerStages } from "./lower.ts";
import type { Stage } from "./model.ts";
import { describedIn, outlineOf } from "./outline.ts";
import { localContext } from "./place.ts";
import { type ConvertOptions, type OpenFile, lintOptions, openFile, readFile } from "./readfile.ts";
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
  "subrequests.describe": () => Promise.resolve({ method: "subrequests.describe", requests: QUESTIONS }),
};

const QUESTIONS = [
  { name: "lint", version: "1.0.0", description: "Problems that the checks find" },
  {
    name: "outline",
    version: "1.0.0",
    description: "Build arguments, secrets and ssh agents a target takes",
  },
  { name: "targets", version: "1.0.0", description: "Stages of the file" },
  { name: "subrequests.describe", version: "1.0.0", description: "These questions" },
] as const;

/** @throws BakeError when the file cannot be read, and but for `lint` when it cannot be lowered */
export function answerCall(options: ConvertOptions, method: CallMethod): Promise<CallAnswer> {
  return answers[method]({ ...openFile(options), options });
}

/** Checks every stage, or what the target needs when one was asked for. */
async function answerLint(question: Question): Promise<LintAnswer> {
  const sources = createSources(question);
  const found: Diagnostic[] = [];
  let failure: LintFailure | undefined;
  try {
    await lintStages(question, found, sources);
  } catch (thrown) {
    const error = BakeError.from(thrown);
    if (error.code === "interrupted" || error.code === "internal") throw thrown;
    failure = {
      message: error.message,
      hint: error.diagnostics[0]?.hint,
      place: sources.failurePlace(error),
    };
  }
  const warnings = found.map(({ message, range, hint }): LintWarning => {
    const [rule, detail] = cut(message, ": ") ?? [message, ""];
    const description = lintRule(rule)?.description ?? "";
    return { rule, description, url: lintPage(rule), detail, hint, place: sources.place(range) };
  });
  return { method: "lint", warnings, sources: sources.list, failure };
}

/** Adds warnings to `found` also when it fails. */
async function lintStages(question: Question, found: Diagnostic[], sources: Sources): Promise<void> {
  const lint = lintOptions(question);
  const file = await readFile(question, question.options);
  sources.know(file);
  const stages = readStages(file.lines);
  const run = createLintRun(lint);
  try {
    if (hasErrors(stages.diagnostics)) {
      // What can be told of the text is told although it cannot be built.
      lintFile(file, stages.value, run.linter);
      throw BakeError.ofDiagnostics(stages.diagnostics);
    }
    const allStages = question.given.target === "";
    await lowerForCall({ question, file, stages: stages.value, lint, run, allStages });
    run.finish();
  } finally {
    found.push(...run.warnings);
  }
}

async function answerOutline(question: Question): Promise<CallAnswer> {
  const sources = createSources(question);
  const lint = lintOptions(question);
  const { file, stages } = await readOrThrow(question, sources);
  const run = createLintRun(lint);
  const target = await lowerForCall({ question, file, stages, lint, run, allStages: false });
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

interface LowerForCall {
  readonly question: Question;
  readonly file: WholeFile;
  readonly stages: FileStages;
  readonly lint: LintOptions;
  readonly run: LintRun;
  readonly allStages: boolean;
}

async function lowerForCall({ question, file, stages, lint, run, allStages }: LowerForCall): Promise<Stage> {
  const { given, options: asked } = question;
  const { request, host, signal, place } = asked;
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
  const linesOf = ({ source: text, start, end }: Range): Lines => [
    positionAt(text, start).line,
    positionAt(text, Math.max(start, end - 1)).line,
  ];
  const indexOf = ({ source: text }: Range): number => {
    add(text, new TextEncoder().encode(text.text), "");
    return known.get(text) ?? 0;
  };
  const place = (range: Range | undefined): Place =>
    range === undefined ? NOWHERE : { source: indexOf(range), ranges: [...eachLine(linesOf(range))] };
  /** The whole instruction that a piece belongs to. */
  const instructionOf = (range: Range): Range =>
    lines.find(
      line =>
        line.range.source === range.source && line.range.start <= range.start && range.end <= line.range.end,
    )?.range ?? range;
  return {
    list,
    know(file) {
      lines = file.lines;
      for (const { parsed, bytes, language: spoken } of file.parts) add(parsed.source, bytes, spoken);
    },
    place,
    failurePlace({ diagnostics: [main] }) {
      if (main?.range === undefined) return NOWHERE;
      const { source: text } = main.range;
      const ranges = [main.range, ...(main.related ?? []).map(({ range }) => range)]
        .filter(range => range.source === text)
        .map(instructionOf);
      const numbers = new Set(ranges.flatMap(range => [...eachLine(linesOf(range))].map(([line]) => line)));
      return { source: indexOf(main.range), ranges: [...numbers].sort((a, b) => a - b).map(n => [n, n]) };
    },
  };
}

function* eachLine([first, last]: Lines): Generator<Lines> {
  for (let number = first; number <= last; number++) yield [number, number];
}
