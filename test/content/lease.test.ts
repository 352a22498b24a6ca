// Goal: whatever way a process dies, the next one finds nothing of it: no mount, no process, no file.
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { openOwner, readLeases } from "../../src/content/lease.ts";
import { startTime } from "../../src/content/procstat.ts";
import { sweepDeadOwners } from "../../src/content/sweep.ts";
import { containerProblem, mountsBelow, openStateDir } from "../rig/statedir.ts";

async function startHolder(path: string): Promise<{ readonly child: ChildProcess; readonly owner: string }> {
  const script = fileURLToPath(new URL("./ownerholder.ts", import.meta.url));
  const child = spawn(process.execPath, ["--import", "tsx", script, path], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const line = await once(child.stdout, "data").then(String);
  return { child, owner: line.trim() };
}

test("a living owner is left alone; its leases count until it leaves", async t => {
  const { root, owner } = await openStateDir(t);
  {
    await using other = await openOwner(root);
    other.lease("snapshot", "s1");
    other.lease("snapshot", "s1");
    writeFileSync(other.newPath("temp"), "");
    assert.deepEqual(await sweepDeadOwners(root), []);
    assert.deepEqual([...(await readLeases(root)).snapshot], ["s1"]);
  }
  assert.deepEqual([...(await readLeases(root)).snapshot], []);
  assert.deepEqual(readdirSync(root.owners), [owner.name]);
});

test("releases run newest first, all of them, and the folder goes even when one fails", async t => {
  const { root } = await openStateDir(t);
  const owner = await openOwner(root);
  const order: number[] = [];
  const note = (number: number) => () => Promise.resolve(order.push(number)).then(() => undefined);
  owner.onDispose(note(1));
  owner.onDispose(() => Promise.reject(new Error("second")));
  owner.onDispose(note(3));
  await assert.rejects(async () => await owner[Symbol.asyncDispose](), /second/);
  assert.deepEqual(order, [3, 1]);
  assert.ok(!existsSync(owner.path));
  await owner[Symbol.asyncDispose]();
});

test(
  "after kill -9 of a process with a mounted snapshot, the next owner sweeps it",
  { skip: containerProblem() ?? false },
  async t => {
    const { root, owner } = await openStateDir(t);
    const { child, owner: dead } = await startHolder(root.path);
    t.after(() => child.kill("SIGKILL"));
    assert.equal(mountsBelow(root.path).length, 1);
    assert.deepEqual(await sweepDeadOwners(root), [], "the holder lives");
    child.kill("SIGKILL");
    await once(child, "exit");
    // Two sweepers at once do not get in each other's way.
    const [one, two] = await Promise.all([openOwner(root), openOwner(root)]);
    assert.deepEqual(mountsBelow(root.path), []);
    assert.ok(!readdirSync(root.owners).includes(dead));
    await one[Symbol.asyncDispose]();
    await two[Symbol.asyncDispose]();
    assert.deepEqual(readdirSync(root.owners), [owner.name]);
  },
);

test("an owner folder half removed by a sweeper that died does no harm", async t => {
  const { root } = await openStateDir(t);
  mkdirSync(join(root.owners, "1-2-dead", "temp"), { recursive: true });
  await sweepDeadOwners(root);
  assert.ok(!existsSync(join(root.owners, "1-2-dead")), "the lock file goes last, so nobody lives there");
  mkdirSync(join(root.owners, "1-2-dead", "temp"), { recursive: true });
  writeFileSync(join(root.owners, "1-2-dead", "alive"), "");
  assert.deepEqual(await sweepDeadOwners(root), ["1-2-dead"]);
  assert.ok(!existsSync(join(root.owners, "1-2-dead")));
});

test("start times are read past commands with blanks and parentheses", () => {
  const fields = Array.from({ length: 25 }, (_, i) => String(i + 4)).join(" ");
  assert.equal(startTime(`42 (a ) b) S ${fields}`), "22");
});
