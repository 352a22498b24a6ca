// Goal: one holder at a time in all processes, and a killed holder stands in nobody's way.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { tryLock, withLock } from "../../src/content/lock.ts";
import { openStateDir } from "../rig/statedir.ts";
import { withoutRights } from "../rig/user.ts";

test("holders of one key follow one another, holders of two do not wait", async t => {
  const { root } = await openStateDir(t);
  let inside = 0;
  let most = 0;
  const enter = async (): Promise<void> => {
    inside++;
    most = Math.max(most, inside);
    await new Promise(resolve => setImmediate(resolve));
    inside--;
  };
  await Promise.all(Array.from({ length: 8 }, () => withLock(root, "a", undefined, enter)));
  assert.equal(most, 1);
  await withLock(root, "a", undefined, () => withLock(root, "b", undefined, enter));
  assert.deepEqual(readdirSync(root.locks), [], "no lock files are left");
});

test("the result and the error of the work come through, and the lock is free after", async t => {
  const { root } = await openStateDir(t);
  assert.equal(await withLock(root, "k", undefined, () => 7), 7);
  await assert.rejects(
    withLock(root, "k", undefined, () => Promise.reject(new Error("work"))),
    /work/,
  );
  const lock = await tryLock(root, "k");
  assert.ok(lock);
  lock.release();
  lock.release();
});

test("a lock file that cannot be removed fails nothing, and goes when the lock is next given back", async t => {
  const { root } = await openStateDir(t);
  const lock = await tryLock(root, "k");
  chmodSync(root.locks, 0o500);
  try {
    await withoutRights(() => Promise.resolve(lock?.release()));
  } finally {
    chmodSync(root.locks, 0o700);
  }
  assert.equal(readdirSync(root.locks).length, 1);
  assert.equal(await withLock(root, "k", undefined, () => "mine"), "mine");
  assert.deepEqual(readdirSync(root.locks), []);
});

test("shared holders are there together and keep an exclusive one out", async t => {
  const { root } = await openStateDir(t);
  const one = await tryLock(root, "k", { shared: true });
  const two = await tryLock(root, "k", { shared: true });
  assert.ok(one && two);
  assert.equal(await tryLock(root, "k"), undefined);
  one.release();
  assert.equal(await tryLock(root, "k"), undefined);
  two.release();
  const three = await tryLock(root, "k");
  assert.ok(three);
  assert.equal(await tryLock(root, "k", { shared: true }), undefined);
  three.release();
});

test("an abort ends the waiting", async t => {
  const { root } = await openStateDir(t);
  const held = await tryLock(root, "k");
  const controller = new AbortController();
  const waiting = withLock(root, "k", controller.signal, () => assert.fail("entered"), {
    onWait: () => controller.abort(),
  });
  await assert.rejects(waiting, { name: "AbortError" });
  held?.release();
});

test("a lock held by another process is waited for, and free when that process is killed", async t => {
  const { root } = await openStateDir(t);
  const script = fileURLToPath(new URL("./lockholder.ts", import.meta.url));
  const child = spawn(process.execPath, ["--import", "tsx", script, root.path, "k"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  assert.equal(await tryLock(root, "k"), undefined);
  let waited = false;
  const result = await withLock(root, "k", AbortSignal.timeout(60_000), () => "mine", {
    onWait: () => {
      waited = true;
      child.kill("SIGKILL");
    },
  });
  assert.equal(result, "mine");
  assert.ok(waited);
});
