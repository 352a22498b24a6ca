// The cgroups of owners: each has one below which its containers have theirs, at the top or below parents that steps
// name (cgroups(7)).
import { appendFileSync, existsSync, readFileSync, type Dirent } from "node:fs";
import { readdir, readFile, rmdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { processStart } from "./procstat.ts";
import { isCode } from "./root.ts";

/** With 10 ms between them. */
const BUSY_ATTEMPTS = 50;

/** Among an owner's files: parents of cgroups that it was given, one a line as JSON. */
const PARENTS = "cgroupparents";

interface ParentRecord {
  readonly name: string;
  /** Folders of parents that were not there before, outer ones first. */
  readonly made: readonly string[];
}

/** The cgroup below which an owner's containers have theirs: at the top, so that no parent is shared or left over. */
export function ownerCgroup(name: string): string {
  return `llbake-${name}`;
}

/** Notes that an owner's containers will have cgroups below `parent`, before the first one is made there. */
export function noteCgroupParent(ownerPath: string, parent: string): void {
  const made = cgroupPoints().flatMap(point => {
    const steps = parent.split("/").filter(Boolean);
    return steps
      .map((_, index) => join(point, ...steps.slice(0, index + 1)))
      .filter(folder => !existsSync(folder));
  });
  const record: ParentRecord = { name: parent, made };
  appendFileSync(join(ownerPath, PARENTS), `${JSON.stringify(record)}\n`);
}

/** Removes the cgroups of an owner's containers, and the parents that were made for them unless others are in them. */
export async function removeOwnerCgroups(ownerPath: string): Promise<void> {
  const own = ownerCgroup(basename(ownerPath));
  await removeCgroups(own);
  const text = await readFile(join(ownerPath, PARENTS), "utf8").catch(() => "");
  for (const line of text.split("\n")) {
    const record = parseRecord(line);
    if (record === undefined) continue;
    await removeCgroups(join(record.name, own));
    for (const folder of [...record.made].reverse()) await rmdir(folder).catch(() => undefined);
  }
}

/** Undefined for a line that was cut off: what it names was not begun. */
function parseRecord(line: string): ParentRecord | undefined {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value !== "object" || value === null) return undefined;
    const { name, made } = value as Readonly<Record<string, unknown>>;
    return typeof name === "string" && Array.isArray(made) ? { name, made: made.map(String) } : undefined;
  } catch {
    return undefined;
  }
}

/** Removes a cgroup and those below it in every mounted hierarchy; their processes are dead by now. */
export async function removeCgroups(name: string): Promise<void> {
  for (const point of cgroupPoints()) await removeCgroup(join(point, name));
}

/**
 * Removes the cgroups of dead owners whose state directory is gone, so that no sweep of it will come. Only empty ones
 * can be removed, so a living container is safe even where its processes cannot be seen from here.
 */
export async function sweepOrphanCgroups(): Promise<void> {
  for (const point of cgroupPoints()) {
    for (const entry of await readdir(point).catch(() => [])) {
      const [, pid, started] = /^llbake-([0-9]+)-([0-9]+)-[0-9a-f]+$/.exec(entry) ?? [];
      if (pid === undefined || (await processStart(Number(pid))) === started) continue;
      await removeCgroup(join(point, entry), 1);
    }
  }
}

function cgroupPoints(): readonly string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter(line => / - cgroup2? /.test(line))
    .flatMap(line => line.split(" ")[4] ?? []);
}

/** A cgroup goes away with rmdir only, children first; it stays busy for a moment after its last process ended. */
async function removeCgroup(path: string, attempts = BUSY_ATTEMPTS): Promise<void> {
  let entries: readonly Dirent[];
  try {
    entries = await readdir(path, { withFileTypes: true });
  } catch {
    return;
  }
  for (const entry of entries) if (entry.isDirectory()) await removeCgroup(join(path, entry.name), attempts);
  for (let attempt = 0; attempt < attempts; attempt++) {
    try {
      return await rmdir(path);
    } catch (thrown) {
      if (!isCode(thrown, "EBUSY")) return;
      await delay(10);
    }
  }
}
