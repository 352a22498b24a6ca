// One image of a Mockerfile, and those it builds on, to a state and an image config for one platform.
import { BakeError } from "../../diagnostic/error.ts";
import { positionAt, type Range } from "../../diagnostic/source.ts";
import { didYouMean } from "../../diagnostic/suggest.ts";
import type { SourceInfo } from "../../llb/definition.ts";
import type { VertexOptions } from "../../llb/builder/vertex.ts";
import { image as imageState, scratch, type State } from "../../llb/state.ts";
import { formatReference, parseReference, withDefaultTag } from "../../oci/reference.ts";
import type { Platform } from "../../oci/platform.ts";
import { type ContextOptions, findContext } from "../dockerfile/context.ts";
import {
  copyDraft,
  draftFromConfig,
  emptyDraft,
  type ImageDraft,
  setEnv,
} from "../dockerfile/imageconfig.ts";
import type { DockerfileOptions } from "../dockerfile/options.ts";
import { managers } from "./install.ts";
import type { MockImage, Text } from "./read.ts";

export interface LowerOptions extends ContextOptions {
  readonly images: readonly MockImage[];
  readonly options: DockerfileOptions;
  readonly platform: Platform;
  /** The main context. */
  readonly context: State;
  readonly source: SourceInfo;
}

/** The file system of an image, and its config in the making. */
export interface Built {
  readonly state: State;
  readonly draft: ImageDraft;
}

/** @throws BakeError with a range in the Mockerfile */
export async function lowerImage(image: MockImage, run: LowerOptions): Promise<Built> {
  const base = await located(image.from.range, () => loadBase(image, run));
  const draft = copyDraft(base.draft);
  for (const [name, value] of image.env) setEnv(draft, name, value);
  if (image.cmd.length > 0) draft.cmd = image.cmd;
  const state = withSettings(base.state, draft, run);
  if (image.package === undefined) return { state, draft };
  const { manager, install, from, range } = image.package;
  const names = install.map(({ value }) => value);
  const archives = from === undefined ? run.context : (await loadContext(from, run)).state;
  const title = `install ${names.join(" ")}`;
  const step = stepOptions(`[${image.name.value}] ${title}`, range, run);
  const installed = managers[manager]?.(state, { names, archives, step });
  if (installed === undefined) throw new BakeError("internal", `BUG: no package manager "${manager}"`);
  draft.history.push({ created_by: title, comment: "llbake.mockerfile" });
  return { state: installed, draft };
}

async function loadBase(image: MockImage, run: LowerOptions): Promise<Built> {
  const { images, platform, host, signal } = run;
  const { value, range } = image.from;
  // Only images above: nothing can build on itself.
  const above = images.slice(0, images.indexOf(image)).find(({ name }) => name.value === value);
  if (above !== undefined) return lowerImage(above, run);
  if (value === "scratch") return { state: scratch(), draft: emptyDraft(platform) };
  if (findContext(value, platform, run) !== undefined) return loadContext(image.from, run);
  const reference = withDefaultTag(parseReference(value));
  const found = await host
    .resolveImageConfig(formatReference(reference), { platform, signal })
    .catch((thrown: unknown) => {
      const error = BakeError.from(thrown);
      const names = images.map(({ name }) => name.value);
      const hint = didYouMean(value, names) ?? error.diagnostics[0]?.hint;
      throw new BakeError(error.code, error.message, { hint, cause: error });
    });
  const pinned = formatReference({ ...reference, digest: found.digest });
  const step = stepOptions(`[${image.name.value}] from ${value}`, range, run);
  return { state: imageState(pinned, { ...step, platform }), draft: draftFromConfig(found.config) };
}

async function loadContext({ value, range }: Text, run: LowerOptions): Promise<Built> {
  return located(range, async () => {
    const load = findContext(value, run.platform, run);
    if (load === undefined)
      throw new BakeError("buildfile-invalid", `there is no context "${value}"`, {
        hint: `give it as contexts = { ${value} = "…" } of the target`,
      });
    // All of it is asked for: what an archive holds is not known yet.
    const { state, draft } = await load(run.platform, () => new Set(["/"]));
    return { state, draft: draft ?? emptyDraft(run.platform) };
  });
}

/** The environment commands run in: that of the image config. */
function withSettings(state: State, draft: ImageDraft, { platform, options }: LowerOptions): State {
  let settled = state
    .platform(platform)
    .network(options.network)
    .dir(draft.workdir || "/");
  if (draft.user !== "") settled = settled.user(draft.user);
  for (const entry of draft.env) {
    const at = entry.indexOf("=");
    settled = settled.addEnv(entry.slice(0, at), entry.slice(at + 1));
  }
  return settled;
}

function stepOptions(customName: string, range: Range, { source, options }: LowerOptions): VertexOptions {
  const startLine = positionAt(range.source, range.start).line;
  const endLine = positionAt(range.source, Math.max(range.start, range.end - 1)).line;
  return {
    customName,
    location: { source, ranges: [{ startLine, endLine }] },
    ...(options.noCache === "all" && { ignoreCache: true }),
  };
}

/** Errors without a place get this one. */
async function located<T>(range: Range, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (thrown) {
    throw thrown instanceof BakeError ? thrown.at(range) : thrown;
  }
}
