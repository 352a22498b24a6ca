// Frozen cgroups: what is in one does not even die when it is killed (cgroups(7), freezer of version 1). Runtimes freeze
// a container while they kill its processes; one that is killed in that moment leaves it frozen.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Lets go on the cgroup that a process is in, if that is `owner`'s or below it; owner as in `ownerCgroup`. */
export function thaw(pid: number, owner: string): void {
  let [groups, mounts] = ["", ""];
  try {
    groups = readFileSync(`/proc/${pid}/cgroup`, "utf8");
    mounts = readFileSync("/proc/self/mountinfo", "utf8");
  } catch {
    // It has ended.
    return;
  }
  const paths = groups.split("\n").flatMap(line => {
    const [, controllers = "", path = ""] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    return ["freezer", ""].includes(controllers) && path.split("/").includes(owner) ? [path] : [];
  });
  if (paths.length === 0) return;
  for (const line of mounts.split("\n")) {
    if (!/ - cgroup2? /.test(line)) continue;
    const [, , , root = "/", point = ""] = line.split(" ");
    for (const path of paths) {
      if (root !== "/" && !path.startsWith(`${root}/`)) continue;
      const folder = join(point, root === "/" ? path : path.slice(root.length));
      letGo(join(folder, "freezer.state"), "THAWED");
      letGo(join(folder, "cgroup.freeze"), "0");
    }
  }
}

/** Whoever freezes it again meanwhile is killed too; it is called again as long as something lives. */
function letGo(file: string, value: string): void {
  try {
    if (existsSync(file)) writeFileSync(file, value);
  } catch {
    // Removed meanwhile, or not ours.
  }
}
