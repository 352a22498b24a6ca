// What instructions work on while a stage is lowered: the stage, the conversion it belongs to, and the form of a parsed
// instruction. Stages are mutable on purpose: an instruction is a change to its stage.
import type { Diagnostic } from "../../diagnostic/diagnostic.ts";
import type { Range, Source } from "../../diagnostic/source.ts";
import type { SourceInfo, SourceLocation } from "../../llb/definition.ts";
import type { State } from "../../llb/state.ts";
import type { Platform } from "../../oci/platform.ts";
import type { IgnoreMatcher } from "../../pattern/ignore.ts";
import type { Epoch } from "./epoch.ts";
import type { ImageDraft } from "./imageconfig.ts";
import type { IgnoreLine } from "./dockerignore.ts";
import type { Linter } from "./lint.ts";
import type { DockerfileOptions } from "./options.ts";
import type { StageNotes } from "./outline.ts";
import type { InstructionLine } from "./parse.ts";
import type { Environment } from "./words.ts";

/** An instruction after its arguments were read. */
export interface Command {
  readonly line: InstructionLine;
  /** The stages, images or contexts it reads, by name. */
  readonly sources: readonly SourceName[];
  /** The instruction that ONBUILD keeps for stages built on this one. */
  readonly trigger?: string;
  /** Applies it to a stage; `sources` are those named, in the same order. @throws BakeError */
  readonly lower: (stage: Stage, conversion: Conversion, sources: readonly Stage[]) => void;
}

export interface SourceName {
  readonly name: string;
  /** Whether a number means the index of a stage (COPY) or is a name like any other (mounts). */
  readonly byIndex: boolean;
}

/** A row of the instruction table. */
export interface InstructionKind {
  /** Whether `<<NAME` in its arguments begins a heredoc. */
  readonly heredocs: boolean;
  /** Whether its argument is an instruction itself. */
  readonly wraps?: boolean;
  /** Whether it counts among the steps of a stage ("2/5"). */
  readonly counted: boolean;
  /** @throws BakeError "dockerfile-syntax" or "not-supported" */
  readonly parse: (line: InstructionLine) => Command;
}

/** A FROM instruction. */
export interface FromCommand {
  readonly line: InstructionLine;
  /** As written, before expansion. */
  readonly base: string;
  /** Lower case; empty when there is none. */
  readonly name: string;
  /** The value of --platform, before expansion. */
  readonly platform: string;
}

export interface StageCommand {
  readonly command: Command;
  readonly sources: readonly Stage[];
  /** Whether it is an ONBUILD trigger of the base. */
  readonly trigger: boolean;
}

export interface BuildArg {
  readonly name: string;
  readonly value: string | undefined;
}

export interface Stage {
  readonly from: FromCommand;
  /** The name in progress texts; empty when a file has one stage only. */
  displayName: string;
  /** The base after expansion, later the pinned reference. */
  baseName: string;
  /** The stage it builds on. */
  base: Stage | undefined;
  /** The named context that replaces it, not yet loaded. */
  context: LoadContext | undefined;
  /** Stages it reads, with the instruction that does. */
  readonly dependencies: Map<Stage, InstructionLine>;
  commands: readonly StageCommand[];
  /** An image or context that only COPY --from or a mount names. */
  readonly unregistered: boolean;
  /** Where problems of its base are reported; BuildKit knows no lines for images that only mounts name. */
  readonly place: Pick<Diagnostic, "reported">;
  platform: Platform | undefined;
  state: State;
  draft: ImageDraft;
  /** Its instructions were applied, or it has none to apply. */
  dispatched: boolean;
  resolved: boolean;
  triggersStarted: boolean;
  /** Every ARG in scope, in order. */
  readonly buildArgs: BuildArg[];
  /** Paths it reads of the main context, absolute. */
  readonly contextPaths: Set<string>;
  /** Paths others read of it, absolute; shared with the stage it builds on. */
  paths: Set<string>;
  readonly ignoreCache: boolean;
  stepsTotal: number;
  stepsDone: number;
  inTrigger: boolean;
  workdirSet: boolean;
  /** What it can be given from outside. */
  notes: StageNotes;
  /** Where CMD, ENTRYPOINT and HEALTHCHECK were last set in this stage. */
  readonly lastSet: Map<string, Range>;
}

/** Loads a named context; `paths` gives the paths read of it once all stages are lowered. */
export type LoadContext = (
  platform: Platform | undefined,
  paths: () => ReadonlySet<string>,
) => Promise<LoadedContext>;

export interface LoadedContext {
  readonly state: State;
  readonly draft: ImageDraft | undefined;
}

/** The file an instruction is written in, as LLB records it. */
export type SourceInfos = (source: Source) => SourceInfo;

/** One conversion of a file for one platform. */
export interface Conversion {
  readonly options: DockerfileOptions;
  readonly sources: SourceInfos;
  readonly escape: string;
  readonly targetPlatform: Platform;
  readonly linter: Linter;
  /** Whether the file may use what only the labs syntax has. */
  readonly labs: boolean;
  readonly globalArgs: Environment;
  /** The main context; which paths of it are read is known when it is marshalled. */
  readonly buildContext: State;
  readonly ignore: IgnoreMatcher | undefined;
  /** The lines that `ignore` was made of, in its order. */
  readonly ignoreLines: readonly IgnoreLine[];
  /** SOURCE_DATE_EPOCH. */
  readonly epoch: Epoch | undefined;
}

/** The place of an instruction as LLB records it: one range a line. */
export function locationOf(line: InstructionLine, sources: SourceInfos): SourceLocation {
  const ranges = [];
  for (let number = line.startLine; number <= line.endLine; number++)
    ranges.push({ startLine: number, endLine: number });
  return { source: sources(line.range.source), ranges };
}
