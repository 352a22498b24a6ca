// Goal: whatever way a process dies, the next one finds nothing of it: no mount, no process, no file.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ownerCgroup } from "../../src/content/cgroups.ts";
import { openOwner, readLeases } from "../../src/content/lease.ts";
import { startTime } from "../../src/content/procstat.ts";
import {
  OWNER_VARIABLE,
  removeOwnerFolder,
  sweepDeadOwners,
  sweepDyingOwners,
} from "../../src/content/sweep.ts";
import { mountsBelow } from "../rig/mounts.ts";
import { containerProblem, openStateDir, temporaryFolder } from "../rig/statedir.ts";
import { isRoot } from "../rig/tree.ts";
import { NOBODY, withoutRights } from "../rig/user.ts";

async function startHolder(path: string, name = "ownerholder") {
  const script = fileURLToPath(new URL(`./${name}.ts`, import.meta.url));
  const child = spawn(process.execPath, ["--import", "tsx", script, path], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const line = await once(child.stdout, "data").then(String);
  return { child, owner: line.trim() };
}

/** How the machine's cgroups freeze: version 1 or 2. */
const freezer = existsSync("/sys/fs/cgroup/freezer")
  ? { point: "/sys/fs/cgroup/freezer", file: "freezer.state", frozen: "FROZEN", thawed: "THAWED" }
  : { point: "/sys/fs/cgroup", file: "cgroup.freeze", frozen: "1", thawed: "0" };

/** Why no cgroup can be frozen here. */
function freezerProblem(): string | undefined {
  const path = join(freezer.point, `llbake-test-${process.pid}`);
  try {
    mkdirSync(path);
    try {
      writeFileSync(join(path, freezer.file), freezer.thawed);
    } finally {
      rmdirSync(path);
    }
    return undefined;
  } catch (error) {
    return `cgroups cannot be frozen here: ${String(error)}`;
  }
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

test("one that is dying is waited for and swept, by who enters too; one that lives is not", async t => {
  const { root, owner } = await openStateDir(t);
  for (const enter of [false, true]) {
    const { child, owner: dying } = await startHolder(root.path, "dyingowner");
    t.after(() => child.kill("SIGKILL"));
    await sweepDyingOwners(root);
    assert.deepEqual(readdirSync(root.owners).sort(), [owner.name, dying].sort());
    child.stdin.write("die\n");
    await once(child.stdout, "data");
    const waiting = enter ? openOwner(root) : sweepDyingOwners(root);
    assert.deepEqual(await sweepDeadOwners(root), [], "its lock is still there");
    child.kill("SIGKILL");
    const entered = await waiting;
    assert.ok(!readdirSync(root.owners).includes(dying));
    await entered?.[Symbol.asyncDispose]();
    assert.deepEqual(readdirSync(root.owners), [owner.name]);
  }
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

test(
  "what a killed runtime left frozen is swept too",
  { skip: freezerProblem() ?? containerProblem() ?? false },
  async t => {
    const { root } = await openStateDir(t);
    const { child, owner: dead } = await startHolder(root.path);
    t.after(() => child.kill("SIGKILL"));
    const env = { ...process.env, [OWNER_VARIABLE]: join(root.owners, dead) };
    const step = spawn("sleep", ["1000"], { stdio: "ignore", env });
    const ended = once(step, "exit");
    const folder = join(freezer.point, ownerCgroup(dead), "step");
    t.after(() => {
      step.kill("SIGKILL");
      if (existsSync(folder)) writeFileSync(join(folder, freezer.file), freezer.thawed);
    });
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "cgroup.procs"), String(step.pid));
    writeFileSync(join(folder, freezer.file), freezer.frozen);
    child.kill("SIGKILL");
    await once(child, "exit");
    assert.deepEqual(await sweepDeadOwners(root), [dead]);
    assert.ok(!existsSync(dirname(folder)), "nothing is in it");
    assert.deepEqual(await ended, [null, "SIGKILL"]);
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

test("folders that let nobody in are removed by who owns them", async t => {
  const folder = temporaryFolder(t);
  if (isRoot) chownSync(folder, NOBODY, NOBODY);
  const path = join(folder, "1-2-dead");
  await withoutRights(async () => {
    // As the kernel leaves it of an overlay.
    mkdirSync(join(path, "active/1/work/work"), { recursive: true });
    writeFileSync(join(path, "active/1/work/work/left"), "");
    writeFileSync(join(path, "alive"), "");
    chmodSync(join(path, "active/1/work/work"), 0);
    await removeOwnerFolder(path);
  });
  assert.ok(!existsSync(path));
});

test("start times are read past commands with blanks and parentheses", () => {
  const fields = Array.from({ length: 25 }, (_, i) => String(i + 4)).join(" ");
  assert.equal(startTime(`42 (a ) b) S ${fields}`), "22");
});
