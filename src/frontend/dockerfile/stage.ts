// The stages of a file: FROM instructions and what follows them, their names, and which of them a target needs.
import { BakeError } from "../../diagnostic/error.ts";
import type { Diagnostic } from "../../diagnostic/diagnostic.ts";
import { didYouMean } from "../../diagnostic/suggest.ts";
import { scratch } from "../../llb/state.ts";
import { readFlags, readWords, syntaxError } from "./arguments.ts";
import { emptyDraft } from "./imageconfig.ts";
import { readArgs, type ArgDeclaration } from "./instruction/arg.ts";
import { instructions } from "./instruction/table.ts";
import type { Command, FromCommand, Stage } from "./model.ts";
import { copyNotes, createNotes, type StageNotes } from "./outline.ts";
import type { InstructionLine } from "./parse.ts";

/** A stage as it is written. */
export interface StageText {
  readonly from: FromCommand;
  readonly commands: readonly Command[];
}

export interface FileStages {
  readonly stages: readonly StageText[];
  /** ARG instructions before the first FROM. */
  readonly globalArgs: readonly {
    readonly line: InstructionLine;
    readonly declarations: readonly ArgDeclaration[];
  }[];
}

/** Reads the arguments of all instructions; every problem is reported, in the order of the file. */
export function readStages(lines: readonly InstructionLine[]): {
  readonly value: FileStages;
  readonly diagnostics: readonly Diagnostic[];
} {
  const stages: { from: FromCommand; commands: Command[] }[] = [];
  const globalArgs: { line: InstructionLine; declarations: readonly ArgDeclaration[] }[] = [];
  const diagnostics: Diagnostic[] = [];
  for (const line of lines) {
    try {
      const keyword = line.word.toLowerCase();
      const stage = stages.at(-1);
      if (keyword === "from") stages.push({ from: readFrom(line), commands: [] });
      else if (stage !== undefined) stage.commands.push(readInstruction(line));
      else if (keyword === "arg") globalArgs.push({ line, declarations: readArgs(line) });
      else {
        readInstruction(line);
        // One slip in the first line must not make every other line a problem.
        if (diagnostics.length > 0) continue;
        throw syntaxError(
          `${line.word.toUpperCase()} stands before the first FROM`,
          line,
          "begin with FROM; only ARG may precede it",
        );
      }
    } catch (thrown) {
      if (!(thrown instanceof BakeError)) throw thrown;
      diagnostics.push(...thrown.at(line.range).diagnostics);
    }
  }
  const last = lines.at(-1);
  if (stages.length === 0 && diagnostics.length === 0 && last !== undefined) {
    diagnostics.push({
      severity: "error",
      code: "dockerfile-syntax",
      message: "the Dockerfile has no FROM",
      range: last.range,
      hint: "a stage begins with FROM",
    });
  }
  return { value: { stages, globalArgs }, diagnostics };
}

/** Reads one instruction other than FROM. @throws BakeError */
export function readInstruction(line: InstructionLine): Command {
  const kind = instructions.get(line.word.toLowerCase());
  if (kind !== undefined) return kind.parse(line);
  const known = ["FROM", ...[...instructions.keys()].map(name => name.toUpperCase())];
  throw new BakeError("dockerfile-syntax", `unknown instruction "${line.word}"`, {
    range: line.wordRange,
    hint: didYouMean(line.word, known),
  });
}

/** Which lines take heredocs and which wrap others, for the parser. */
export const parseOptions = {
  heredocs: new Set([...instructions].flatMap(([keyword, kind]) => (kind.heredocs ? [keyword] : []))),
  wrappers: new Set([...instructions].flatMap(([keyword, kind]) => (kind.wraps === true ? [keyword] : []))),
};

const STAGE_NAME = /^[a-z][a-z0-9-_.]*$/;

function readFrom(line: InstructionLine): FromCommand {
  const words = readWords(line.rest);
  const [base = "", as, alias] = words;
  let name = "";
  if (words.length === 3 && as?.toLowerCase() === "as") {
    name = (alias ?? "").toLowerCase();
    if (!STAGE_NAME.test(name)) {
      throw syntaxError(
        `invalid stage name "${alias ?? ""}"`,
        line,
        "a name begins with a letter and has letters, digits, -, _ and . only",
      );
    }
  } else if (words.length !== 1)
    throw syntaxError(
      "FROM takes an image, and a name after AS",
      line,
      "write FROM image or FROM image AS name",
    );
  const flags = readFlags(line, { platform: "text" });
  return { line, base, name, platform: flags.platform ?? "" };
}

export interface StageOptions {
  readonly baseName: string;
  readonly displayName: string;
  readonly unregistered?: boolean;
  readonly place?: Stage["place"];
  readonly ignoreCache?: boolean;
  readonly notes?: StageNotes;
}

/** A stage before anything is known of it. */
export function createStage(
  from: FromCommand,
  {
    baseName,
    displayName,
    unregistered = false,
    place = {},
    ignoreCache = false,
    notes = createNotes(),
  }: StageOptions,
): Stage {
  return {
    from,
    displayName,
    baseName,
    base: undefined,
    context: undefined,
    dependencies: new Map(),
    commands: [],
    unregistered,
    place,
    platform: undefined,
    state: scratch(),
    draft: { ...emptyDraft({ os: "", architecture: "" }), workdir: "", env: [] },
    dispatched: false,
    resolved: false,
    triggersStarted: false,
    buildArgs: [],
    contextPaths: new Set(),
    paths: new Set(),
    ignoreCache,
    stepsTotal: 0,
    stepsDone: 0,
    inTrigger: false,
    workdirSet: false,
    notes,
    lastSet: new Map(),
  };
}

/** The stages of one conversion, in order of appearance; images that only COPY or mounts name come last. */
export interface StageList {
  readonly all: readonly Stage[];
  /** Adds a stage and finds the one it builds on. */
  readonly add: (stage: Stage) => void;
  /** By declared name, whatever its case. */
  readonly byName: (name: string) => Stage | undefined;
}

export function createStageList(): StageList {
  const all: Stage[] = [];
  const names = new Map<string, Stage>();
  return {
    all,
    add(stage) {
      all.push(stage);
      // FROM finds stages by their lower-case names only: FROM BUILDER is an image.
      stage.base = names.get(stage.baseName);
      if (stage.base !== undefined) stage.notes = copyNotes(stage.base.notes);
      if (stage.from.name !== "") names.set(stage.from.name, stage);
    },
    byName: name => names.get(name.toLowerCase()),
  };
}

/** The stages a target needs, itself included. */
export function reachableFrom(target: Stage): ReadonlySet<Stage> {
  // Not by recursion: files written by programs may have more stages in a chain than the stack has room.
  const found = new Set([target]);
  for (const stage of found) {
    if (stage.base !== undefined) found.add(stage.base);
    for (const dependency of stage.dependencies.keys()) found.add(dependency);
  }
  return found;
}

/** Finds stages that read each other in a circle. @throws BakeError at the instructions of the circle */
export function checkCircles(stages: readonly Stage[]): void {
  const visited = new Set<Stage>();
  for (const stage of stages) {
    const [first, ...rest] = findCircle(stage, visited);
    if (first === undefined) continue;
    throw new BakeError("dockerfile-lower", `stage "${stage.displayName}" needs itself`, {
      range: first.range,
      hint: "stages can only read stages that do not read them",
      related: rest.map(line => ({ message: "and reads back here", range: line.range })),
    });
  }
}

interface PathStep {
  readonly stage: Stage;
  /** The instruction that led to it; undefined at the start. */
  readonly line: InstructionLine | undefined;
  /** What it reads and has not been looked at. */
  readonly rest: Iterator<[Stage, InstructionLine]>;
}

/** The instructions that lead from a stage into a circle; none when there is no circle. */
function findCircle(start: Stage, visited: Set<Stage>): readonly InstructionLine[] {
  const path: PathStep[] = [];
  const onPath = new Set<Stage>();
  const enter = (stage: Stage, line: InstructionLine | undefined): void => {
    if (visited.has(stage)) return;
    visited.add(stage);
    onPath.add(stage);
    path.push({ stage, line, rest: stage.dependencies.entries() });
  };
  enter(start, undefined);
  for (let step = path.at(-1); step !== undefined; step = path.at(-1)) {
    const next = step.rest.next();
    if (next.done === true) {
      onPath.delete(step.stage);
      path.pop();
      continue;
    }
    const [stage, line] = next.value;
    if (onPath.has(stage)) return [...path.flatMap(entry => entry.line ?? []), line];
    enter(stage, line);
  }
  return [];
}
