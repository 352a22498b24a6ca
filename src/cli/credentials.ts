// Registry credentials of the user: docker's configuration file and the credential helpers it names
// (docker-credential-helpers protocol: `get` with the server on standard input).
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { BakeError } from "../diagnostic/error.ts";
import { credentialsFromHelper, lookUpCredentials, parseDockerConfig } from "../registry/dockerconfig.ts";
import type { Session } from "../session/session.ts";
import type { Environment } from "./environment.ts";
import { findExecutable, runCommand } from "./process.ts";

/** What helpers print when they know nothing of a server; then access is anonymous. */
const NOT_FOUND = /credentials not found|no credentials/i;

/**
 * Asks anew every time, since tokens that helpers hand out end.
 * @throws BakeError "registry-failed" when the file is malformed, "registry-denied" when a helper fails
 */
export function createCredentials(environment: Environment): Session["credentials"] {
  const path = join(environment.env["DOCKER_CONFIG"] || join(environment.home, ".docker"), "config.json");
  return async host => {
    const text = await readFile(path, "utf8").catch(() => undefined);
    if (text === undefined) return undefined;
    const found = lookUpCredentials(parseDockerConfig(text, path), host);
    if (found === undefined || found.kind === "found") return found?.credentials;
    const { program, server } = found;
    // A configuration copied from another machine may name a helper that is not here: images are public more often than not.
    const helper = findExecutable(program, { cwd: environment.cwd, path: environment.env["PATH"] ?? "" });
    if (helper === undefined) return undefined;
    const { exitCode, stdout, stderr } = await runCommand(helper, ["get"], { input: server });
    if (exitCode === 0) return credentialsFromHelper(stdout.toString());
    const said = `${stdout.toString()}${stderr}`.trim();
    if (NOT_FOUND.test(said)) return undefined;
    throw new BakeError("registry-denied", `the credential helper ${program} failed for "${server}"`, {
      hint: said.split("\n")[0],
    });
  };
}
