// What targets lend to their own steps: secrets and ssh agents. A step that several targets share gets what the first of
// them lends under an id.
import type { Session } from "../session/session.ts";
import { createSecrets } from "./secrets.ts";
import { createSshAgents } from "./ssh.ts";
import type { SecretSource, SshSource } from "./target.ts";

/** Paths are absolute. */
export interface Lending {
  readonly target: string;
  readonly secrets: readonly SecretSource[];
  readonly ssh: readonly SshSource[];
}

type Lent = Required<Pick<Session, "secret" | "ssh" | "forTargets">>;

/** Steps of no target, such as those that fetch bake files, may use what any target lends. */
export function createLent(lendings: readonly Lending[], env: Readonly<Record<string, string>>): Lent {
  const byTarget = new Map(
    lendings.map(({ target, secrets, ssh }) => [
      target,
      { secret: createSecrets(secrets, env), ssh: createSshAgents(ssh, env) },
    ]),
  );
  const among = (targets: readonly string[]): Pick<Lent, "secret" | "ssh"> => {
    const lenders = targets.flatMap(target => byTarget.get(target) ?? []);
    return {
      secret: id => firstOf(lenders, lender => lender.secret(id)),
      ssh: id => firstOf(lenders, lender => lender.ssh(id)),
    };
  };
  const all = among([...byTarget.keys()]);
  return {
    ...all,
    forTargets(targets) {
      const known = targets.filter(target => byTarget.has(target));
      return known.length === 0 ? all : among(known);
    },
  };
}

async function firstOf<L, T>(
  lenders: readonly L[],
  ask: (lender: L) => Promise<T | undefined>,
): Promise<T | undefined> {
  for (const lender of lenders) {
    const found = await ask(lender);
    if (found !== undefined) return found;
  }
  return undefined;
}
