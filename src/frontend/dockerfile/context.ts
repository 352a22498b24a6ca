// Where a build reads from: the main context and named contexts (`context:NAME` options).
import { BakeError } from "../../diagnostic/error.ts";
import type { FrontendHost, FrontendInput, FrontendRequest, IgnoreFile } from "../frontend.ts";
import { describeLocal, type LocalOptions } from "../../llb/builder/source.ts";
import { metadataFrom } from "../../llb/builder/vertex.ts";
import { encodeOp } from "../../llb/ops.ts";
import { joinPath } from "../../llb/path.ts";
import { git, http, image, ociLayout, scratch, type State, stateFromDefinition } from "../../llb/state.ts";
import { isDigest } from "../../oci/digest.ts";
import type { ImageConfig } from "../../oci/imageconfig.ts";
import { compareUtf8 } from "../../oci/json.ts";
import { normalizePlatform, type Platform } from "../../oci/platform.ts";
import { formatReference, parseReference, type Reference, withDefaultTag } from "../../oci/reference.ts";
import { readIgnoreFile } from "./dockerignore.ts";
import { parseGitReference } from "./gitref.ts";
import { draftFromConfig } from "./imageconfig.ts";
import type { LoadContext, LoadedContext } from "./model.ts";
import { formatFullPlatform } from "./platform.ts";
import { cut } from "./text.ts";

export interface ContextOptions {
  readonly request: FrontendRequest;
  readonly host: FrontendHost;
  readonly signal: AbortSignal;
  /** Collects the ignore files that were read. */
  readonly ignoreFiles?: IgnoreFile[];
}

/** The session that lends a local directory. */
export function sessionOf(request: FrontendRequest, name: string): string {
  return request.options[`local-sessionid:${name}`] ?? request.sessionId;
}

/**
 * A local directory whose paths are asked for when the op is encoded: only after all stages are lowered is it known
 * what they read.
 */
export function lazyLocal(
  name: string,
  options: Omit<LocalOptions, "followPaths">,
  paths: () => ReadonlySet<string>,
): State {
  const describe = () => describeLocal(name, { ...options, followPaths: followPathsOf(paths()) });
  const vertex = {
    children: [],
    get metadata() {
      return metadataFrom(options, describe().caps);
    },
    encode: () => {
      const { identifier, attrs } = describe();
      return encodeOp({
        kind: "source",
        inputs: [],
        constraints: { filter: [] },
        spec: { identifier, attrs },
      });
    },
  };
  return scratch().withOutput({ vertex, index: 0 });
}

/** Paths relative to the directory, sorted; none once the whole directory is read. */
function followPathsOf(paths: ReadonlySet<string>): readonly string[] {
  if (paths.has("/")) return [];
  return [...paths].map(path => joinPath(".", path.replace(/^\/+/, ""))).sort(compareUtf8);
}

/** Finds the named context for a stage or image name; undefined when none is given. @throws BakeError */
export function findContext(
  name: string,
  platform: Platform,
  options: ContextOptions,
): LoadContext | undefined {
  if (/^(?:scratch|context)$/i.test(name)) return undefined;
  const short = shortName(name);
  const qualified = `${short}::${formatFullPlatform(normalizePlatform(platform))}`;
  for (const key of [qualified, short]) {
    const value = options.request.options[`context:${key}`];
    if (value !== undefined) return (wanted, paths) => loadContext(key, value, wanted, paths, options);
  }
  return undefined;
}

/** A reference as people write it: without Docker Hub's defaults and without `:latest`. */
function shortName(name: string): string {
  let reference: Reference;
  try {
    reference = parseReference(name);
  } catch (thrown) {
    throw new BakeError("dockerfile-lower", `"${name}" cannot be the name of an image or context`, {
      cause: thrown,
    });
  }
  const { registry, repository, tag, digest } = reference;
  const path =
    registry !== "docker.io" ? `${registry}/${repository}` : repository.replace(/^library\/(?=[^/]+$)/, "");
  const version = (tag === undefined ? "" : `:${tag}`) + (digest === undefined ? "" : `@${digest}`);
  return (path + version).replace(/:latest$/, "");
}

type Loader = (source: ContextSource) => Promise<LoadedContext>;

interface ContextSource extends ContextOptions {
  /** The option's name after `context:`. */
  readonly key: string;
  readonly value: string;
  /** `value` after its scheme. */
  readonly rest: string;
  readonly platform: Platform | undefined;
  readonly paths: () => ReadonlySet<string>;
}

const LOADERS: ReadonlyMap<string, Loader> = new Map<string, Loader>([
  ["docker-image", loadImage],
  ["local", loadLocal],
  ["input", loadInput],
  ["http", loadRemote],
  ["https", loadRemote],
  ["git", loadRemote],
  ["ssh", loadRemote],
  ["oci-layout", loadOciLayout],
  [
    "target",
    ({ key, rest }) =>
      Promise.reject(
        new BakeError(
          "not-supported",
          `the named context "${key}" is target "${rest}", which is known to bake files only`,
          { hint: "build it through a bake file" },
        ),
      ),
  ],
]);

function loadContext(
  key: string,
  value: string,
  platform: Platform | undefined,
  paths: () => ReadonlySet<string>,
  options: ContextOptions,
): Promise<LoadedContext> {
  const parts = cut(value, ":");
  if (parts === undefined)
    throw new BakeError("usage", `the named context "${key}" is "${value}", which has no scheme`, {
      hint: "write for example docker-image://alpine",
    });
  const scheme = parts[0].startsWith("git@") ? "git" : parts[0];
  const loader = LOADERS.get(scheme);
  if (loader === undefined) {
    throw new BakeError("usage", `the named context "${key}" has the unknown scheme "${scheme}"`, {
      hint: `known: ${[...LOADERS.keys()].join(", ")}`,
    });
  }
  return loader({ ...options, key, value, rest: parts[1], platform, paths });
}

async function loadImage({
  key,
  rest,
  platform,
  host,
  signal,
  request,
}: ContextSource): Promise<LoadedContext> {
  const name = rest.replace(/^\/\//, "");
  if (name === "scratch") return { state: scratch(), draft: undefined };
  const reference = formatReference(withDefaultTag(parseReference(name)));
  const { config } = await host.resolveImageConfig(reference, {
    platform: platform ?? request.buildPlatform,
    signal,
  });
  const state = image(reference, { customName: `[context ${key}] ${name}`, ...(platform && { platform }) });
  return { state: state.withImageConfig(config), draft: draftFromConfig(config) };
}

/** `oci-layout://STORE@DIGEST`: the op is named after the context, not after the store. */
async function loadOciLayout({
  key,
  rest,
  platform,
  host,
  signal,
  request,
}: ContextSource): Promise<LoadedContext> {
  const value = rest.replace(/^\/\//, "");
  const at = value.lastIndexOf("@");
  const digest = value.slice(at + 1);
  if (at < 0 || !isDigest(digest)) {
    throw new BakeError("usage", `the named context "${key}" is an OCI layout without a digest`, {
      hint: "write oci-layout://STORE@sha256:…",
    });
  }
  const storeId = value.slice(0, at).replace(/:[^:/]*$/, "");
  const { registry, repository } = parseReference(key.replace(/::.*$/, ""));
  const reference = formatReference({ registry, repository, digest });
  const { config } = await host.resolveImageConfig(reference, {
    platform: platform ?? request.buildPlatform,
    signal,
    layout: { name: storeId, sessionId: request.sessionId },
  });
  const state = ociLayout(reference, {
    sessionId: request.sessionId,
    storeId,
    customName: `[context ${key}] OCI load from client`,
    ...(platform && { platform }),
  });
  return { state: state.withImageConfig(config), draft: draftFromConfig(config) };
}

async function loadLocal({
  key,
  rest: name,
  paths,
  host,
  signal,
  request,
  ignoreFiles,
}: ContextSource): Promise<LoadedContext> {
  const sessionId = sessionOf(request, name);
  const bytes = await host.readLocal({ name, sessionId }, ".dockerignore", { signal });
  const ignore = bytes === undefined ? [] : readIgnoreFile(".dockerignore", bytes);
  ignoreFiles?.push({ local: { name, sessionId }, lines: ignore });
  const excludePatterns = ignore.map(({ pattern }) => pattern);
  const sharedKey = request.options[`sharedkey:localdir:${key}`] ?? "";
  const customName = `[context ${key}] load from client`;
  const state = lazyLocal(
    name,
    { sessionId, excludePatterns, customName, sharedKeyHint: `context:${key}-${sharedKey}` },
    paths,
  );
  return { state, draft: undefined };
}

function loadInput({ key, rest, platform, request }: ContextSource): Promise<LoadedContext> {
  const input = findInput(request, rest, platform);
  if (input === undefined)
    throw new BakeError("usage", `the named context "${key}" is input "${rest}", which was not given`);
  const state = stateFromDefinition(input.definition);
  const config = input.config ?? configOfMetadata(request.options[`input-metadata:${rest}`]);
  if (config === undefined) return Promise.resolve({ state, draft: undefined });
  return Promise.resolve({ state: state.withImageConfig(config), draft: draftFromConfig(config) });
}

/** An input by its key, or by its key and the platform wanted. */
function findInput(
  request: FrontendRequest,
  key: string,
  platform: Platform | undefined,
): FrontendInput | undefined {
  const wanted = formatFullPlatform(normalizePlatform(platform ?? request.buildPlatform));
  return request.inputs[key] ?? request.inputs[`${key}::${wanted}`];
}

/** The image config among the metadata of an input: a JSON object of base64 values. */
function configOfMetadata(metadata: string | undefined): ImageConfig | undefined {
  if (metadata === undefined) return undefined;
  const values = parseJson(metadata, "the metadata of an input");
  const encoded =
    typeof values === "object" && values !== null && "containerimage.config" in values
      ? values["containerimage.config"]
      : undefined;
  if (typeof encoded !== "string") return undefined;
  // Written by the frontend of another target, with the shape of an image config.
  return parseJson(
    Buffer.from(encoded, "base64").toString("utf8"),
    "the image config of an input",
  ) as ImageConfig;
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (thrown) {
    throw new BakeError("usage", `${what} is not JSON`, { cause: thrown });
  }
}

function loadRemote({ key, value }: ContextSource): Promise<LoadedContext> {
  const repository = parseGitReference(value);
  const state =
    repository === undefined
      ? http(value, { filename: "context", customName: `[context ${key}] ${value}` })
      : gitContext(value);
  return Promise.resolve({ state, draft: undefined });
}

/** A git repository as a context. `keepGitDir` and `mtime` are what the build asks for beside the address. */
export function gitContext(
  value: string,
  { keepGitDir = false, mtime = "" }: { readonly keepGitDir?: boolean; readonly mtime?: string } = {},
): State {
  const repository = parseGitReference(value);
  if (repository === undefined) throw new BakeError("usage", `"${value}" is not a git repository`);
  const { remote, ref, subdir, checksum, submodules, fetchByCommit } = repository;
  return git(remote, {
    customName: `[internal] load git source ${value}`,
    ref,
    ...((keepGitDir || repository.keepGitDir === true) && { keepGitDir: true }),
    ...(subdir !== "" && { subdir }),
    ...(checksum !== "" && { checksum }),
    ...(submodules === false && { skipSubmodules: true }),
    ...((repository.mtime || mtime) && { mtime: repository.mtime || mtime }),
    ...(fetchByCommit && { fetchByCommit: true }),
  });
}
