// Limits for all steps of a run together: those of the cgroup below which the containers of an owner have theirs
// (cgroups(7); the kernel's admin-guide/cgroup-v1 and cgroup-v2).
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BakeError } from "../diagnostic/error.ts";

export interface RunLimits {
  /** Memory of all steps, without the files they cache. */
  readonly memoryBytes?: number | undefined;
  /** Processors: 1.5 is one and a half. */
  readonly cpus?: number | undefined;
}

const PERIOD_US = 100_000;

/**
 * Makes the cgroup `name`, a path from the top, with the limits.
 * @throws BakeError "not-supported" where this user or machine has no such controller
 */
export function limitCgroup(name: string, { memoryBytes, cpus }: RunLimits): void {
  const quota = cpus === undefined ? undefined : String(Math.max(1000, Math.round(cpus * PERIOD_US)));
  if (memoryBytes !== undefined)
    limit(name, "memory", "--memory", {
      v1: [
        ["memory.limit_in_bytes", String(memoryBytes)],
        // Without it the rest would go to swap; kernels may lack it.
        ["memory.memsw.limit_in_bytes", String(memoryBytes), "optional"],
      ],
      v2: [
        ["memory.max", String(memoryBytes)],
        ["memory.swap.max", "0", "optional"],
      ],
    });
  if (quota !== undefined)
    limit(name, "cpu", "--cpus", {
      v1: [
        ["cpu.cfs_period_us", String(PERIOD_US)],
        ["cpu.cfs_quota_us", quota],
      ],
      v2: [["cpu.max", `${quota} ${PERIOD_US}`]],
    });
}

/** What runtimes let every container use: null, zero, full, random, urandom, tty, console, ptmx, pts; and making nodes. */
const DEVICES = [
  "c *:* m",
  "b *:* m",
  ...["1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:1", "5:2", "136:*"].map(n => `c ${n} rwm`),
];

/**
 * Makes a cgroup that guards the devices of the machine from what is in it; its folder. Undefined where the hierarchy
 * for that is not of version 1, or not this user's.
 */
export function guardDevices(name: string): string | undefined {
  try {
    const mount = findController("devices");
    if (mount.version !== 1) return undefined;
    const folder = join(mount.path, name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "devices.deny"), "a");
    for (const device of DEVICES) writeFileSync(join(folder, "devices.allow"), device);
    return folder;
  } catch {
    return undefined;
  }
}

type Setting = readonly [file: string, value: string, optional?: "optional"];

function limit(
  name: string,
  controller: string,
  flag: string,
  settings: { readonly v1: readonly Setting[]; readonly v2: readonly Setting[] },
): void {
  try {
    const mount = findController(controller);
    const folder = join(mount.path, name);
    const steps = name.split("/").filter(Boolean);
    for (const [index, step] of steps.entries()) {
      const outer = join(mount.path, ...steps.slice(0, index));
      if (mount.version === 2) enable(outer, controller);
      mkdirSync(join(outer, step), { recursive: true });
    }
    for (const [file, value, optional] of mount.version === 1 ? settings.v1 : settings.v2) {
      if (optional && !existsSync(join(folder, file))) continue;
      writeFileSync(join(folder, file), value);
    }
    if (mount.version === 2) enable(folder, controller);
  } catch (cause) {
    throw new BakeError(
      "not-supported",
      `cannot limit the ${controller === "cpu" ? "processors" : controller} of steps on this machine: ${cause instanceof Error ? cause.message : String(cause)}`,
      { hint: `limits need root and a "${controller}" cgroup: leave out ${flag}`, cause },
    );
  }
}

function enable(folder: string, controller: string): void {
  const file = join(folder, "cgroup.subtree_control");
  if (!readFileSync(file, "utf8").split(/\s+/).includes(controller)) writeFileSync(file, `+${controller}`);
}

function findController(controller: string): { readonly path: string; readonly version: 1 | 2 } {
  let unified: string | undefined;
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n")) {
    const [left = "", right = ""] = line.split(" - ");
    const path = left.split(" ")[4];
    const [type, , options = ""] = right.split(" ");
    if (path === undefined) continue;
    if (type === "cgroup" && options.split(",").includes(controller)) return { path, version: 1 };
    if (type !== "cgroup2") continue;
    const has = readFileSync(join(path, "cgroup.controllers"), "utf8").split(/\s+/).includes(controller);
    if (has) unified = path;
  }
  if (unified === undefined) throw new Error(`there is no "${controller}" controller`);
  return { path: unified, version: 2 };
}

/** Whether all controllers are in version 2, in one hierarchy. */
export function isUnified(): boolean {
  return existsSync("/sys/fs/cgroup/cgroup.controllers");
}

/** How often the kernel has killed a process of this machine for want of memory, since it started. */
export function oomKills(): number {
  return Number(/^oom_kill ([0-9]+)$/m.exec(readFileSync("/proc/vmstat", "utf8"))?.[1] ?? 0);
}
