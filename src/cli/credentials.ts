// Registry credentials of the user: docker's configuration and the credential helpers it names.
import type { Session } from "../session/session.ts";
import type { Environment } from "./environment.ts";

export function createCredentials(_environment: Environment): Session["credentials"] {
  return () => Promise.resolve(undefined);
}
