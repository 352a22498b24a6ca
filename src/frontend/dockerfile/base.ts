// What stages are FROM: scratch, an image of a registry or a named context.
import { BakeError } from "../../diagnostic/error.ts";
import { didYouMean } from "../../diagnostic/suggest.ts";
import { image, scratch, type State } from "../../llb/state.ts";
import type { ImageConfig } from "../../oci/imageconfig.ts";
import { normalizePlatform, type Platform } from "../../oci/platform.ts";
import { formatReference, parseReference, type Reference, withDefaultTag } from "../../oci/reference.ts";
import { type ContextOptions, findContext } from "./context.ts";
import { copyDraft, draftFromConfig, emptyDraft } from "./imageconfig.ts";
import type { Linter } from "./lint.ts";
import { locationOf, type SourceInfos, type Stage } from "./model.ts";
import type { DockerfileOptions } from "./options.ts";
import { formatFullPlatform } from "./platform.ts";
import type { StageList } from "./stage.ts";
import { nameStep } from "./steps.ts";
import { emptyEnvironment } from "./words.ts";

export interface BaseOptions extends ContextOptions {
  readonly options: DockerfileOptions;
  readonly sources: SourceInfos;
  /** Undefined when no platform was asked for. */
  readonly platform: Platform | undefined;
  readonly targetPlatform: Platform;
  readonly list: StageList;
  readonly linter: Linter;
}

/** Resolves what stages are FROM, all at once. Stages that are not needed are only named. @throws BakeError */
export async function resolveBases(run: BaseOptions, reachable: ReadonlySet<Stage>): Promise<void> {
  const pending = run.list.all.map(async stage => {
    if (stage.base !== undefined || stage.dispatched || stage.resolved) return;
    stage.resolved = reachable.has(stage);
    if (stage.baseName === "scratch" && stage.context === undefined) {
      stage.state = scratch();
      stage.draft = emptyDraft(run.targetPlatform);
      stage.platform = run.targetPlatform;
      if (stage.unregistered) stage.dispatched = true;
      return;
    }
    try {
      await resolveBase(stage, run);
    } catch (thrown) {
      throw thrown instanceof BakeError ? thrown.at(stage.from.line.range, stage.place) : thrown;
    } finally {
      if (stage.unregistered) stage.dispatched = true;
    }
  });
  // All settle before the first failure, in the order of the file, is reported.
  for (const outcome of await Promise.allSettled(pending)) {
    if (outcome.status === "rejected") throw BakeError.from(outcome.reason);
  }
}

async function resolveBase(stage: Stage, run: BaseOptions): Promise<void> {
  const written = stage.baseName;
  const reference = readReference(written, run);
  const wanted = stage.platform ?? run.targetPlatform;
  stage.baseName = formatReference(withDefaultTag(reference));
  if (!stage.resolved) {
    stage.platform = wanted;
    return;
  }
  if (stage.context !== undefined) return replaceStage(stage, run);
  const context = findContext(stage.baseName, wanted, run);
  if (context !== undefined) {
    const { state, draft } = await context(wanted, () => stage.paths);
    stage.draft = draft === undefined ? emptyDraft(wanted) : copyDraft(draft);
    stage.state = state.platform(wanted);
    stage.platform = wanted;
    return;
  }
  const { digest, config } = await resolveImage(stage, written, wanted, run);
  stage.draft = draftFromConfig(config);
  stage.baseName = formatReference({ ...withDefaultTag(reference), digest });
  const platform =
    stage.platform === undefined && run.platform === undefined
      ? detectPlatform(config, wanted, run.request.buildPlatform)
      : wanted;
  stage.platform = platform;
  const isEmpty =
    (stage.draft.diffIds ?? []).length === 0 &&
    stage.draft.history.every(({ empty_layer }) => empty_layer === true);
  stage.state = isEmpty ? scratch() : baseImage(stage, platform, run);
  if (isEmpty) return;
  if (platform.os !== config.os || platform.architecture !== config.architecture) {
    const have = normalizePlatform({
      os: config.os,
      architecture: config.architecture,
      ...(config.variant && { variant: config.variant }),
    });
    const message = `Base image ${written} was pulled with platform ${JSON.stringify(formatFullPlatform(have))}, expected ${JSON.stringify(formatFullPlatform(normalizePlatform(platform)))} for current build`;
    run.linter.warn("InvalidBaseImagePlatform", message, stage.from.line.range);
  }
}

/** @throws BakeError "reference-invalid" */
function readReference(written: string, { list }: BaseOptions): Reference {
  try {
    return parseReference(written);
  } catch (thrown) {
    const stage = list.byName(written);
    if (!(thrown instanceof BakeError) || stage === undefined) throw thrown;
    throw new BakeError(thrown.code, thrown.message, {
      hint: `FROM finds the stage by "${stage.from.name}", in lower case`,
      cause: thrown,
    });
  }
}

/** A named context with the name of a stage takes its place. */
async function replaceStage(stage: Stage, run: BaseOptions): Promise<void> {
  if (stage.context === undefined) return;
  const { state, draft } = await stage.context(stage.platform ?? run.targetPlatform, () => stage.paths);
  stage.dispatched = true;
  stage.state = state;
  if (draft === undefined) return;
  stage.draft = copyDraft(draft);
  if (draft.os !== "" && draft.architecture !== "") {
    stage.platform = {
      os: draft.os,
      architecture: draft.architecture,
      ...(draft.variant && { variant: draft.variant }),
      ...(draft.osVersion && { osVersion: draft.osVersion }),
      ...(draft.osFeatures.length > 0 && { osFeatures: draft.osFeatures }),
    };
  }
}

async function resolveImage(stage: Stage, written: string, platform: Platform, run: BaseOptions) {
  try {
    return await run.host.resolveImageConfig(stage.baseName, { platform, signal: run.signal });
  } catch (thrown) {
    if (!(thrown instanceof BakeError) || thrown.code !== "registry-missing") throw thrown;
    const names = run.list.all.flatMap(({ from }) => (from.name === "" ? [] : [from.name]));
    const hint = didYouMean(written, [...names, ...COMMON_IMAGES]) ?? thrown.diagnostics[0]?.hint;
    throw new BakeError(thrown.code, thrown.message, { hint, cause: thrown });
  }
}

const COMMON_IMAGES = [
  "alpine",
  "busybox",
  "centos",
  "debian",
  "golang",
  "ubuntu",
  "fedora",
  "node",
  "python",
];

function baseImage(stage: Stage, platform: Platform, run: BaseOptions): State {
  const { line } = stage.from;
  const isNamed = !stage.unregistered;
  return image(stage.baseName, {
    platform,
    ...(run.options.resolveMode && { resolveMode: run.options.resolveMode }),
    description: { "com.docker.dockerfile.v1.command": isNamed ? line.original.trim() : "" },
    customName: nameStep(stage, `FROM ${stage.baseName}`, run, platform, emptyEnvironment),
    location: locationOf(line, run.sources),
  });
}

/** Without a platform asked for, an image of the build platform is taken as such, another one as the target. */
function detectPlatform(config: ImageConfig, target: Platform, build: Platform): Platform {
  if (target.os === config.os && target.architecture === config.architecture) return target;
  return build.os === config.os && build.architecture === config.architecture ? build : target;
}
