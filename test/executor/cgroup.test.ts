// Goal: limits for a whole run are in the cgroup of the run, whichever version the machine has.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { removeCgroups } from "../../src/content/cgroups.ts";
import { limitCgroup } from "../../src/executor/cgroup.ts";
import { containerProblem } from "../rig/statedir.ts";

test(
  "memory and processors of a run are limited in the units of the kernel",
  { skip: containerProblem() ?? false },
  async () => {
    const name = `llbake-limits-${process.pid}`;
    const read = (...paths: readonly string[]): string => {
      const path = paths.map(path => `/sys/fs/cgroup/${path}`).find(existsSync);
      return path === undefined ? "" : readFileSync(path, "utf8").trim();
    };
    try {
      limitCgroup(name, { memoryBytes: 64 * 1024 * 1024, cpus: 1.5 });
      assert.equal(
        read(`memory/${name}/memory.limit_in_bytes`, `${name}/memory.max`),
        String(64 * 1024 * 1024),
      );
      assert.match(
        read(`cpu/${name}/cpu.cfs_quota_us`, `cpu,cpuacct/${name}/cpu.cfs_quota_us`, `${name}/cpu.max`),
        /^150000\b/,
      );
    } finally {
      await removeCgroups(name);
    }
  },
);

test("nothing is limited that was not asked for", () => {
  limitCgroup("llbake-nothing", {});
  assert.equal(existsSync("/sys/fs/cgroup/memory/llbake-nothing"), false);
  assert.equal(existsSync("/sys/fs/cgroup/llbake-nothing"), false);
});
