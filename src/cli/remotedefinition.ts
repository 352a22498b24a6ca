// Bake files at a URL: `bake URL [CONTEXT-URL] TARGET…`. The URL is solved like any other source, and the files are
// read from the result: by the names given with -f, or those discovery looks for (buildx: bake/remote.go).
import { bakeFileNames, discoverBakeFiles } from "../bakefile/discover.ts";
import type { RemoteTree } from "../bakefile/remote.ts";
import { BakeError } from "../diagnostic/error.ts";
import type { Source } from "../diagnostic/source.ts";
import { didYouMean } from "../diagnostic/suggest.ts";
import type { ReadSolved } from "../engine/engine.ts";
import { gitContext } from "../frontend/dockerfile/context.ts";
import { parseGitReference } from "../frontend/dockerfile/gitref.ts";
import { isArchiveData } from "../frontend/dockerfile/place.ts";
import { copy } from "../llb/builder/file.ts";
import { marshal } from "../llb/marshal.ts";
import { http, scratch, type State } from "../llb/state.ts";
import { chooseProgressMode, createRenderer, type ProgressMode } from "../progress/choose.ts";
import type { Emit } from "../progress/event.ts";
import { redactUrl } from "../registry/transport.ts";
import type { Session } from "../session/session.ts";
import { createCredentials } from "./credentials.ts";
import { createEngine, type EngineFlags } from "./engine.ts";
import type { Environment } from "./environment.ts";
import { hostPlatform } from "./hostplatform.ts";
import { definitionSecrets } from "./remotearguments.ts";

export interface RemoteFiles {
  readonly sources: readonly Source[];
  /** What relative contexts are in; undefined when the URL is a single file. */
  readonly tree: RemoteTree | undefined;
  /** A file beside the bake files, for what they refer to. */
  readonly readFile: (path: string) => string | undefined;
}

/** A bake file is no larger. */
const MAX_FILE_BYTES = 2 * 1024 * 1024;
const FILE = "context";

/**
 * Reads bake files from a URL and gives what `use` makes of them; the files beside them can be read that long.
 * @param names what was asked for by name; empty means discovery
 * @throws BakeError of the source, "file-missing" when there are no such files
 */
export async function readRemoteFiles<T>(
  url: string,
  names: readonly string[],
  {
    flags,
    environment,
    signal,
  }: {
    readonly flags: EngineFlags & { readonly progress?: string };
    readonly environment: Environment;
    readonly signal: AbortSignal;
  },
  use: (files: RemoteFiles) => T | Promise<T>,
): Promise<T> {
  const platform = hostPlatform(environment);
  const mode = chooseProgressMode(
    flags.progress ?? environment.env["BUILDKIT_PROGRESS"] ?? "",
    environment.stderr,
  );
  await using engine = await createEngine(flags, environment);
  const session: Session = {
    localDir: () => undefined,
    secret: id => Promise.resolve(definitionSecret(id, url, environment.env)),
    credentials: createCredentials(environment),
    environment: { ...environment.env, ...sshEnvironment(environment.env["BUILDX_BAKE_GIT_SSH"] ?? "") },
  };
  const read = <R>(state: State, fn: (read: ReadSolved) => Promise<R> | R): Promise<R> =>
    withProgress(mode, environment, emit =>
      engine.read(marshal(state, { platform }), { session, emit, signal }, fn),
    );
  const fromTree = (state: State, tree: RemoteTree): Promise<T> =>
    read(state, async file => {
      const text = (path: string): string | undefined => {
        const bytes = file(path);
        return bytes === undefined ? undefined : decode(path, bytes);
      };
      return use({ sources: chooseFiles(names, text, url), tree, readFile: text });
    });

  if (parseGitReference(url) !== undefined) return await fromTree(gitContext(url), { url, kind: "git" });
  const download = http(url, { filename: FILE, customName: `[internal] load bake file ${redactUrl(url)}` });
  const bytes = (await read(download, file => file(FILE))) ?? new Uint8Array();
  if (isArchiveData(bytes)) {
    const unpacked = scratch().file(copy(download, `/${FILE}`, "/", { attemptUnpack: true }));
    return await fromTree(unpacked, { url, kind: "archive" });
  }
  if (bytes.length > MAX_FILE_BYTES) {
    throw new BakeError(
      "bake-syntax",
      `"${redactUrl(url)}" is neither an archive nor a bake file: it is larger than 2 MB`,
    );
  }
  const source = { name: url, text: decode(redactUrl(url), bytes) };
  return await use({ sources: [source], tree: undefined, readFile: () => undefined });
}

/** A repository can take a while, which is shown. */
async function withProgress<R>(
  mode: ProgressMode,
  { stderr, color }: Environment,
  run: (emit: Emit) => Promise<R>,
): Promise<R> {
  const renderer = await createRenderer(mode, stderr, { color });
  try {
    return await run(renderer.emit);
  } finally {
    await renderer.close();
  }
}

function chooseFiles(
  names: readonly string[],
  read: (path: string) => string | undefined,
  url: string,
): readonly Source[] {
  const present = (name: string): boolean => read(name) !== undefined;
  const chosen = names.length > 0 ? names : discoverBakeFiles(new Set(bakeFileNames.filter(present)));
  if (chosen.length === 0) {
    throw new BakeError("file-missing", `there is no bake file in "${redact(url)}"`, {
      hint: "name one with -f, as -f ci/docker-bake.hcl; a file of this machine with -f cwd://NAME",
    });
  }
  return chosen.map(name => {
    const text = read(name);
    if (text !== undefined) return { name, text };
    throw new BakeError("file-missing", `there is no bake file "${name}" in "${redact(url)}"`, {
      hint:
        didYouMean(name, bakeFileNames.filter(present)) ??
        `a file of this machine is named by -f cwd://${name}`,
    });
  });
}

function decode(name: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new BakeError("bake-syntax", `"${name}" is not UTF-8 text`, { cause });
  }
}

function redact(url: string): string {
  return url.replace(/^(\w+:\/\/)[^/@]*@/, "$1");
}

function definitionSecret(
  id: string,
  url: string,
  env: Readonly<Record<string, string>>,
): Uint8Array | undefined {
  const found = definitionSecrets(url, url, env).find(secret => secret.id === id);
  return found && Buffer.from(env[found.env] ?? "");
}

/** BUILDX_BAKE_GIT_SSH names an agent's socket, or a key. */
function sshEnvironment(text: string): Readonly<Record<string, string>> {
  const [path = ""] = text.split(",");
  if (path === "") return {};
  return /\.(?:sock|agent)|agent\.\d+$/.test(path)
    ? { SSH_AUTH_SOCK: path }
    : { GIT_SSH_COMMAND: `ssh -i '${path.replaceAll("'", `'\\''`)}'` };
}
