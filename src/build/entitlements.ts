// What targets ask for beyond what a bake file may do without being asked (buildx: bake.EntitlementConf): the host's
// network, privileged steps, the ssh agent, and paths outside the folders that were granted.
import { lstatSync, readlinkSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { isRemote } from "../bakefile/path.ts";
import type { BuildTarget } from "./target.ts";

/** What the user grants, or what is missing. Paths are absolute; "*" among them stands for any. */
export interface Entitlements {
  readonly networkHost: boolean;
  readonly securityInsecure: boolean;
  readonly ssh: boolean;
  /** Local outputs may remove files that the build did not make. */
  readonly localDelete: boolean;
  /** Names of devices; "*" stands for any. */
  readonly devices: ReadonlySet<string>;
  readonly reads: readonly string[];
  readonly writes: readonly string[];
}

/** What the targets ask for and `granted` does not hold. Relative paths start from `cwd`. */
export function missingEntitlements(
  targets: readonly BuildTarget[],
  granted: Entitlements,
  {
    cwd,
    env,
    url = "",
  }: {
    readonly cwd: string;
    readonly env: Readonly<Record<string, string>>;
    /** Where the bake files came from. */
    readonly url?: string | undefined;
  },
): Entitlements {
  const devices = new Set<string>();
  let [networkHost, securityInsecure, ssh, localDelete] = [false, false, false, false];
  const resolvedPath = createPathResolver();
  // By resolved path, with the path as it was given.
  const reads = new Map<string, string>();
  const writes = new Map<string, string>();
  for (const target of targets) {
    for (const entitlement of target.entitlements) {
      networkHost ||= entitlement === "network.host";
      securityInsecure ||= entitlement === "security.insecure";
      const [, device] = /^device(?:=([^,]*).*)?$/.exec(entitlement) ?? [undefined, undefined];
      if (/^device(?:=|$)/.test(entitlement)) devices.add(device || "*");
    }
    for (const output of target.outputs)
      localDelete ||= output.type === "local" && output.attrs["mode"] === "delete";
    ssh ||=
      target.ssh.some(({ paths }) => paths.length === 0) ||
      (target.ssh.length === 0 && isGitSsh(target.context)) ||
      isGitSsh(url);
    for (const path of readPaths(target, env).map(path => resolve(cwd, path)))
      reads.set(resolvedPath(path), path);
    for (const path of writePaths(target).map(path => resolve(cwd, path)))
      writes.set(resolvedPath(path), path);
  }
  const anyDevice = granted.devices.has("*");
  return {
    networkHost: networkHost && !granted.networkHost,
    securityInsecure: securityInsecure && !granted.securityInsecure,
    ssh: ssh && !granted.ssh,
    localDelete: localDelete && !granted.localDelete,
    devices: new Set([...devices].filter(name => !anyDevice && !granted.devices.has(name))),
    reads: uncovered(reads, granted.reads, resolvedPath),
    writes: uncovered(writes, granted.writes, resolvedPath),
  };
}

function isGitSsh(context: string): boolean {
  return /^ssh:\/\//.test(context) || /^[\w.-]+@[\w.-]+:/.test(context);
}

function readPaths(target: BuildTarget, env: Readonly<Record<string, string>>): readonly string[] {
  const paths: string[] = [];
  const isLocal = !isRemote(target.context);
  const context = withoutScheme(target.context);
  if (isLocal) paths.push(context);
  const { dockerfile } = target;
  if (dockerfile.startsWith("cwd://")) paths.push(withoutScheme(dockerfile));
  else if (!isRemote(dockerfile) && (isLocal || dockerfile.startsWith("/")))
    paths.push(dockerfile.startsWith("/") ? dockerfile : join(context, dockerfile));
  for (const path of Object.values(target.contexts))
    if (!isRemote(path) && !/^(?:target:|docker-image:|oci-layout:)/.test(path))
      paths.push(withoutScheme(path));
  for (const { id, src, env: variable } of target.secrets) {
    if (src !== undefined) paths.push(src);
    // A secret with nothing but an id is the file of that name when there is no such variable.
    else if (variable === undefined && !Object.hasOwn(env, id)) paths.push(id);
  }
  for (const { paths: keys } of target.ssh) paths.push(...keys);
  return [...paths, ...target.localCaches.reads];
}

function writePaths({ outputs, localCaches }: BuildTarget): readonly string[] {
  const kinds = new Set(["local", "tar", "oci", "docker"]);
  const dests = outputs.flatMap(({ type, dest = "" }) =>
    kinds.has(type) && dest !== "" && dest !== "-" ? [dest] : [],
  );
  return [...dests, ...localCaches.writes];
}

function withoutScheme(path: string): string {
  return path.startsWith("cwd://") ? path.slice("cwd://".length) || "." : path;
}

/** Paths that are in no granted folder, without those below another one; sorted. */
function uncovered(
  paths: ReadonlyMap<string, string>,
  granted: readonly string[],
  resolvedPath: (path: string) => string,
): readonly string[] {
  if (granted.includes("*")) return [];
  const folders = granted.map(resolvedPath);
  const missing = [...paths.keys()].filter(path => !folders.some(folder => isWithin(path, folder))).sort();
  const outermost = missing.filter(path => !missing.some(other => other !== path && isWithin(path, other)));
  return outermost.map(path => paths.get(path) ?? path);
}

/** Both are absolute and normal. */
function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === "/" ? folder : `${folder}/`);
}

/** More links than this in one path are a circle. */
const MAX_LINKS = 255;

/**
 * Gives a path with every link on it followed, as far as it exists; granting a link must not grant what it is changed
 * to. Of several paths each folder above is looked at once.
 */
function createPathResolver(): (path: string) => string {
  const known = new Map<string, string>();
  let links = 0;
  const walk = (text: string): string => {
    const above = dirname(text);
    if (above === text) return text;
    const before = known.get(text);
    if (before !== undefined) return before;
    const parent = walk(above);
    const here = `${parent === "/" ? "" : parent}/${text.slice(above === "/" ? 1 : above.length + 1)}`;
    const stat = lstatSync(here, { throwIfNoEntry: false });
    const found =
      stat?.isSymbolicLink() !== true || ++links > MAX_LINKS
        ? here
        : walk(resolve(dirname(here), readlinkSync(here)));
    known.set(text, found);
    return found;
  };
  return path => {
    links = 0;
    try {
      return walk(path);
    } catch {
      // Not to be seen by this user: the build will say so.
      return path;
    }
  };
}
