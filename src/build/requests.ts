// From resolved targets to what the engine solves: one request per target, the links among them, and the directories,
// files and secrets the build lends. The mapping is buildx's (bake.toBuildOpt, build.toSolveOpt, build.loadInputs).
import { readdirSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { isRemote } from "../bakefile/path.ts";
import type { Diagnostic } from "../diagnostic/diagnostic.ts";
import { BakeError } from "../diagnostic/error.ts";
import { didYouMean } from "../diagnostic/suggest.ts";
import type { CallRequest, FrontendWork, SolveRequest } from "../engine/engine.ts";
import { requestsNeededBy } from "../engine/links.ts";
import { formatPlatform, type Platform } from "../oci/platform.ts";
import { archiveFolder } from "./archivefolder.ts";
import { createLocalDirs, type LocalDirs, sessionIdOf } from "./localdirs.ts";
import { frontendOptions, platformsOf } from "./options.ts";
import { findLayoutImage } from "./ocilayout.ts";
import { checkStdout, exportsFromTarget } from "./outputs.ts";
import type { Lending } from "./lent.ts";
import type { BuildTarget } from "./target.ts";

export interface BuildFacts {
  /** Directory that relative paths of the bake file start from. Absolute. */
  readonly cwd: string;
  /** The platform steps run on without emulation. */
  readonly platform: Platform;
  readonly stdoutIsTerminal: boolean;
  /** What the user grants to all targets. */
  readonly allow?: readonly string[];
  /** The cgroup below which the steps of all targets have theirs. */
  readonly cgroupParent?: string | undefined;
}

export interface BuildPlan {
  readonly requests: readonly SolveRequest[];
  /** Questions asked instead of building: `call` in a bake file, `--call`, `--check`. */
  readonly calls: readonly PlannedCall[];
  /** Every target as a request, for the links of calls. */
  readonly linkable: readonly SolveRequest[];
  readonly locals: LocalDirs;
  /** Secrets and ssh agents, by target. */
  readonly lendings: readonly Lending[];
  readonly warnings: readonly Diagnostic[];
  /** What a change of which asks for a new build: directories and single files, absolute. */
  readonly inputs: readonly WatchedInput[];
}

export interface PlannedCall extends CallRequest {
  /** The Dockerfile as the user would name it. */
  readonly dockerfile: string;
}

export type WatchedInput =
  /** A build context; `dockerfile` is the absolute path of the Dockerfile, whose own ignore file comes first. */
  | { readonly kind: "context"; readonly path: string; readonly dockerfile?: string }
  | { readonly kind: "file"; readonly path: string };

/** @throws BakeError when a target cannot be built as described */
export function requestsFromTargets(targets: readonly BuildTarget[], facts: BuildFacts): BuildPlan {
  const locals = createLocalDirs();
  const byName = new Map(targets.map(target => [target.name, target]));
  const inputs: WatchedInput[] = [];
  const calls: PlannedCall[] = [];
  const all = targets.map((target): SolveRequest => {
    const method = callMethodOf(target);
    const lent = lendInputs(target, byName, { ...facts, locals, inputs });
    const work: FrontendWork = {
      tag: "frontend",
      frontend: "dockerfile.v0",
      request: {
        options: {
          ...frontendOptions(target, facts.platform),
          ...(facts.cgroupParent && { "cgroup-parent": facts.cgroupParent }),
          ...lent.options,
        },
        sessionId: lent.sessionId,
        buildPlatform: facts.platform,
      },
      links: lent.links,
      ...(Object.keys(lent.inputs).length > 0 && { inputs: lent.inputs }),
    };
    if (method !== undefined)
      calls.push({ name: target.name, method, work, dockerfile: dockerfileName(target, facts) });
    return {
      name: target.name,
      work,
      exports: method === undefined ? exportsFromTarget(target, facts) : [],
      entitlements: [...target.entitlements, ...(facts.allow ?? [])],
      ...(target.noCache
        ? { noCache: true }
        : target.noCacheFilter.length > 0 && { noCache: target.noCacheFilter }),
    };
  });
  const called = new Set(calls.map(({ name }) => name));
  const built = targets.filter(({ name }) => !called.has(name));
  const requests = requestsNeededBy(
    built.map(({ name }) => name),
    all,
  );
  checkStdout(requests);
  return {
    requests,
    calls,
    linkable: all,
    locals,
    lendings: targets.map(target => lendingOf(target, facts.cwd)),
    warnings: warningsOf(built),
    inputs,
  };
}

const CALLS: Readonly<Record<string, CallRequest["method"] | undefined>> = {
  "": undefined,
  build: undefined,
  check: "lint",
  lint: "lint",
  outline: "outline",
  targets: "targets",
  "subrequests.describe": "subrequests.describe",
};

/** What a target asks its frontend instead of building; undefined to build. @throws BakeError "not-supported" */
function callMethodOf({ name, call }: BuildTarget): CallRequest["method"] | undefined {
  const [method = ""] = call.split(",");
  if (Object.hasOwn(CALLS, method)) return CALLS[method];
  const known = ["build", "check", "outline", "targets", "subrequests.describe"];
  throw new BakeError("not-supported", `target "${name}": unknown call "${method}"`, {
    hint: didYouMean(method, known) ?? `one of ${known.join(", ")}`,
  });
}

function dockerfileName({ context, dockerfile, dockerfileInline }: BuildTarget, { cwd }: BuildFacts): string {
  if (dockerfileInline !== undefined) return "inline";
  if (dockerfile.startsWith("cwd://") || isRemote(context)) return withoutCwd(dockerfile);
  return relative(cwd, resolve(cwd, withoutCwd(context), dockerfile)) || dockerfile;
}

interface Lent {
  readonly options: Readonly<Record<string, string>>;
  readonly links: Readonly<Record<string, string>>;
  readonly inputs: NonNullable<FrontendWork["inputs"]>;
  readonly sessionId: string;
}

interface LendContext extends BuildFacts {
  readonly locals: LocalDirs;
  readonly inputs: WatchedInput[];
}

function lendInputs(target: BuildTarget, byName: ReadonlyMap<string, BuildTarget>, lend: LendContext): Lent {
  const options: Record<string, string> = {};
  const links: Record<string, string> = {};
  const inputs: Record<string, NonNullable<FrontendWork["inputs"]>[string]> = {};
  let sessionId: string;
  if (isRemote(target.context)) {
    const folder = archiveFolder(target.context, lend.platform);
    if (folder === undefined) options["context"] = target.context;
    else Object.assign(inputs, { context: folder, dockerfile: folder });
    options["filename"] = target.dockerfile;
    sessionId = sessionIdOf("files", target.context);
    if (target.dockerfileInline !== undefined) lendInline(target.dockerfileInline, options, lend);
    else if (target.dockerfile.startsWith("/") || target.dockerfile.startsWith("cwd://"))
      lendDockerfile(target, resolve(lend.cwd, withoutCwd(target.dockerfile)), options, lend);
  } else {
    const dir = existingDir(
      target,
      "build context",
      resolve(lend.cwd, withoutCwd(target.context)),
      target.context,
    );
    sessionId = lend.locals.addDir("context", dir);
    options["local-sessionid:context"] = sessionId;
    if (target.dockerfileInline !== undefined) {
      lend.inputs.push({ kind: "context", path: dir });
      lendInline(target.dockerfileInline, options, lend);
    } else {
      const path = target.dockerfile.startsWith("cwd://")
        ? resolve(lend.cwd, withoutCwd(target.dockerfile))
        : resolve(dir, target.dockerfile);
      const dockerfile = lendDockerfile(target, path, options, lend);
      lend.inputs.push({ kind: "context", path: dir, dockerfile });
    }
  }
  for (const [name, value] of Object.entries(target.contexts)) {
    const key = `context:${name}`;
    const archive = archiveFolder(value, lend.platform);
    const linked = value.startsWith("target:") ? byName.get(value.slice("target:".length)) : undefined;
    if (value.startsWith("target:")) {
      if (linked === undefined)
        throw new BakeError(
          "bake-resolve",
          `target "${target.name}" links to unknown target "${value.slice("target:".length)}"`,
        );
      links[value] = linked.name;
      const platforms = platformsOf(linked, lend.platform);
      if (platforms.length < 2) options[key] = `input:${value}`;
      else
        for (const platform of platforms)
          options[`${key}::${formatPlatform(platform)}`] = `input:${value}::${formatPlatform(platform)}`;
    } else if (archive !== undefined) {
      inputs[value] = archive;
      options[key] = `input:${value}`;
    } else if (isRemote(value) || value.startsWith("docker-image://")) {
      options[key] = value;
    } else if (value.startsWith("oci-layout://")) {
      const image = findLayoutImage(value, lend.cwd, `target "${target.name}", context "${name}"`);
      options[key] = `oci-layout://${lend.locals.addLayout(image.folder)}@${image.digest}`;
      lend.inputs.push({ kind: "file", path: join(image.folder, "index.json") });
    } else {
      const dir = existingDir(target, `context "${name}"`, resolve(lend.cwd, withoutCwd(value)), value);
      // The names of the two folders every build has stay theirs.
      const local = name === "context" || name === "dockerfile" ? `_${name}` : name;
      options[key] = `local:${local}`;
      options[`local-sessionid:${local}`] = lend.locals.addDir(local, dir);
      lend.inputs.push({ kind: "context", path: dir });
    }
  }
  return { options, links, inputs, sessionId };
}

function lendInline(text: string, options: Record<string, string>, { locals }: LendContext): void {
  options["filename"] = "Dockerfile";
  options["dockerfilekey"] = "dockerfile";
  options["local-sessionid:dockerfile"] = locals.addFiles(
    "dockerfile",
    new Map([["Dockerfile", Buffer.from(text)]]),
  );
}

function lendDockerfile(
  target: BuildTarget,
  path: string,
  options: Record<string, string>,
  { locals, inputs }: LendContext,
): string {
  if (/^https?:\/\//.test(target.dockerfile)) {
    throw new BakeError("not-supported", `target "${target.name}": the Dockerfile is at a URL`, {
      hint: "download it, or use dockerfile-inline",
    });
  }
  const dir = existingDir(target, "the Dockerfile's folder", dirname(path), target.dockerfile);
  const names = readdirSync(dir);
  let file = basename(path);
  // Long-standing habit of the docker clients: a lower-case "dockerfile" will do.
  if (file === "Dockerfile" && !names.includes(file) && names.includes("dockerfile")) file = "dockerfile";
  if (!names.includes(file)) {
    const near =
      didYouMean(file, names) ??
      names.filter(name => /dockerfile/i.test(name)).map(name => `there is "${name}"`)[0];
    throw new BakeError(
      "file-missing",
      `target "${target.name}": there is no Dockerfile "${target.dockerfile}" in "${target.context}"`,
      {
        hint: near ?? `create it, or set "dockerfile" or "dockerfile-inline"`,
      },
    );
  }
  options["filename"] = file;
  options["dockerfilekey"] = "dockerfile";
  options["local-sessionid:dockerfile"] = locals.addDir("dockerfile", dir);
  inputs.push(
    { kind: "file", path: join(dir, file) },
    { kind: "file", path: join(dir, `${file}.dockerignore`) },
  );
  return join(dir, file);
}

function existingDir(target: BuildTarget, what: string, path: string, text: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.isDirectory() === true) return realpathSync(path);
  let near: string | undefined;
  try {
    near = didYouMean(basename(path), readdirSync(dirname(path)));
  } catch {
    // The folder above is missing too: there is nothing to suggest.
  }
  const problem = stat === undefined ? "does not exist" : "is not a folder";
  throw new BakeError("file-missing", `target "${target.name}": ${what} "${text}" ${problem}`, {
    hint: near,
  });
}

function withoutCwd(path: string): string {
  return path.startsWith("cwd://") ? path.slice("cwd://".length) || "." : path;
}

function lendingOf({ name, secrets, ssh }: BuildTarget, cwd: string): Lending {
  return {
    target: name,
    secrets: secrets.map(({ src, ...rest }) => ({
      ...rest,
      ...(src !== undefined && { src: resolve(cwd, src) }),
    })),
    ssh: ssh.map(({ id, paths }) => ({ id, paths: paths.map(path => resolve(cwd, path)) })),
  };
}

function warningsOf(targets: readonly BuildTarget[]): readonly Diagnostic[] {
  const quoted = (names: readonly string[]): string => names.map(name => `"${name}"`).join(", ");
  const warnings: Diagnostic[] = [];
  const idle = targets
    .filter(target => !target.linked && target.outputs.length === 0)
    .map(target => target.name);
  if (idle.length > 0) {
    const whose =
      idle.length === targets.length
        ? ""
        : ` for ${idle.length === 1 ? "target" : "targets"} ${quoted(idle)}`;
    warnings.push({
      severity: "warning",
      code: "usage",
      message: `no output specified${whose}: the result stays in the build cache only`,
      hint: "use --push to push the image into a registry, or --set *.output=type=oci,dest=image.tar to write it to a file",
    });
  }
  const missing = new Map<string, string[]>();
  for (const target of targets)
    for (const kind of target.unavailable) missing.set(kind, [...(missing.get(kind) ?? []), target.name]);
  for (const [kind, names] of missing) {
    warnings.push({
      severity: "warning",
      code: "not-supported",
      message: `${kind} of ${quoted(names)} is not available yet and has no effect`,
    });
  }
  return warnings;
}
