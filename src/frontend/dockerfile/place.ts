// Where a build file and its main context are: a local directory, a git repository, a download, or the result of
// another build. For every frontend whose builds have a context, as Dockerfiles do (BuildKit, frontend/dockerui).
import { BakeError } from "../../diagnostic/error.ts";
import { marshal } from "../../llb/marshal.ts";
import { copy } from "../../llb/builder/file.ts";
import { http, scratch, type State, stateFromDefinition } from "../../llb/state.ts";
import type { FrontendHost, FrontendRequest } from "../frontend.ts";
import { gitContext, lazyLocal, sessionOf } from "./context.ts";
import { type IgnoreLine, readIgnoreFile } from "./dockerignore.ts";
import { parseGitReference } from "./gitref.ts";
import type { DockerfileOptions } from "./options.ts";
import { basePath } from "./ospath.ts";
import { parseGoBool } from "./text.ts";

const CONTEXT = "context";
const DOCKERFILE = "dockerfile";
const DEFAULT_FILENAME = "Dockerfile";
const IGNORE_FILE = ".dockerignore";

/** What a build starts from. */
export interface BuildPlace {
  readonly filename: string;
  /** The bytes of the build file. */
  readonly dockerfile: Uint8Array;
  /** Where further files may be read from: that of the build file first, then the main context. */
  readonly folders: readonly Folder[];
  /** The main context when it is not the local directory. */
  readonly remote: State | undefined;
  /** The lines of the ignore file of a local main context. */
  readonly ignore: readonly IgnoreLine[];
}

/** A directory as far as its files can be read while a build is described. */
export interface Folder {
  /** For messages: `the build context`. */
  readonly name: string;
  readonly read: ReadFile;
}

/** Reads a file; undefined when there is none. */
type ReadFile = (path: string) => Promise<Uint8Array | undefined>;

/**
 * Finds and reads the build file, and says where the main context is.
 * @throws BakeError "file-missing", "pattern-invalid"
 */
export async function findBuild(
  request: FrontendRequest,
  options: Pick<DockerfileOptions, "filename">,
  host: FrontendHost,
  signal: AbortSignal,
): Promise<BuildPlace> {
  const { remote, isArchive, filename: remoteFilename } = await remoteContext(request, host, signal);
  const localName = request.options["dockerfilekey"] ?? DOCKERFILE;
  const forceLocal = request.options["dockerfilekey"] !== undefined;
  const filename = remoteFilename ?? options.filename;
  const dockerfileInput = forceLocal ? undefined : (remote ?? inputState(request, localName));
  const platform = request.buildPlatform;
  const read: ReadFile =
    dockerfileInput === undefined
      ? path =>
          host.readLocal({ name: localName, sessionId: sessionOf(request, localName) }, path, { signal })
      : path => host.readSolved(marshal(dockerfileInput, { platform }), path, { signal });
  const dockerfile = await readBuildFile(
    read,
    filename,
    dockerfileInput === undefined ? localName : undefined,
  );
  const readContext: ReadFile = path =>
    host.readLocal({ name: CONTEXT, sessionId: sessionOf(request, CONTEXT) }, path, { signal });
  const isLocal = dockerfileInput === undefined;
  const own: Folder = { name: isLocal ? "its folder" : "the remote context", read };
  const folders = isLocal ? [own, { name: "the build context", read: readContext }] : [own];
  const scoped = remote ?? inputState(request, CONTEXT);
  const subdir = request.options["contextsubdir"];
  const main =
    scoped !== undefined && subdir !== undefined
      ? scratch().file(copy(scoped, subdir, "/", { dirCopyContents: true }))
      : scoped;
  if (main !== undefined || isArchive)
    return { filename, dockerfile, folders: [own], remote: main, ignore: [] };
  const ownIgnore = await read(`${filename}.dockerignore`);
  const ignore = ownIgnore ?? (await readContext(IGNORE_FILE));
  const name = ownIgnore === undefined ? IGNORE_FILE : `${filename}.dockerignore`;
  return {
    filename,
    dockerfile,
    folders,
    remote: undefined,
    ignore: ignore === undefined ? [] : readIgnoreFile(name, ignore),
  };
}

/** The local main context; `paths` gives what the build reads of it. */
export function localContext(
  request: FrontendRequest,
  excludePatterns: readonly string[],
  paths: () => ReadonlySet<string>,
): State {
  const options = {
    sessionId: sessionOf(request, CONTEXT),
    excludePatterns,
    sharedKeyHint: CONTEXT,
    customName: "[internal] load build context",
  };
  return lazyLocal(CONTEXT, options, paths);
}

async function readBuildFile(
  read: ReadFile,
  filename: string,
  local: string | undefined,
): Promise<Uint8Array> {
  const found = await read(filename);
  if (found !== undefined) return found;
  const lower =
    basePath(filename) === DEFAULT_FILENAME ? filename.replace(/Dockerfile$/, "dockerfile") : undefined;
  const second = lower === undefined ? undefined : await read(lower);
  if (second !== undefined) return second;
  const where = local === undefined ? "in the remote context" : `in the local directory "${local}"`;
  throw new BakeError("file-missing", `there is no file "${filename}" ${where}`, {
    hint: "create it, or name another one by `dockerfile`",
  });
}

/** A git or http main context. */
async function remoteContext(
  request: FrontendRequest,
  host: FrontendHost,
  signal: AbortSignal,
): Promise<{ readonly remote: State | undefined; readonly isArchive: boolean; readonly filename?: string }> {
  const { options } = request;
  const address = options[options["contextkey"] ?? CONTEXT] ?? "";
  if (parseGitReference(address) !== undefined) {
    const keepGitDir = parseGoBool(options["build-arg:BUILDKIT_CONTEXT_KEEP_GIT_DIR"] ?? "") === true;
    const mtime = (options["build-arg:SOURCE_DATE_EPOCH"] ?? "") === "" ? "" : "commit";
    return { remote: gitContext(address, { keepGitDir, mtime }), isArchive: false };
  }
  if (!/^https?:\/\//.test(address)) return { remote: undefined, isArchive: false };
  const file = http(address, { filename: CONTEXT, customName: "[internal] load remote build context" });
  const bytes = await host.readSolved(marshal(file, { platform: request.buildPlatform }), CONTEXT, {
    signal,
  });
  if (bytes === undefined) throw new BakeError("file-missing", `the context "${address}" is empty`);
  if (!isArchiveData(bytes)) return { remote: file, isArchive: false, filename: CONTEXT };
  return { remote: scratch().file(copy(file, `/${CONTEXT}`, "/", { attemptUnpack: true })), isArchive: true };
}

const MAGICS = [
  [0x42, 0x5a, 0x68],
  [0x1f, 0x8b, 0x08],
  [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00],
];
const TAR_MAGIC = { offset: 257, text: "ustar" };

/** Whether bytes are a tar archive, perhaps compressed by bzip2, gzip or xz. */
export function isArchiveData(bytes: Uint8Array): boolean {
  if (MAGICS.some(magic => magic.every((byte, index) => bytes[index] === byte))) return true;
  const { offset, text } = TAR_MAGIC;
  return new TextDecoder("latin1").decode(bytes.subarray(offset, offset + text.length)) === text;
}

function inputState(request: FrontendRequest, name: string): State | undefined {
  const input = Object.hasOwn(request.inputs, name) ? request.inputs[name] : undefined;
  return input === undefined ? undefined : stateFromDefinition(input.definition);
}
