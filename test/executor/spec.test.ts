// Goal: limits asked for are in the configuration of the container, in the form of the OCI runtime spec.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ProcessSpec } from "../../src/executor/executor.ts";
import { runtimeConfig } from "../../src/executor/spec.ts";

function configOf(command: Partial<ProcessSpec>): unknown {
  const config = runtimeConfig({
    command: { args: ["true"], env: [], cwd: "/", user: "", network: "none", insecure: false, ...command },
    root: { path: "/root", readonly: false, mounts: [] },
    user: { uid: 0, gid: 0, additionalGids: [] },
    hostname: "h",
    hostsFile: "/hosts",
    resolvFile: "/resolv",
    cgroupsPath: "/c",
    network: { kind: "none" },
  });
  return JSON.parse(JSON.stringify(config));
}

test("memory and cpu limits are those of the cgroup, and nothing is said of the others", () => {
  const { linux } = configOf({ resources: { memory: 64, memorySwap: -1, cpuShares: 100 } }) as {
    readonly linux: { readonly resources: object };
  };
  assert.deepEqual(Object.entries(linux.resources).slice(1), [
    ["memory", { limit: 64, swap: -1 }],
    ["cpu", { shares: 100 }],
  ]);
});

test("ulimits stand beside the usual number of open files, or in its place", () => {
  const limits = (ulimits: ProcessSpec["ulimits"] = []) =>
    (
      configOf({ ulimits }) as {
        process: { rlimits: readonly { type: string; soft: number; hard: number }[] };
      }
    ).process.rlimits;
  assert.deepEqual(limits([{ name: "nofile", soft: 1n, hard: 2n }]), [
    { type: "RLIMIT_NOFILE", soft: 1, hard: 2 },
  ]);
  const [files, core] = limits([{ name: "core", soft: 0n, hard: -1n }]);
  assert.equal(files?.type, "RLIMIT_NOFILE");
  assert.deepEqual([core?.type, core?.soft], ["RLIMIT_CORE", 0]);
  // Runtimes read it as a number of 64 bits.
  assert.ok(BigInt(core?.hard ?? 0) < 2n ** 64n && BigInt(core?.hard ?? 0) > 2n ** 63n);
});
