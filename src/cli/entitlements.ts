// `--allow`: what the user grants to targets beyond the default. What they ask for without a grant is asked about on
// a terminal, and refused elsewhere with the flags that would grant it (buildx: bake/entitlements.go).
import { createInterface } from "node:readline/promises";
import { parseBoolText } from "../bakefile/csv.ts";
import type { Grants } from "../bakefile/grants.ts";
import { type Entitlements, missingEntitlements } from "../build/entitlements.ts";
import type { BuildTarget } from "../build/target.ts";
import { BakeError } from "../diagnostic/error.ts";
import { didYouMean } from "../diagnostic/suggest.ts";
import { isTerminal } from "../progress/renderer.ts";
import type { Environment } from "./environment.ts";
import { relative, resolve } from "node:path";

const PLAIN = ["network.host", "security.insecure", "ssh", "buildx.local.delete", "device"];
const WITH_VALUE = ["device", "fs", "fs.read", "fs.write", "image", "image.push", "image.load"];

/** @throws BakeError "usage" for an unknown entitlement */
export function checkEntitlements(allow: readonly string[]): void {
  for (const entry of allow) {
    const equals = entry.indexOf("=");
    const key = equals < 0 ? entry : entry.slice(0, equals);
    if ((equals < 0 ? PLAIN : WITH_VALUE).includes(key)) continue;
    if (WITH_VALUE.includes(key))
      throw new BakeError("usage", `--allow ${key} needs a value`, {
        hint: `for example --allow ${key}=${key.startsWith("fs") ? "/path" : "name"}`,
      });
    if (PLAIN.includes(key)) throw new BakeError("usage", `--allow ${key} takes no value`);
    const known = [...new Set([...PLAIN, ...WITH_VALUE])];
    throw new BakeError("usage", `unknown entitlement key "${key}"`, {
      hint: didYouMean(key, known) ?? `one of ${known.join(", ")}`,
    });
  }
}

/** What is granted: the working directory, the flags, and what `--set` names. */
export function grantedEntitlements(allow: readonly string[], grants: Grants, cwd: string): Entitlements {
  const values = (...keys: readonly string[]): readonly string[] =>
    allow.flatMap(entry => {
      const equals = entry.indexOf("=");
      return equals >= 0 && keys.includes(entry.slice(0, equals)) ? [entry.slice(equals + 1)] : [];
    });
  const paths = (list: readonly string[]): readonly string[] => [
    cwd,
    ...list.map(path => (path === "*" ? path : resolve(cwd, path))),
  ];
  const given = new Set([...allow, ...grants.entitlements]);
  return {
    networkHost: given.has("network.host"),
    securityInsecure: given.has("security.insecure"),
    ssh: given.has("ssh"),
    localDelete: given.has("buildx.local.delete"),
    devices: new Set([
      ...(allow.includes("device") ? ["*"] : []),
      ...values("device").map(device => device.split(",")[0] || "*"),
    ]),
    reads: paths([...values("fs", "fs.read"), ...grants.reads]),
    writes: paths([...values("fs", "fs.write"), ...grants.writes]),
  };
}

export interface EntitlementRequest {
  readonly targets: readonly BuildTarget[];
  readonly allow: readonly string[];
  /** What `--set` names. */
  readonly grants: Grants;
  /** Where the bake files came from; undefined when they are local. */
  readonly url: string | undefined;
  /** Never ask; for programs that read the output. */
  readonly silent: boolean;
  /** Awaited before the user is asked, who is to be asked once. */
  readonly beforeAsking?: () => Promise<void>;
}

interface Need {
  /** What happens, for people. */
  readonly what: string;
  /** Behind `--allow=`. */
  readonly flag: string;
  /** Whether BUILDX_BAKE_ENTITLEMENTS_FS is about it. */
  readonly ofFileSystem: boolean;
}

/**
 * Returns when everything that the targets ask for is granted, by flags or by the user's word.
 * @throws BakeError "entitlement-missing" with the flags that grant it
 */
export async function expectEntitlements(
  { targets, allow, grants, url, silent, beforeAsking }: EntitlementRequest,
  environment: Environment,
  signal: AbortSignal,
): Promise<void> {
  const { cwd, env } = environment;
  const granted = grantedEntitlements(allow, grants, cwd);
  const needs = needsOf(missingEntitlements(targets, granted, { cwd, env, url }), cwd);
  if (needs.length === 0) return;
  if (needs.every(need => need.ofFileSystem) && !checksFileSystem(env, url !== undefined)) return;
  const flags = needs.map(({ flag }) => `--allow=${quoted(flag)}`).join(" ");
  const list = needs.map(({ what }) => what);
  if (!silent && isTerminal(environment.stdin) && isTerminal(environment.stderr)) {
    await beforeAsking?.();
    environment.stderr.write(
      `The build asks for more than a bake file may do by itself:\n${list.map(what => `  - ${what}\n`).join("")}` +
        `To be asked no more, add ${flags}\n`,
    );
    if (await confirm(environment, signal)) return;
  }
  throw new BakeError("entitlement-missing", `the build asks for what was not granted: ${list.join("; ")}`, {
    hint: `if you trust the bake file, add ${flags}`,
  });
}

function needsOf(missing: Entitlements, cwd: string): readonly Need[] {
  const path = (value: string): string => {
    const way = relative(cwd, value);
    return way === ""
      ? "."
      : /^\.\.\/\.\./.test(way)
        ? value
        : way.startsWith("..") || way.length < value.length
          ? way
          : value;
  };
  const need = (what: string, flag: string, ofFileSystem = false): Need => ({ what, flag, ofFileSystem });
  const both = missing.reads.filter(value => missing.writes.includes(value));
  return [
    ...(missing.networkHost ? [need("steps in the host's network", "network.host")] : []),
    ...(missing.securityInsecure
      ? [need("privileged steps, which can change this machine", "security.insecure")]
      : []),
    ...[...missing.devices].map(name =>
      name === "*" ? need("use of devices", "device") : need(`use of the device "${name}"`, `device=${name}`),
    ),
    ...(missing.localDelete ? [need("deleting files in output folders", "buildx.local.delete")] : []),
    ...(missing.ssh ? [need("use of the ssh agent", "ssh", true)] : []),
    ...both.map(value => need(`reading and writing "${path(value)}"`, `fs=${path(value)}`, true)),
    ...missing.reads
      .filter(value => !both.includes(value))
      .map(value => need(`reading "${path(value)}"`, `fs.read=${path(value)}`, true)),
    ...missing.writes
      .filter(value => !both.includes(value))
      .map(value => need(`writing "${path(value)}"`, `fs.write=${path(value)}`, true)),
  ];
}

/** @throws BakeError "usage" for a switch that is neither true nor false */
function checksFileSystem(env: Environment["env"], isRemote: boolean): boolean {
  const read = (name: string): boolean | undefined => {
    const text = env[name];
    if (text === undefined) return undefined;
    const value = parseBoolText(text);
    if (value === undefined) throw new BakeError("usage", `${name} is neither true nor false: "${text}"`);
    return value;
  };
  const allowed = isRemote ? read("BAKE_ALLOW_REMOTE_FS_ACCESS") : undefined;
  return read("BUILDX_BAKE_ENTITLEMENTS_FS") ?? allowed !== true;
}

/** Safe to paste into a shell. */
function quoted(text: string): string {
  return /^[\w./=@:+,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

async function confirm({ stdin, stderr }: Environment, signal: AbortSignal): Promise<boolean> {
  // Not a terminal interface: Ctrl-C stays a signal, which ends the program as everywhere else.
  const lines = createInterface({ input: stdin, output: stderr, terminal: false });
  try {
    const closed = new Promise<string>(settle => lines.once("close", () => settle("")));
    const answer = await Promise.race([lines.question("Continue? [y/N] ", { signal }), closed]);
    signal.throwIfAborted();
    return /^y(?:es)?$/i.test(answer.trim());
  } finally {
    lines.close();
    stdin.pause();
  }
}
