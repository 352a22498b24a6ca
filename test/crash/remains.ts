// What is left on the machine of builds that are over: looked for in every place where one leaves something.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { mountsBelow } from "../rig/mounts.ts";

export interface Places {
  /** The state directory. */
  readonly root: string;
  /** Where outputs are written. */
  readonly cwd: string;
  /** The names of processes of `bake` that are over: others of this machine may have left something too. */
  readonly processes: readonly string[];
  /** Words by which commands of steps can be told. */
  readonly words?: readonly string[];
}

/** Files of locks that several may hold at once stay: there are as many as kinds of them. */
const SHARED_LOCKS = ["blobs", "snapshots", "journal cache", "journal layers"];

/** Everything that should not be there when no build runs, in words; an empty list is what a test wants. */
export function remains({ root, cwd, processes, words = [] }: Places): readonly string[] {
  return [
    ...processesOf([root, ...words]).map(process => `process ${process}`),
    ...mountsBelow(root).map(mount => `mount ${mount}`),
    ...cgroupsOf(processes).map(cgroup => `cgroup ${cgroup}`),
    ...filesLeft(root).map(file => `file ${file}`),
    ...walk(cwd)
      .filter(path => /llbake-[0-9A-Za-z]{6,}$|\.tmp$/.test(path))
      .map(path => `draft ${path}`),
  ];
}

/** Processes that have one of some words among their arguments or in their environment. */
function processesOf(words: readonly string[]): readonly string[] {
  const found: string[] = [];
  for (const pid of readdirSync("/proc")) {
    if (!/^\d+$/.test(pid) || pid === String(process.pid)) continue;
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
      if (words.some(word => `${command}\0${environment}`.includes(word)))
        found.push(`${pid} ${command.replaceAll("\0", " ")}`);
    } catch {
      // It has ended.
    }
  }
  return found;
}

/** The cgroups of owners, whose names begin with those of their processes. */
function cgroupsOf(processes: readonly string[]): readonly string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter(line => / - cgroup2? /.test(line))
    .map(line => line.split(" ")[4] ?? "")
    .flatMap(point => readdirSync(point).map(name => join(point, name)))
    .filter(path => processes.includes(/\/llbake-(\d+-\d+)-[0-9a-f]+$/.exec(path)?.[1] ?? ""));
}

/** Owners, locks and drafts in a state directory. */
function filesLeft(root: string): readonly string[] {
  const shared = new Set(
    SHARED_LOCKS.map(key => createHash("sha256").update(key).digest("hex").slice(0, 40)),
  );
  const isDraft = (path: string): boolean =>
    /^owners\/./.test(path) ||
    (/^locks\/./.test(path) && !shared.has(path.slice("locks/".length))) ||
    /^version\./.test(path) ||
    /^facts\/synced-[0-9a-f-]+\./.test(path) ||
    /^runs\/.*\.json\./.test(path) ||
    /^cache-mounts\/[^/]*\.new$/.test(path) ||
    /^blobs\/[^/]*\/(?![0-9a-f]+$)/.test(path) ||
    /^git\/[^/]*\/(?:.*\/)?(?:tmp_|[^/]*\.lock$)/.test(path);
  return walk(root, path => !/\/(?:snapshots|cache-mounts)\/[^/]+$/.test(path))
    .map(path => path.slice(root.length + 1))
    .filter(isDraft);
}

/** Paths of everything below a folder; folders for which `enter` is false are not entered. */
function walk(folder: string, enter: (path: string) => boolean = () => true): readonly string[] {
  let entries;
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
  return entries.flatMap(entry => {
    const path = join(folder, entry.name);
    return [path, ...(entry.isDirectory() && enter(path) ? walk(path, enter) : [])];
  });
}
