// Facts about this machine that are dear to find out, remembered in the state directory. A lost or damaged entry only
// means finding out again.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Owner } from "./lease.ts";
import type { StateRoot } from "./root.ts";

/**
 * The value remembered under `key`, or what `find` returns. The key must name everything the answer depends on.
 * `decode` checks what was stored and returns undefined for what it does not understand.
 */
export async function rememberFact<T>(
  root: StateRoot,
  owner: Owner,
  key: string,
  decode: (value: unknown) => T | undefined,
  find: () => Promise<T>,
): Promise<T> {
  const path = join(root.facts, `${createHash("sha256").update(key).digest("hex").slice(0, 40)}.json`);
  const known = readFact(path, decode);
  if (known !== undefined) return known;
  const value = await find();
  const draft = owner.newPath("temp");
  // Not being able to remember is no reason to fail.
  await writeFile(draft, JSON.stringify(value))
    .then(() => rename(draft, path))
    .catch(() => undefined);
  return value;
}

function readFact<T>(path: string, decode: (value: unknown) => T | undefined): T | undefined {
  try {
    return decode(JSON.parse(readFileSync(path, "utf8")));
  } catch {
    return undefined;
  }
}
