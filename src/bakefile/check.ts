// Checks of resolved targets that need no build: sizes, limits, platforms, annotations, outputs, and whether the
// secrets and keys they name exist on this machine.
import { BakeError } from "../diagnostic/error.ts";
import type { Diagnostic } from "../diagnostic/diagnostic.ts";
import { parsePlatform } from "../oci/platform.ts";
import type { OutputEntry } from "./entry.ts";
import type { ResolvedBake, ResolvedTarget } from "./resolve.ts";

/** What a check may ask about the machine. */
export interface CheckHost {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What is at a path (relative to the working directory); undefined when nothing is. */
  readonly stat: (path: string) => "file" | "directory" | "socket" | undefined;
}

type Check = (target: ResolvedTarget, host: CheckHost) => void;

/** Every problem of every target; targets are in order of their names. */
export function checkTargets(resolved: ResolvedBake, host: CheckHost): readonly Diagnostic[] {
  const problems: Diagnostic[] = [];
  for (const [name, target] of [...resolved.targets].sort(([a], [b]) => (a < b ? -1 : 1))) {
    for (const check of CHECKS) {
      try {
        check(target, host);
      } catch (thrown) {
        if (!(thrown instanceof BakeError)) throw thrown;
        for (const { message, hint } of thrown.diagnostics) {
          const at = target.range && { range: target.range };
          problems.push({
            severity: "error",
            code: "bake-resolve",
            message: `target "${name}": ${message}`,
            ...at,
            ...(hint && { hint }),
          });
        }
      }
    }
  }
  return problems;
}

const CHECKS: readonly Check[] = [
  checkPaths,
  checkSizes,
  checkUlimits,
  checkPlatforms,
  checkAnnotations,
  checkSecrets,
  checkSsh,
  checkOutputs,
];

function problem(message: string, hint?: string): BakeError {
  return new BakeError("bake-resolve", message, { hint });
}

function checkPaths({ context, dockerfile }: ResolvedTarget): void {
  if (context === "-") throw problem("a context cannot come from standard input", "name a folder or a URL");
  if (dockerfile === "-")
    throw problem("a Dockerfile cannot come from standard input", 'use "dockerfile-inline"');
}

const SIZE = /^\d+(?:\.\d+)?\s?(?:[kmgtp]i?b?|b)?$/i;

function expectSize(name: string, text: string): void {
  if (!SIZE.test(text)) throw problem(`"${text}" is not a size, for "${name}"`, "sizes look like 64m or 2g");
}

function checkSizes({ shmSize, resources }: ResolvedTarget): void {
  if (shmSize) expectSize("shm-size", shmSize);
  if (resources?.memory) expectSize("resources.memory", resources.memory);
  const swap = resources?.["memory-swap"];
  if (swap && swap !== "-1") expectSize("resources.memory-swap", swap);
}

const LIMITS = new Set(
  "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split(
    " ",
  ),
);

function checkUlimits({ ulimits = [] }: ResolvedTarget): void {
  for (const limit of ulimits) {
    const match = /^([^=]+)=(-?\d+)(?::(-?\d+))?$/.exec(limit);
    if (match === null) throw problem(`"${limit}" is not a limit`, "limits look like nofile=1024:2048");
    const [, name = "", soft = "0", hard = soft] = match;
    if (!LIMITS.has(name)) throw problem(`unknown limit "${name}"`);
    if (Number(hard) !== -1 && (Number(soft) > Number(hard) || Number(soft) === -1)) {
      throw problem(`the soft limit of "${limit}" is above the hard limit`);
    }
  }
}

const ANY_HOST = { os: "linux", architecture: "amd64" } as const;

function checkPlatforms({ platforms = [] }: ResolvedTarget): void {
  for (const list of platforms)
    for (const platform of list.split(",")) if (platform !== "local") parsePlatform(platform, ANY_HOST);
}

const ANNOTATION_TYPES = ["index", "index-descriptor", "manifest", "manifest-descriptor"];

function checkAnnotations({ annotations = [] }: ResolvedTarget): void {
  for (const annotation of annotations) {
    const equals = annotation.indexOf("=");
    if (equals < 0)
      throw problem(
        `"${annotation}" is not an annotation`,
        "annotations look like key=value or index:key=value",
      );
    const key = annotation.slice(0, equals);
    const colon = key.indexOf(":");
    if (colon < 0) continue;
    for (const type of key.slice(0, colon).split(",")) {
      const match = /^([a-z-]+)(?:\[([A-Za-z0-9_/-]+)\])?$/.exec(type);
      if (match === null || !ANNOTATION_TYPES.includes(match[1] ?? "")) {
        throw problem(`unknown annotation type "${type}"`, `types are ${ANNOTATION_TYPES.join(", ")}`);
      }
      if (match[2] !== undefined) parsePlatform(match[2], ANY_HOST);
    }
  }
}

function checkSecrets({ secret = [] }: ResolvedTarget, { env, stat }: CheckHost): void {
  for (const { id, src, env: variable } of secret) {
    if (id === "") throw problem("a secret has no id");
    if (variable !== "" || (src === "" && env[id] !== undefined)) continue;
    const path = src === "" ? id : src;
    const found = stat(path);
    if (found === undefined) {
      throw problem(
        `the secret "${id}" needs the file "${path}", which does not exist`,
        src === "" ? "give it src or env" : undefined,
      );
    }
    if (found === "directory") throw problem(`the secret "${id}" is read from "${path}", which is a folder`);
  }
}

function checkSsh({ ssh = [] }: ResolvedTarget, { env, stat }: CheckHost): void {
  for (const { id, paths } of ssh) {
    if (paths.length === 0) {
      const socket = env["SSH_AUTH_SOCK"];
      if (!socket)
        throw problem(
          `ssh "${id}" needs an agent, but SSH_AUTH_SOCK is not set`,
          "start ssh-agent, or give the path of a key",
        );
      if (stat(socket) === undefined)
        throw problem(`ssh "${id}" needs the agent "${socket}", which does not exist`);
      continue;
    }
    let sockets = 0;
    for (const path of paths) {
      const found = stat(path);
      if (found === undefined) throw problem(`ssh "${id}" needs "${path}", which does not exist`);
      if (found === "socket") sockets++;
    }
    if (sockets > 0 && paths.length > 1) throw problem(`ssh "${id}" can use only one agent socket`);
  }
}

function writesFolder(output: OutputEntry): boolean {
  return output.type === "local" || (output.type === "oci" && output.attrs["tar"] === "false");
}

function checkOutputs({ output = [] }: ResolvedTarget, { stat }: CheckHost): void {
  let toStdout = 0;
  for (const one of output) {
    const { type, dest } = one;
    if (writesFolder(one)) {
      if (dest === undefined) throw problem(`the output "${type}" needs a dest`);
      if (dest === "-") throw problem(`the output "${type}" is a folder and cannot go to standard output`);
      if (stat(dest) === "file") throw problem(`the output folder "${dest}" is an existing file`);
      continue;
    }
    if (type === "docker" && dest === undefined) continue;
    if (type === "tar" || type === "oci" || type === "docker") {
      if (dest === "-" || dest === undefined) toStdout++;
      else if (stat(dest) === "directory") throw problem(`the output file "${dest}" is an existing folder`);
    }
  }
  if (toStdout > 1) throw problem("only one output can go to standard output");
}
