// Secrets that the user's files and environment hold, read when a step asks for them.
import { readFile } from "node:fs/promises";
import { BakeError } from "../diagnostic/error.ts";
import type { Session } from "../session/session.ts";
import type { SecretSource } from "./target.ts";

/** Finds secrets by id. `src` paths are absolute. */
export function createSecrets(
  sources: readonly SecretSource[],
  env: Readonly<Record<string, string>>,
): Session["secret"] {
  const byId = new Map(sources.map(source => [source.id, source]));
  return async id => {
    const source = byId.get(id);
    return source === undefined ? undefined : readSecret(source, env);
  };
}

/** A secret without a source is the variable of its name, or else the file of its name. */
async function readSecret(
  { id, src, env: variable }: SecretSource,
  env: Readonly<Record<string, string>>,
): Promise<Uint8Array | undefined> {
  const name = variable ?? (src === undefined ? id : undefined);
  if (name !== undefined && Object.hasOwn(env, name)) return Buffer.from(env[name] ?? "");
  if (variable !== undefined) return undefined;
  try {
    return await readFile(src ?? id);
  } catch (cause) {
    throw new BakeError("file-missing", `secret "${id}" cannot be read from "${src ?? id}"`, { cause });
  }
}
