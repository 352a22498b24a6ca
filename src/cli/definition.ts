// From flags to the targets of a run: bake files read and evaluated, overrides applied, everything checked that can be
// told without building.
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { isRemote } from "../bakefile/path.ts";
import { loadComposeLanguage } from "../bakefile/compose/language.ts";
import { type BakeDocument, loadBakeFiles, mayBeCompose } from "../bakefile/load.ts";
import { parseBoolText } from "../bakefile/csv.ts";
import { parsePolicy } from "../bakefile/entry.ts";
import { remoteContext, remoteNamedContext, type RemoteTree } from "../bakefile/remote.ts";
import { type ResolvedBake, resolveTargets } from "../bakefile/resolve.ts";
import { checkTarget } from "../build/check.ts";
import { type BuildTarget, buildTarget } from "../build/target.ts";
import type { Diagnosed, Diagnostic } from "../diagnostic/diagnostic.ts";
import { BakeError } from "../diagnostic/error.ts";
import type { Source } from "../diagnostic/source.ts";
import { isTerminal } from "../progress/renderer.ts";
import type { BakeFlags } from "./flags.ts";
import { readBakeFiles, readIfPresent, splitBakeFiles } from "./bakefiles.ts";
import { callFromFlags } from "./callflag.ts";
import { checkEntitlements } from "./entitlements.ts";
import type { CommandContext } from "./command.ts";
import type { Environment } from "./environment.ts";
import { hostPlatform } from "./hostplatform.ts";
import { bakeArguments, definitionSecrets } from "./remotearguments.ts";

export interface Definition {
  readonly resolved: ResolvedBake;
  readonly targets: readonly BuildTarget[];
  /** Where the bake files came from; undefined when they are local. */
  readonly url: string | undefined;
  /** Local files that were read besides the bake files: imported, included, with variables. Absolute paths. */
  readonly files: readonly string[];
  readonly warnings: readonly Diagnostic[];
}

export type DefinitionFlags = Partial<BakeFlags> & Pick<BakeFlags, "file" | "set" | "var" | "allow">;

/** The evaluated bake files. @throws BakeError with every problem found */
export async function loadDocument(
  words: readonly string[],
  flags: DefinitionFlags,
  { environment, signal }: CommandContext,
): Promise<LoadedDocument> {
  const { url, commandContext, targets } = bakeArguments(words);
  const load = async (
    files: readonly Source[],
    readFile: (path: string) => string | undefined,
    tree: RemoteTree | undefined,
  ): Promise<LoadedDocument> => ({
    ...(await evaluateFiles(files, { flags, environment, commandContext, readFile })),
    targets,
    url,
    tree,
  });
  if (url === undefined)
    return load(
      await readBakeFiles(flags.file, environment),
      path => readIfPresent(path, environment),
      undefined,
    );
  const { readRemoteFiles } = await import("./remotedefinition.ts");
  const { remote, local } = splitBakeFiles(flags.file, environment);
  return readRemoteFiles(url, remote, { flags, environment, signal }, async ({ sources, readFile, tree }) =>
    load(
      [...sources, ...(local.length === 0 ? [] : await readBakeFiles(local, environment))],
      path =>
        path.startsWith("cwd://") ? readIfPresent(path.slice("cwd://".length), environment) : readFile(path),
      tree,
    ),
  );
}

export interface LoadedDocument {
  readonly document: BakeDocument;
  readonly warnings: readonly Diagnostic[];
  /** The words that name targets. */
  readonly targets: readonly string[];
  /** Where the bake files came from; undefined when they are local. */
  readonly url: string | undefined;
  /** What relative contexts are in; undefined for local folders. */
  readonly tree: RemoteTree | undefined;
}

interface Evaluation {
  readonly flags: DefinitionFlags;
  readonly environment: Environment;
  readonly commandContext: string;
  readonly readFile: (path: string) => string | undefined;
}

async function evaluateFiles(
  files: readonly Source[],
  { flags, environment, commandContext, readFile }: Evaluation,
): Promise<Pick<LoadedDocument, "document" | "warnings">> {
  const loaded = loadBakeFiles({
    files,
    compose: files.some(mayBeCompose) ? await loadComposeLanguage() : undefined,
    readFile,
    commandContext,
    env: environment.env,
    vars: flags.var,
    hostPlatform: hostPlatform(environment),
    now: () => new Date(),
    randomBytes: () => randomBytes(16),
  });
  return { document: expectValue(loaded), warnings: loaded.diagnostics };
}

/** The targets of a run. @throws BakeError with every problem found */
export async function loadDefinition(
  words: readonly string[],
  flags: DefinitionFlags,
  context: CommandContext,
): Promise<Definition> {
  const { environment } = context;
  checkEntitlements(flags.allow);
  const policies = policyOverrides(flags.policy ?? []);
  const overrides = [...flags.set, ...overridesFromFlags(flags), ...policies.overrides];
  const { document, warnings, targets: names, url, tree } = await loadDocument(words, flags, context);
  const resolution = resolveTargets(document, {
    targets: names,
    overrides,
    ...(tree !== undefined && { contextOf: text => remoteContext(text, tree) }),
  });
  const resolved = policies.disabled ? withoutPolicies(expectValue(resolution)) : expectValue(resolution);
  const local = [...resolved.targets.values()].map(buildTarget);
  const targets = tree === undefined ? local : local.map(target => onRemote(target, tree, environment));
  const facts = {
    cwd: environment.cwd,
    env: environment.env,
    stdoutIsTerminal: isTerminal(environment.stdout),
    platform: hostPlatform(environment),
  };
  for (const target of targets) checkTarget(target, facts);
  const files = url === undefined ? document.files.map(file => resolve(environment.cwd, file)) : [];
  return { resolved, targets, url, files, warnings: [...warnings, ...resolution.diagnostics] };
}

/** A target of a bake file with files around it at a URL. @throws BakeError "not-supported" */
function onRemote(target: BuildTarget, tree: RemoteTree, { cwd, env }: Environment): BuildTarget {
  const { name, context, dockerfile, dockerfileInline } = target;
  const contexts = Object.fromEntries(
    Object.entries(target.contexts).map(([key, value]) => [key, remoteNamedContext(value, tree)]),
  );
  // The Dockerfile that is meant lies in the repository; one of the same name here must not be taken for it.
  const isAmbiguous = !isRemote(context) && !isRemote(dockerfile) && !dockerfile.startsWith("cwd://");
  if (isAmbiguous && dockerfileInline === undefined && existsSync(resolve(cwd, context, dockerfile))) {
    throw new BakeError(
      "not-supported",
      `target "${name}" has a local context, and its Dockerfile "${dockerfile}" would come from the URL`,
      { hint: `write cwd://${dockerfile} to read the local one, or use a context of the URL` },
    );
  }
  const secrets = isRemote(context) ? definitionSecrets(tree.url, context, env) : [];
  return { ...target, contexts, secrets: [...target.secrets, ...secrets] };
}

function expectValue<T>({ value, diagnostics }: Diagnosed<T>): T {
  if (value === undefined || diagnostics.some(({ severity }) => severity === "error"))
    throw BakeError.ofDiagnostics(diagnostics);
  return value;
}

/** The overrides that other flags stand for; they follow the user's own, so a flag beats a `--set` of the same key. */
function overridesFromFlags(flags: DefinitionFlags): readonly string[] {
  const call = callFromFlags(flags).method;
  return [
    ...(flags.push === true ? ["*.push=true"] : []),
    ...(flags.load === true ? ["*.load=true"] : []),
    ...(call === "" ? [] : [`*.call=${call}`]),
    ...(flags.noCache === undefined ? [] : [`*.no-cache=${flags.noCache}`]),
    ...(flags.pull === undefined ? [] : [`*.pull=${flags.pull}`]),
    ...(flags.sbom ? [`*.attest=${attestation("sbom", flags.sbom)}`] : []),
    ...(flags.provenance ? [`*.attest=${attestation("provenance", flags.provenance)}`] : []),
  ];
}

function attestation(type: string, value: string): string {
  const enabled = parseBoolText(value);
  return enabled === undefined ? `type=${type},${value}` : `type=${type},disabled=${!enabled}`;
}

interface PolicyFlags {
  readonly overrides: readonly string[];
  /** Every target's policy is off. */
  readonly disabled: boolean;
}

/** @throws BakeError "usage" for what only a bake file may say */
function policyOverrides(flags: readonly string[]): PolicyFlags {
  const entries = flags.map(parsePolicy);
  if (entries.some(({ files, reset }) => files.length > 0 || reset)) {
    throw new BakeError("usage", "--policy takes no filename and no reset", {
      hint: "policies are composed in the bake file",
    });
  }
  const disabled = entries.some(entry => entry.disabled);
  if (
    disabled &&
    (entries.length > 1 ||
      entries.some(({ strict, logLevel }) => strict !== undefined || logLevel !== undefined))
  ) {
    throw new BakeError("usage", "--policy disabled=true stands alone", {
      hint: "leave the other policy options out",
    });
  }
  return { overrides: disabled ? [] : flags.map(flag => `*.policy+=${flag}`), disabled };
}

function withoutPolicies(resolved: ResolvedBake): ResolvedBake {
  const policy = [{ files: [], reset: false, disabled: true, strict: undefined, logLevel: undefined }];
  return {
    ...resolved,
    targets: new Map([...resolved.targets].map(([name, target]) => [name, { ...target, policy }])),
  };
}
