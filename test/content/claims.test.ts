// Goal: of many processes one has a claim, the others can wait for it, and a killed one stands in nobody's way.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { openClaims } from "../../src/content/claims.ts";
import { openStateDir } from "../rig/statedir.ts";

async function startHolder(t: TestContext, path: string, key: string): Promise<ChildProcess> {
  const script = fileURLToPath(new URL("./claimholder.ts", import.meta.url));
  const child = spawn(process.execPath, ["--import", "tsx", script, path, key], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  await once(child.stdout, "data");
  return child;
}

test("a claim of another process is waited for, its holder told, and taken over when that one is killed", async t => {
  const { root, owner } = await openStateDir(t);
  const claims = openClaims(root, owner);
  const child = await startHolder(t, root.path, "k");
  assert.equal(await claims.take("k"), undefined);
  const other = await claims.take("another");
  assert.ok(other, "other keys are free");
  const told: (number | undefined)[] = [];
  const { signal } = new AbortController();
  const held = await claims.wait("k", {
    signal,
    onWait(holder) {
      told.push(holder);
      child.kill("SIGKILL");
    },
  });
  assert.deepEqual(told, [child.pid]);
  assert.deepEqual(
    readdirSync(root.owners),
    [owner.name],
    "the dead one is swept before anything is done in its place",
  );
  held.release();
  held.release();
  other.release();
});

test("an abort ends the waiting, and takes nothing", async t => {
  const { root, owner } = await openStateDir(t);
  const claims = openClaims(root, owner);
  const child = await startHolder(t, root.path, "k");
  const controller = new AbortController();
  const waiting = claims.wait("k", { signal: controller.signal, onWait: () => controller.abort() });
  await assert.rejects(waiting, { name: "AbortError" });
  child.kill("SIGKILL");
  await once(child, "exit");
  const held = await claims.take("k");
  assert.ok(held);
  held.release();
});

test("a claim that was given back is free for others", async t => {
  const { root, owner } = await openStateDir(t);
  const claims = openClaims(root, owner);
  (await claims.take("k"))?.release();
  const child = await startHolder(t, root.path, "k");
  assert.equal(await claims.take("k"), undefined);
  child.kill("SIGKILL");
  await once(child, "exit");
});
