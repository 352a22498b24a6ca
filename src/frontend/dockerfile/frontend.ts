// The Dockerfile frontend (dockerfile.v0): finds and reads the file, then lowers it for every platform asked for.
import { BakeError } from "../../diagnostic/error.ts";
import { hasErrors } from "../../diagnostic/diagnostic.ts";
import { rangeOfLines, type Source } from "../../diagnostic/source.ts";
import { marshal } from "../../llb/marshal.ts";
import { copy } from "../../llb/builder/file.ts";
import { http, scratch, type State, stateFromDefinition } from "../../llb/state.ts";
import type { Frontend, FrontendHost, FrontendRequest, FrontendResult } from "../frontend.ts";
import { normalizePlatform } from "../../oci/platform.ts";
import { compileIgnore } from "../../pattern/ignore.ts";
import { gitContext, lazyLocal, sessionOf } from "./context.ts";
import { detectSyntax, findDirective, type SyntaxRequest } from "./directive.ts";
import { parseIgnoreFile } from "./dockerignore.ts";
import { parseGitReference } from "./gitref.ts";
import { type LintOptions, parseLintOptions } from "./lint.ts";
import { lowerFile } from "./lower.ts";
import { type DockerfileOptions, readOptions } from "./options.ts";
import { basePath } from "./ospath.ts";
import { parseDockerfile, type ParsedFile } from "./parse.ts";
import { readEpoch } from "./sourcedate.ts";
import { parseOptions, readStages } from "./stage.ts";
import { cut, parseGoBool, trimSpace } from "./text.ts";

const CONTEXT = "context";
const NEWLINE = 0x0a;
const DOCKERFILE = "dockerfile";
const DEFAULT_FILENAME = "Dockerfile";
const IGNORE_FILE = ".dockerignore";

export const frontend: Frontend = {
  async lower(request, host, signal): Promise<FrontendResult> {
    const given = readOptions(request.options, request.buildPlatform);
    const place = await findBuild(request, given, host, signal);
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(place.dockerfile);
    const source: Source = { name: place.filename, text };
    checkSyntax(syntaxRequest(request, text), source);
    const lint = given.lint ?? fileLint(source);
    const parsed = parseDockerfile(source, parseOptions);
    if (parsed.value === undefined || hasErrors(parsed.diagnostics))
      throw BakeError.ofDiagnostics(parsed.diagnostics);
    checkEncoding(parsed.value, place.dockerfile);
    const stages = readStages(parsed.value.lines);
    if (hasErrors(stages.diagnostics)) throw BakeError.ofDiagnostics(stages.diagnostics);
    const { options, globalArgs, epoch } = await readEpoch(given, stages.value, {
      ...{ request, host, signal },
      remote: place.remote,
    });
    const sourceInfo = { filename: place.filename, data: place.dockerfile, language: "Dockerfile" };
    const platforms = options.platforms.length === 0 ? [undefined] : options.platforms;
    const file = parsed.value;
    const images = [];
    for (const platform of platforms) {
      const lowered = await lowerFile({
        request,
        host,
        signal,
        options,
        file,
        stages: { ...stages.value, globalArgs },
        source: sourceInfo,
        lint,
        platform,
        mainContext: paths => place.remote ?? localContext(request, place.ignorePatterns, paths),
        ignorePatterns: place.remote === undefined ? place.ignorePatterns : [],
        epoch,
      });
      images.push({ platform: platform ?? normalizePlatform(request.buildPlatform), ...lowered });
    }
    return {
      images: images.map(({ platform, definition, config }) => ({ platform, definition, config })),
      // The others say the same again.
      warnings: images[0]?.warnings ?? [],
    };
  },
};

/** The other frontend a build asks for, by build arg or directive; undefined when `cmdline` says it was heard. */
export function syntaxRequest(request: FrontendRequest, text: string): SyntaxRequest | undefined {
  if (request.options["cmdline"] !== undefined) return undefined;
  const asked = request.options["build-arg:BUILDKIT_SYNTAX"];
  if (asked === undefined) return detectSyntax(text);
  const trimmed = trimSpace(asked);
  return { image: cut(trimmed, " ")?.[0] ?? trimmed, commandLine: asked, line: 0 };
}

/** Releases of the Dockerfile frontend are served by this one; it follows the newest. */
function checkSyntax(syntax: SyntaxRequest | undefined, source: Source): void {
  if (
    syntax === undefined ||
    /^(?:docker\.io\/)?docker\/dockerfile(?:-upstream)?(?:[:@].*)?$/.test(syntax.image)
  )
    return;
  throw new BakeError("frontend-unknown", `the frontend image "${syntax.image}" cannot be run`, {
    range: syntax.line > 0 ? rangeOfLines(source, syntax.line, syntax.line) : undefined,
    hint: "only docker/dockerfile is available",
  });
}

function fileLint(source: Source): LintOptions {
  const directive = findDirective(source.text, "check");
  const options = parseLintOptions(directive?.value ?? "");
  if (typeof options !== "string") return options;
  const line = directive?.line ?? 1;
  throw new BakeError("dockerfile-syntax", `the check directive is wrong: ${options}`, {
    range: rangeOfLines(source, line, line),
    reported: [],
    hint: "write for example check=skip=JSONArgsRecommended;error=true",
  });
}

/**
 * Bytes that are not UTF-8 may stand in comments, and become U+FFFD where words are expanded. In commands and heredocs
 * they would be lost without a word.
 */
function checkEncoding({ lines, source }: ParsedFile, bytes: Uint8Array): void {
  if (isUtf8(bytes)) return;
  for (const line of lines) {
    if (line.word.toLowerCase() !== "run" && line.heredocs.length === 0) continue;
    for (let number = line.startLine; number <= line.endLine; number++) {
      if (isUtf8(bytesOfLine(bytes, number))) continue;
      throw new BakeError("dockerfile-syntax", `line ${number} is not UTF-8`, {
        range: rangeOfLines(source, number, number),
        hint: "save the file as UTF-8",
      });
    }
  }
}

function bytesOfLine(bytes: Uint8Array, number: number): Uint8Array {
  let start = 0;
  for (let line = 1; line < number; line++) start = bytes.indexOf(NEWLINE, start) + 1;
  const end = bytes.indexOf(NEWLINE, start);
  return bytes.subarray(start, end < 0 ? bytes.length : end);
}

interface BuildPlace {
  readonly filename: string;
  readonly dockerfile: Uint8Array;
  /** The main context when it is not the local directory. */
  readonly remote: State | undefined;
  readonly ignorePatterns: readonly string[];
}

/** Reads a file of wherever the Dockerfile is. */
type ReadFile = (path: string) => Promise<Uint8Array | undefined>;

async function findBuild(
  request: FrontendRequest,
  options: DockerfileOptions,
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
  const dockerfile = await readDockerfile(
    read,
    filename,
    dockerfileInput === undefined ? localName : undefined,
  );
  const scoped = remote ?? inputState(request, CONTEXT);
  const subdir = request.options["contextsubdir"];
  const main =
    scoped !== undefined && subdir !== undefined
      ? scratch().file(copy(scoped, subdir, "/", { dirCopyContents: true }))
      : scoped;
  if (main !== undefined || isArchive) return { filename, dockerfile, remote: main, ignorePatterns: [] };
  const own = await read(`${filename}.dockerignore`);
  const ignore =
    own ??
    (await host.readLocal({ name: CONTEXT, sessionId: sessionOf(request, CONTEXT) }, IGNORE_FILE, {
      signal,
    }));
  const name = own === undefined ? IGNORE_FILE : `${filename}.dockerignore`;
  return {
    filename,
    dockerfile,
    remote: undefined,
    ignorePatterns: ignore === undefined ? [] : readIgnore(name, ignore),
  };
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** @throws BakeError "pattern-invalid" at the line that is wrong */
function readIgnore(name: string, bytes: Uint8Array): readonly string[] {
  const text = new TextDecoder().decode(bytes);
  const source: Source = { name, text };
  for (const index of text.split("\n").keys()) {
    const range = rangeOfLines(source, index + 1, index + 1);
    try {
      compileIgnore(parseIgnoreFile(new TextEncoder().encode(text.slice(range.start, range.end))));
    } catch (thrown) {
      throw thrown instanceof BakeError ? thrown.at(range) : thrown;
    }
  }
  return parseIgnoreFile(bytes);
}

async function readDockerfile(
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
function isArchiveData(bytes: Uint8Array): boolean {
  if (MAGICS.some(magic => magic.every((byte, index) => bytes[index] === byte))) return true;
  const { offset, text } = TAR_MAGIC;
  return new TextDecoder("latin1").decode(bytes.subarray(offset, offset + text.length)) === text;
}

function inputState(request: FrontendRequest, name: string): State | undefined {
  const input = Object.hasOwn(request.inputs, name) ? request.inputs[name] : undefined;
  return input === undefined ? undefined : stateFromDefinition(input.definition);
}

function localContext(
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
