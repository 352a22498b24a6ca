// Goal: a runtime that is started early is only quicker: what becomes of it meanwhile costs no step, and it sees what
// was mounted after it began. Method: real runtimes, which are killed while they wait.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { isRunning } from "../../src/content/procstat.ts";
import { createExecutor } from "../../src/executor/container.ts";
import type { Executor } from "../../src/executor/executor.ts";
import { openSnapshotter } from "../../src/snapshot/open.ts";
import { containerProblem, makeBusyboxRoot, openStateDir } from "../rig/statedir.ts";

test(
  "steps run in roots that are mounted while their runtime waits, also when it is killed meanwhile",
  { skip: containerProblem() ?? false },
  async t => {
    const { root, owner } = await openStateDir(t);
    const executor = await createExecutor({ root, owner });
    const snapshots = await openSnapshotter(root, owner);
    const base = await snapshots.prepare(undefined);
    makeBusyboxRoot(base.root);
    let parent = await base.commit();
    for (const number of [1, 2, 3]) {
      const step = await snapshots.prepare(parent);
      assert.equal(await runIn(executor, step.root, `echo ${number} >> /steps`), 0);
      parent = await step.commit();
      if (number === 2) assert.equal(await killWaiting(owner.path), 1);
    }
    await using tree = await snapshots.view(parent);
    assert.equal(readFileSync(`${tree.root}/steps`, "utf8"), "1\n2\n3\n");
  },
);

test(
  "a step whose configuration is too long for a pipe runs all the same",
  { skip: containerProblem() ?? false },
  async t => {
    const { root, owner } = await openStateDir(t);
    const executor = await createExecutor({ root, owner });
    const snapshots = await openSnapshotter(root, owner);
    const base = await snapshots.prepare(undefined);
    makeBusyboxRoot(base.root);
    assert.equal(await runIn(executor, base.root, `test ${"é".repeat(50_000)} && exit 7`), 7);
    assert.equal(await runIn(executor, base.root, "exit 8"), 8);
    await base[Symbol.asyncDispose]();
  },
);

async function runIn(executor: Executor, path: string, script: string): Promise<number> {
  const end = await executor.run(
    {
      args: ["/bin/sh", "-c", script],
      env: ["PATH=/bin"],
      cwd: "/",
      user: "",
      network: "none",
      insecure: false,
    },
    { path, readonly: false, mounts: [] },
    { signal: new AbortController().signal, onOutput: () => undefined },
  );
  return end.exitCode;
}

/** Kills every process of an owner that names a bundle, and waits for its end; how many there were. */
async function killWaiting(owner: string): Promise<number> {
  const pids = readdirSync("/proc").filter(
    entry => /^[0-9]+$/.test(entry) && commandLine(entry).includes(`${owner}/bundles/`),
  );
  for (const pid of pids) process.kill(Number(pid), "SIGKILL");
  for (const pid of pids) while (isRunning(Number(pid))) await delay(2);
  return pids.length;
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}
