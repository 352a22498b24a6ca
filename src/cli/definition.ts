// From flags to the targets of a run: bake files read and evaluated, overrides applied, everything checked that can be
// told without building.
import { randomBytes } from "node:crypto";
import { isRemote } from "../bakefile/path.ts";
import { loadComposeLanguage } from "../bakefile/compose/language.ts";
import { type BakeDocument, loadBakeFiles, mayBeCompose } from "../bakefile/load.ts";
import { parseBoolText } from "../bakefile/csv.ts";
import { parsePolicy } from "../bakefile/entry.ts";
import { type ResolvedBake, resolveTargets } from "../bakefile/resolve.ts";
import { checkTarget } from "../build/check.ts";
import { type BuildTarget, buildTarget } from "../build/target.ts";
import type { Diagnosed, Diagnostic } from "../diagnostic/diagnostic.ts";
import { BakeError } from "../diagnostic/error.ts";
import { type Platform, platformFromNode } from "../oci/platform.ts";
import { isTerminal } from "../progress/renderer.ts";
import type { BakeFlags } from "./flags.ts";
import { readBakeFiles, readIfPresent } from "./bakefiles.ts";
import { callFromFlags } from "./callflag.ts";
import { checkEntitlements } from "./entitlements.ts";
import type { Environment } from "./environment.ts";

export interface Definition {
  readonly resolved: ResolvedBake;
  readonly targets: readonly BuildTarget[];
  readonly warnings: readonly Diagnostic[];
}

export type DefinitionFlags = Partial<BakeFlags> & Pick<BakeFlags, "file" | "set" | "var" | "allow">;

/** The evaluated bake files. @throws BakeError with every problem found */
export async function loadDocument(
  flags: DefinitionFlags,
  environment: Environment,
): Promise<{ readonly document: BakeDocument; readonly warnings: readonly Diagnostic[] }> {
  const files = await readBakeFiles(flags.file, environment);
  const loaded = loadBakeFiles({
    files,
    compose: files.some(mayBeCompose) ? await loadComposeLanguage() : undefined,
    readFile: path => readIfPresent(path, environment),
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
  names: readonly string[],
  flags: DefinitionFlags,
  environment: Environment,
): Promise<Definition> {
  const remote = names.find(name => isRemote(name));
  if (remote !== undefined) {
    throw new BakeError("not-supported", `bake files at a URL are not available yet: "${remote}"`, {
      hint: "clone the repository and run bake in it",
    });
  }
  checkEntitlements(flags.allow);
  const policies = policyOverrides(flags.policy ?? []);
  const overrides = [...flags.set, ...overridesFromFlags(flags), ...policies.overrides];
  const { document, warnings } = await loadDocument(flags, environment);
  const resolution = resolveTargets(document, { targets: names, overrides });
  const resolved = policies.disabled ? withoutPolicies(expectValue(resolution)) : expectValue(resolution);
  const targets = [...resolved.targets.values()].map(buildTarget);
  const facts = {
    cwd: environment.cwd,
    env: environment.env,
    stdoutIsTerminal: isTerminal(environment.stdout),
    platform: hostPlatform(environment),
  };
  for (const target of targets) checkTarget(target, facts);
  return { resolved, targets, warnings: [...warnings, ...resolution.diagnostics] };
}

/** The platform of this machine. */
export function hostPlatform({ machine }: Environment): Platform {
  return platformFromNode(machine.os, machine.arch);
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
