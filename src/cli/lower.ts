// The LLB of targets without building them: what commands that only look at it begin with.
import { sessionFromPlan } from "../build/buildtargets.ts";
import type { LoweredRequest } from "../engine/engine.ts";
import type { Session } from "../session/session.ts";
import { planFromDefinition } from "./buildrun.ts";
import type { CommandContext } from "./command.ts";
import { createCredentials } from "./credentials.ts";
import { loadDefinition } from "./definition.ts";
import { createEngine } from "./engine.ts";

export interface LowerFlags {
  readonly file?: readonly string[];
  readonly set?: readonly string[];
  readonly var?: readonly string[];
  readonly root?: string;
}

/** Lowers what a run would solve ("requests"), or every target with one another links to ("linkable"). @throws BakeError */
export async function lowerTargets(
  names: readonly string[],
  flags: LowerFlags,
  { environment, signal }: CommandContext,
  which: "requests" | "linkable",
): Promise<{ readonly lowered: readonly LoweredRequest[]; readonly session: Session }> {
  const definition = await loadDefinition(
    names,
    { file: [], set: [], var: [], allow: [], ...flags },
    { environment, signal },
  );
  const plan = planFromDefinition(definition, environment);
  const session = sessionFromPlan(plan, {
    credentials: createCredentials(environment),
    env: environment.env,
  });
  await using engine = await createEngine(flags, environment);
  const lowered = await engine.lower(plan[which], { session, emit: () => undefined, signal });
  return { lowered, session };
}
