// SOURCE_DATE_EPOCH: the time that a build's history and new folders carry, given as seconds or taken from what a
// context or a stage was made of (BuildKit, docs/build-repro.md).
import { BakeError } from "../../diagnostic/error.ts";
import { marshal } from "../../llb/marshal.ts";
import { decodeOp } from "../../llb/ops.ts";
import type { SourceOp } from "../../llb/op/source.ts";
import { source as fromSource, type State } from "../../llb/state.ts";
import { type ContextOptions, findContext } from "./context.ts";
import { commitTime, type Epoch } from "./epoch.ts";
import { sourceOfStage } from "./epochstage.ts";
import type { DockerfileOptions } from "./options.ts";
import type { FileStages } from "./stage.ts";
import { parseGoInt } from "./text.ts";

export interface EpochOptions extends ContextOptions {
  /** The main context, when it is not a local directory. */
  readonly remote: State | undefined;
}

export interface EpochResult {
  /** With the build arg resolved to seconds, or without it when it gives no time. */
  readonly options: DockerfileOptions;
  readonly globalArgs: FileStages["globalArgs"];
  readonly epoch: Epoch | undefined;
}

const NAME = "SOURCE_DATE_EPOCH";

/**
 * Resolves the build arg or, without one, the default of a global ARG.
 * @throws BakeError "usage" when it names nothing, "dockerfile-lower" for a stage that has no time
 */
export async function readEpoch(
  options: DockerfileOptions,
  file: FileStages,
  given: EpochOptions,
): Promise<EpochResult> {
  const { globalArgs } = file;
  const declared = globalArgs.flatMap(({ declarations }) => declarations);
  const value = options.buildArgs.get(NAME) ?? declared.findLast(({ name }) => name === NAME)?.value;
  if (value === undefined) return { options, globalArgs, epoch: undefined };
  const seconds = parseGoInt(value);
  if (seconds !== undefined) return { options, globalArgs, epoch: { seconds, offsetMinutes: 0 } };
  const epoch = value === "" ? undefined : await epochOfName(value, options, file, given);
  const buildArgs = new Map(options.buildArgs);
  if (epoch !== undefined) buildArgs.set(NAME, String(epoch.seconds));
  else buildArgs.delete(NAME);
  return {
    options: { ...options, buildArgs },
    globalArgs: epoch === undefined ? withoutEpoch(globalArgs) : globalArgs,
    epoch,
  };
}

async function epochOfName(
  name: string,
  options: DockerfileOptions,
  { stages, globalArgs }: FileStages,
  given: EpochOptions,
): Promise<Epoch | undefined> {
  if (name === "context") return epochOf(given.remote, given);
  const context = findContext(name, given.request.buildPlatform, given);
  if (context !== undefined) return epochOf((await context(undefined, () => new Set(["/"]))).state, given);
  const stage = stages.find(({ from }) => from.name === name.toLowerCase());
  if (stage === undefined)
    throw new BakeError("usage", `${NAME} is "${name}", which is no number, no context and no stage`, {
      hint: "give it as seconds since 1970, or name a context or a stage",
    });
  const { request, buildArgs, platforms, target } = { ...options, ...given };
  const source = sourceOfStage(stage, withoutEpoch(globalArgs), {
    buildPlatform: request.buildPlatform,
    targetPlatform: platforms[0] ?? request.buildPlatform,
    target: target || (stages.at(-1)?.from.name ?? ""),
    buildArgs: new Map([...buildArgs].filter(([key]) => key !== NAME)),
    escape: stage.from.line.escape,
  });
  return epochOf(source, given);
}

/** The time of a file system that comes from a single remote source; others have none. */
async function epochOf(
  state: State | undefined,
  { request, host, signal }: EpochOptions,
): Promise<Epoch | undefined> {
  const source = state === undefined ? undefined : onlySource(state, request.buildPlatform);
  if (source === undefined || !/^(?:git|https?):/.test(source.identifier)) return undefined;
  const { gitCommit, httpLastModified: modified } = await host.resolveSource(source, { signal });
  if (gitCommit !== undefined) return commitTime(gitCommit);
  const seconds = modified ?? (await newestFile(source, { request, host, signal }));
  return seconds === undefined ? undefined : { seconds, offsetMinutes: 0 };
}

/** Servers that do not say when their file changed: the newest file in it when it is an archive. */
async function newestFile(
  { identifier, attrs }: SourceOp,
  { request, host, signal }: ContextOptions,
): Promise<number | undefined> {
  const filename = attrs["http.filename"] ?? "";
  if (!/^https?:/.test(identifier) || filename === "") return undefined;
  const file = fromSource({ identifier, attrs, caps: [] });
  return host.newestInArchive(marshal(file, { platform: request.buildPlatform }), filename, { signal });
}

function onlySource(
  state: State,
  platform: ContextOptions["request"]["buildPlatform"],
): SourceOp | undefined {
  const sources = marshal(state, { platform })
    .def.map(decodeOp)
    .flatMap(op => (op.kind === "source" ? [op.spec] : []));
  return sources.length === 1 ? sources[0] : undefined;
}

function withoutEpoch(globalArgs: FileStages["globalArgs"]): FileStages["globalArgs"] {
  return globalArgs.map(entry => ({
    ...entry,
    declarations: entry.declarations.filter(({ name }) => name !== NAME),
  }));
}
