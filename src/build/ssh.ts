// The ssh agents that targets lend (buildx: `ssh`): the user's agent, another one by its socket, or private keys.
import { readFile, stat } from "node:fs/promises";
import { BakeError } from "../diagnostic/error.ts";
import type { Session } from "../session/session.ts";
import { forwardAgent, keyAgent, type OpenSshAgent } from "../session/sshagent.ts";
import { parseSshKey } from "../session/sshkey.ts";
import type { SshSource } from "./target.ts";

/** Finds agents by id; keys are read when a step first asks. Paths are absolute. */
export function createSshAgents(
  sources: readonly SshSource[],
  env: Readonly<Record<string, string>>,
): NonNullable<Session["ssh"]> {
  const byId = new Map(sources.map(source => [source.id, source]));
  const opened = new Map<string, Promise<OpenSshAgent>>();
  return async id => {
    const source = byId.get(id);
    if (source === undefined) return undefined;
    const known = opened.get(id);
    if (known !== undefined) return await known;
    const agent = openSource(source, env);
    opened.set(id, agent);
    return await agent;
  };
}

async function openSource(
  { id, paths }: SshSource,
  env: Readonly<Record<string, string>>,
): Promise<OpenSshAgent> {
  const socket = env["SSH_AUTH_SOCK"];
  if (paths.length === 0 && !socket)
    throw new BakeError("file-missing", `ssh "${id}" needs an agent, and SSH_AUTH_SOCK is not set`, {
      hint: "start one (ssh-agent), or name key files",
    });
  const [first = socket ?? ""] = paths;
  if ((await stat(first).catch(() => undefined))?.isSocket()) return forwardAgent(first);
  return keyAgent(await Promise.all(paths.map(readKey)));
}

async function readKey(path: string) {
  const file = await readFile(path, "latin1").catch((cause: unknown) => {
    throw new BakeError("file-missing", `the ssh key "${path}" cannot be read`, { cause });
  });
  return parseSshKey(file, path);
}
