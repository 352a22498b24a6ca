// Facts about this machine that are dear to find out, remembered in the state directory. A lost or damaged entry only
// means finding out again: each has a checksum, for a damaged answer might be understood as another one.
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
  const path = join(root.facts, hash(key).slice(0, 40));
  const known = readFact(path, key, decode);
  if (known !== undefined) return known;
  const value = await find();
  const text = JSON.stringify(value);
  const draft = owner.newPath("temp");
  // Not being able to remember is no reason to fail.
  await writeFile(draft, `${hash(key, text)}\n${text}`)
    .then(() => rename(draft, path))
    .catch(() => undefined);
  return value;
}

function readFact<T>(path: string, key: string, decode: (value: unknown) => T | undefined): T | undefined {
  try {
    const [checksum, text = ""] = readFileSync(path, "utf8").split("\n", 2);
    return checksum === hash(key, text) ? decode(JSON.parse(text)) : undefined;
  } catch {
    return undefined;
  }
}

function hash(...parts: readonly string[]): string {
  return createHash("sha256").update(parts.join("\0")).digest("hex");
}
