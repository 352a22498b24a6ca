// Answers of frontends on standard output: what `bake --check` and `bake --call=…` print, in the form of
// `docker buildx bake` (commands/bake.go).
import { printBake } from "../bakefile/print.ts";
import { callTargets } from "../build/buildtargets.ts";
import type { BuildPlan } from "../build/requests.ts";
import { exitCodes } from "../diagnostic/codes.ts";
import { renderDiagnostics } from "../diagnostic/render.ts";
import type { CallReport, Engine } from "../engine/engine.ts";
import { answerData, answerStatus, type CallAnswer } from "../frontend/answer.ts";
import { answerText } from "../frontend/answertext.ts";
import { compareUtf8, goJson, sortedRecord } from "../oci/json.ts";
import { type CallFlag, callFromFlags } from "./callflag.ts";
import { createCredentials } from "./credentials.ts";
import type { Definition } from "./definition.ts";
import type { Environment } from "./environment.ts";
import type { BakeFlags } from "./flags.ts";

export interface CallRun {
  readonly engine: Engine;
  readonly flags: Pick<BakeFlags, "call" | "check">;
  readonly environment: Environment;
  readonly signal: AbortSignal;
}

/** Asks and prints; the exit code is 1 when a check found something. @throws BakeError */
export async function runCalls(
  plan: BuildPlan,
  definition: Definition,
  { engine, flags, environment, signal }: CallRun,
): Promise<number> {
  const flag = callFromFlags(flags);
  const { stdout, stderr, color, env } = environment;
  if (plan.requests.length === 0) stderr.write(renderDiagnostics(definition.warnings, { color }));
  const reports = await callTargets(plan, {
    engine,
    credentials: createCredentials(environment),
    env,
    emit: () => undefined,
    signal,
  });
  const sorted = reports.toSorted((a, b) => compareUtf8(a.name, b.name));
  stdout.write(flag.json ? callsJson(sorted, plan, definition) : callsText(sorted, plan, definition));
  return exitCode(sorted, flag);
}

function exitCode(reports: readonly CallReport[], { ignoreStatus }: CallFlag): number {
  const failed = reports.some(
    ({ answer }) =>
      (answer.method === "lint" && answer.failure !== undefined) ||
      (!ignoreStatus && answerStatus(answer) !== 0),
  );
  return failed ? exitCodes.failure : exitCodes.ok;
}

function callsText(reports: readonly CallReport[], plan: BuildPlan, { resolved }: Definition): string {
  return reports
    .map(({ name, answer }) => {
      const description = resolved.targets.get(name)?.description ?? "";
      const { text, failure } = answerText(answer, { filename: fileOf(name, plan) });
      const head = description === "" ? `${name}\n` : `${name}\n${description}\n`;
      return `${head}\n${text}${failure === undefined ? "" : `error: ${failure}`}`;
    })
    .join("\n");
}

function fileOf(name: string, { calls }: BuildPlan): string | undefined {
  return calls.find(call => call.name === name)?.dockerfile;
}

/** The printed definition, each target's under `build`, with its answer beside it. */
function callsJson(reports: readonly CallReport[], plan: BuildPlan, { resolved }: Definition): string {
  const printed = JSON.parse(printBake(resolved)) as {
    readonly group?: unknown;
    readonly target: Readonly<Record<string, unknown>>;
  };
  const answers = new Map(reports.map(({ name, answer }) => [name, answer]));
  const target: Record<string, unknown> = {};
  for (const [name, build] of Object.entries(printed.target)) {
    const answer = answers.get(name);
    target[name] = {
      build,
      ...(answer && { [keyOf(answer)]: sortedRecord(membersOf(answer, fileOf(name, plan))) }),
    };
  }
  return `${goJson({ ...(printed.group !== undefined && { group: printed.group }), target }, "  ")}\n`;
}

function keyOf({ method }: CallAnswer): string {
  return method === "lint" ? "check" : method;
}

function membersOf(answer: CallAnswer, filename: string | undefined): Readonly<Record<string, unknown>> {
  const data = answerData(answer);
  const { failure } = answerText(answer, { filename });
  return failure === undefined ? data : { ...data, error: failure };
}
