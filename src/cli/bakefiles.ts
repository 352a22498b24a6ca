// Which bake files a run reads, and reading them.
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { bakeFileNames, discoverBakeFiles } from "../bakefile/discover.ts";
import { BakeError } from "../diagnostic/error.ts";
import type { Source } from "../diagnostic/source.ts";
import { didYouMean } from "../diagnostic/suggest.ts";
import { readWhole } from "../system/readwhole.ts";
import type { Environment } from "./environment.ts";

/** Reads the files named with `-f`, else those BUILDX_BAKE_FILE names, else those found in the working directory. */
export async function readBakeFiles(
  named: readonly string[],
  environment: Environment,
): Promise<readonly Source[]> {
  const names = bakeFileList(named, environment);
  return Promise.all(names.map(name => readBakeFile(name, environment)));
}

/** The named files beside a remote definition: `cwd://` ones are local, the others lie at the URL. */
export function splitBakeFiles(
  named: readonly string[],
  environment: Environment,
): { readonly remote: readonly string[]; readonly local: readonly string[] } {
  const names = explicitNames(named, environment);
  const isLocal = (name: string): boolean => name.startsWith("cwd://");
  return { remote: names.filter(name => !isLocal(name)), local: names.filter(isLocal) };
}

/** The absolute paths a watcher looks at: the files themselves, or every name that would be found. */
export function watchedBakeFiles(named: readonly string[], environment: Environment): readonly string[] {
  const explicit = explicitNames(named, environment);
  const names = explicit.length > 0 ? explicit.filter(name => name !== "-") : bakeFileNames;
  return names.map(name => resolve(environment.cwd, withoutScheme(name)));
}

function explicitNames(named: readonly string[], { env }: Environment): readonly string[] {
  if (named.length > 0) return named;
  const separator = env["BUILDX_BAKE_PATH_SEPARATOR"] || ":";
  const names = (env["BUILDX_BAKE_FILE"] ?? "").split(separator).map(name => name.trim());
  return names.filter(name => name !== "");
}

function bakeFileList(named: readonly string[], environment: Environment): readonly string[] {
  const explicit = explicitNames(named, environment);
  if (explicit.length > 0) return explicit;
  const found = discoverBakeFiles(new Set(readdirSync(environment.cwd)));
  if (found.length > 0) return found;
  throw new BakeError("file-missing", "there is no bake file in this folder", {
    hint: `create a docker-bake.hcl, or name a file with -f`,
  });
}

async function readBakeFile(name: string, environment: Environment): Promise<Source> {
  const bytes = name === "-" ? await readAll(environment.stdin) : await readNamed(name, environment);
  return { name, text: decodeText(name, bytes) };
}

/** @throws BakeError that points at the first byte that is not UTF-8 */
function decodeText(name: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
    const start = validPrefix(bytes).length;
    const range = { source: { name, text }, start, end: start + 1 };
    throw new BakeError("bake-syntax", `"${name}" is not UTF-8 text`, {
      range,
      hint: "save the file as UTF-8",
      cause,
    });
  }
}

/** The text before the first byte that is not UTF-8, by bisection. */
function validPrefix(bytes: Uint8Array): string {
  let text = "";
  let low = 0;
  for (let high = bytes.length; low < high;) {
    const middle = (low + high + 1) >> 1;
    try {
      const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
      // A character that is not complete yet is no mistake.
      text = decoder.decode(bytes.subarray(0, middle), { stream: true });
      low = middle;
    } catch {
      high = middle - 1;
    }
  }
  return text;
}

async function readNamed(name: string, { cwd }: Environment): Promise<Uint8Array> {
  const path = resolve(cwd, withoutScheme(name));
  try {
    return await readWhole(path);
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    if (code === "EISDIR")
      throw new BakeError("file-missing", `the bake file "${name}" is a folder`, {
        hint: "name a file in it",
        cause,
      });
    if (code !== "ENOENT" && code !== "ENOTDIR")
      throw new BakeError("file-missing", `the bake file "${name}" cannot be read`, { cause });
    throw new BakeError("file-missing", `there is no bake file "${name}"`, {
      hint: nearestFile(path),
      cause,
    });
  }
}

/** A file that a definition refers to; undefined when there is none. @throws BakeError when it cannot be read */
export function readIfPresent(path: string, { cwd }: Environment): string | undefined {
  try {
    return decodeText(path, readFileSync(resolve(cwd, path)));
  } catch (cause) {
    if (cause instanceof BakeError) throw cause;
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR" || code === "EISDIR") return undefined;
    throw new BakeError("file-denied", `"${path}" cannot be read`, { cause });
  }
}

function nearestFile(path: string): string | undefined {
  try {
    return didYouMean(basename(path), readdirSync(dirname(path)));
  } catch {
    // The folder is missing too: there is nothing to suggest.
    return undefined;
  }
}

/** `cwd://x` is `x`: the form that names a local file even beside a remote definition. */
function withoutScheme(name: string): string {
  return name.startsWith("cwd://") ? name.slice("cwd://".length) : name;
}

/** Everything a stream has to give. */
export async function readAll(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(Buffer.isBuffer(piece) ? piece : Buffer.from(String(piece)));
  return Buffer.concat(pieces);
}
