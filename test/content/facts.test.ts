// Goal: what is remembered of a machine is what was found out, or is found out again. Method: a state directory whose
// entry is damaged in every byte.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { rememberFact } from "../../src/content/facts.ts";
import { openStateDir } from "../rig/statedir.ts";

const asText = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);

test("a fact is found out once for each key, and again when any bit of what is remembered has changed", async t => {
  const { root, owner } = await openStateDir(t);
  let asked = 0;
  const ask = async (key: string): Promise<string> =>
    await rememberFact(root, owner, key, asText, () => Promise.resolve(`none ${++asked}`));

  assert.equal(await ask("runtime"), "none 1");
  assert.equal(await ask("runtime"), "none 1");
  assert.equal(await ask("kernel"), "none 2");

  const kept = readdirSync(root.facts).map(name => join(root.facts, name));
  assert.equal(kept.length, 2);
  const whole = kept.map(file => readFileSync(file));
  // The facts are not exchanged for each other either.
  for (const [index, file] of kept.entries()) writeFileSync(file, whole[1 - index] ?? "");
  assert.equal(await ask("runtime"), "none 3");
  assert.equal(await ask("kernel"), "none 4");
  const file = kept.find(path => readFileSync(path, "utf8").includes("none 3")) ?? "";
  const bytes = readFileSync(file);
  for (const place of bytes.keys()) {
    const bent = Buffer.from(bytes);
    bent[place] = (bent[place] ?? 0) ^ 4;
    writeFileSync(file, bent);
    const answer = await ask("runtime");
    assert.deepEqual([answer, asked], [`none ${5 + place}`, 5 + place], `byte ${place}`);
  }
});
