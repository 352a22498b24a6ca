// Builds targets: the plan's requests solved together by an engine, with everything the plan lends in the session.
import type { CallReport, Engine, SolveReport } from "../engine/engine.ts";
import type { Emit } from "../progress/event.ts";
import type { Session } from "../session/session.ts";
import type { BuildPlan } from "./requests.ts";
import { createLent } from "./lent.ts";

export interface BuildContext {
  readonly engine: Engine;
  /** Credentials for registries; the rest of the session is the plan's. */
  readonly credentials: Session["credentials"];
  /** Environment variables that secrets are taken from, and that programs which fetch in the user's name may see. */
  readonly env: Readonly<Record<string, string>>;
  readonly emit: Emit;
  readonly signal: AbortSignal;
  /** Names the bake files, under which the run is remembered. */
  readonly definition?: string;
  /** Takes what failed commands leave; not kept when absent. */
  readonly keepFailed?: Session["keepFailed"];
}

/** Solves all requests of a plan; reports in their order. @throws BakeError */
export async function buildTargets(
  plan: BuildPlan,
  { engine, credentials, env, emit, signal, definition, keepFailed }: BuildContext,
): Promise<readonly SolveReport[]> {
  for (const diagnostic of plan.warnings) emit({ type: "warning", diagnostic });
  const session = sessionFromPlan(plan, { credentials, env });
  return engine.solve(plan.requests, {
    session: keepFailed === undefined ? session : { ...session, keepFailed },
    emit,
    signal,
    ...(definition !== undefined && { definition }),
  });
}

/** Asks the frontends what the plan's targets call for; reports in the order of the calls. @throws BakeError */
export async function callTargets(
  plan: BuildPlan,
  { engine, credentials, env, emit, signal }: BuildContext,
): Promise<readonly CallReport[]> {
  const session = sessionFromPlan(plan, { credentials, env });
  return engine.call(plan.calls, plan.linkable, { session, emit, signal });
}

/** The session of a plan: its directories, in-memory files and secrets. */
export function sessionFromPlan(
  plan: BuildPlan,
  { credentials, env }: Pick<BuildContext, "credentials" | "env">,
): Session {
  return {
    localDir: plan.locals.localDir,
    localFiles: plan.locals.localFiles,
    ...createLent(plan.lendings, env),
    credentials,
    environment: env,
  };
}
