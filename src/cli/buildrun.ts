// One build of targets with its progress: what `bake` does when it is not asked to print, list or watch.
import { resolve } from "node:path";
import { buildTargets } from "../build/buildtargets.ts";
import { writeMetadata } from "../build/report.ts";
import { type BuildPlan, requestsFromTargets } from "../build/requests.ts";
import { exitCodes } from "../diagnostic/codes.ts";
import type { Engine } from "../engine/engine.ts";
import { chooseProgressMode, createRenderer, type ProgressMode } from "../progress/choose.ts";
import { createDeferredRenderer } from "../progress/deferred.ts";
import { isTerminal, type Renderer } from "../progress/renderer.ts";
import type { KeptStep } from "../session/session.ts";
import type { BakeFlags } from "./flags.ts";
import type { CommandContext } from "./command.ts";
import { createCredentials } from "./credentials.ts";
import { type Definition, loadDefinition } from "./definition.ts";
import { hostPlatform } from "./hostplatform.ts";
import { createEngine, rootPath } from "./engine.ts";
import { definitionName } from "./history.ts";
import { expectEntitlements } from "./entitlements.ts";
import type { Environment } from "./environment.ts";
import { rungNote } from "./improvement.ts";
import { takeRights, withRights } from "./rights.ts";

/** Loads, builds and writes the metadata file; gives the exit code. @throws BakeError */
export async function runBuild(
  names: readonly string[],
  flags: BakeFlags,
  { environment, signal }: CommandContext,
): Promise<number> {
  const mode = progressMode(flags, environment);
  const definition = await loadDefinition(names, flags, { environment, signal });
  await allowDefinition(definition, { environment, flags, mode, signal });
  const plan = planFromDefinition(definition, environment, flags);
  const root = rootPath(flags, environment);
  return await withRights(
    { environment, rootPath: root, canTry: canBuildTwice(plan, flags), signal },
    async ({ confined, signal }) => {
      if (!confined) noteRung(environment, mode);
      await using engine = await createEngine(flags, environment, { confined });
      return await runPlan(plan, definition, { engine, flags, environment, mode, confined, signal });
    },
  );
}

/** Tells what this user lacks. Programs that read events are told by events alone. */
export function noteRung(environment: Environment, mode: ProgressMode): void {
  if (mode !== "rawjson" && mode !== "quiet") environment.stderr.write(rungNote(environment) ?? "");
}

/** Whether nothing is lost when a build that could not be finished is begun again. */
function canBuildTwice({ calls, requests }: BuildPlan, { onError }: BakeFlags): boolean {
  const writesStdout = requests.some(({ exports }) => exports.some(({ dest }) => dest === "-"));
  return calls.length === 0 && !writesStdout && onError === undefined;
}

/** Builds what is to be built, then asks what is to be asked; gives the exit code. @throws BakeError */
export async function runPlan(plan: BuildPlan, definition: Definition, run: BuildRun): Promise<number> {
  if (plan.calls.length === 0 || plan.requests.length > 0) await buildPlan(plan, definition, run);
  if (plan.calls.length === 0) return exitCodes.ok;
  const { runCalls } = await import("./callrun.ts");
  return runCalls(plan, definition, run);
}

/** Checks that the user grants what a definition asks for. @throws BakeError "entitlement-missing" */
export async function allowDefinition(
  { targets, url, resolved: { grants } }: Definition,
  { environment, flags, mode, signal }: Omit<BuildRun, "engine" | "flags"> & { readonly flags: BakeFlags },
): Promise<void> {
  await expectEntitlements(
    {
      ...{ targets, allow: flags.allow, grants, url, silent: mode === "rawjson" },
      beforeAsking: () => takeRights(environment, rootPath(flags, environment)),
    },
    environment,
    signal,
  );
}

/** The progress mode that flags and environment ask for. @throws BakeError "usage" */
export function progressMode(
  { progress }: { readonly progress?: string },
  { env, stderr }: Environment,
): ProgressMode {
  return chooseProgressMode(progress ?? env["BUILDKIT_PROGRESS"] ?? "auto", stderr);
}

/** What is to be built. @throws BakeError when a target cannot be built as described */
export function planFromDefinition(
  { targets }: Definition,
  environment: Environment,
  { allow = [], cgroupParent }: Pick<Partial<BakeFlags>, "allow" | "cgroupParent"> = {},
): BuildPlan {
  return requestsFromTargets(targets, {
    cwd: environment.cwd,
    platform: hostPlatform(environment),
    stdoutIsTerminal: isTerminal(environment.stdout),
    allow,
    cgroupParent,
  });
}

export interface BuildRun {
  readonly engine: Engine;
  readonly flags: Pick<BakeFlags, "file" | "metadataFile" | "call" | "check" | "onError">;
  readonly environment: Environment;
  readonly mode: ProgressMode;
  /** Whether only what is cached is to be done; then progress is shown if that was enough. */
  readonly confined?: boolean;
  readonly signal: AbortSignal;
}

/** Builds a plan, showing progress on standard error. @throws BakeError */
async function buildPlan(
  plan: BuildPlan,
  definition: Definition,
  { engine, flags, environment, mode, confined = false, signal }: BuildRun,
): Promise<void> {
  const createShown = (): Promise<Renderer> =>
    createRenderer(mode, environment.stderr, {
      showTargets: plan.requests.length > 1,
      color: environment.color,
    });
  const deferred = confined ? createDeferredRenderer() : undefined;
  const renderer = deferred ?? (await createShown());
  const failed = flags.onError === "shell" ? (await import("./keptshell.ts")).keepFirst() : undefined;
  try {
    for (const diagnostic of definition.warnings) renderer.emit({ type: "warning", diagnostic });
    const reports = await buildTargets(plan, {
      engine,
      credentials: createCredentials(environment),
      env: environment.env,
      emit: renderer.emit,
      signal,
      definition: definitionName(definition, flags.file, environment),
      ...(failed && { keepFailed: failed.keep }),
    });
    if (flags.metadataFile !== undefined)
      await writeMetadata(resolve(environment.cwd, flags.metadataFile), reports);
    if (deferred !== undefined) {
      const shown = await createShown();
      deferred.events.forEach(shown.emit);
      await shown.close();
    }
  } finally {
    await renderer.close();
    if (failed?.step !== undefined) await showFailed(failed.step, environment, signal);
  }
}

/** Opens a shell where a command failed. @throws BakeError when there is none to open */
async function showFailed(step: KeptStep, { stderr, env }: Environment, signal: AbortSignal): Promise<void> {
  await using container = step;
  const { openShell } = await import("./keptshell.ts");
  stderr.write(`"${container.command}" failed; this is its container as it left it ("exit" leaves it)\n`);
  await openShell(container, [], { env, signal });
}
