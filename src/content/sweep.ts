// Cleans up after owners that died: their processes, cgroups, mounts and files, in this order.
import { closeSync, existsSync, openSync, readdirSync, readFileSync, rmdirSync, unlinkSync } from "node:fs";
import { chmod, readdir, readFile, rm, stat } from "node:fs/promises";
import { basename, isAbsolute, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { openByteLocks } from "./bytelocks.ts";
import { ownerCgroup, removeOwnerCgroups, sweepOrphanCgroups } from "./cgroups.ts";
import { loadLibc } from "./libc.ts";
import { removeFreeLocks } from "./lock.ts";
import { mountsUnder, unmountUnder } from "./mounttable.ts";
import { isOfThisProcess, ownerByte } from "./ownername.ts";
import { processStart } from "./procstat.ts";
import { isCode, type StateRoot } from "./root.ts";
import { thaw } from "./thaw.ts";

/** Among an owner's files: paths of what it was making outside the state directory, a JSON string a line. */
export const OUTSIDE = "outside";
/** What may be removed there: names that nothing but a draft of ours has. */
export const OUTSIDE_NAME = /llbake-[0-9A-Za-z]{6,}$/;

/** A variable that the programs which an owner starts have, with its folder: how those it left behind are known. */
export const OWNER_VARIABLE = "LLBAKE_OWNER";

// Pauses are counted, not the time: on a machine with too much to do it goes by with nothing done.
/** For the rest of an exit. */
const DYING_WAIT_MS = 5_000;
/** For what was killed to end, in pauses of 2 ms. */
const KILL_WAIT_MS = 5_000;
/** More than it takes until what was killed has started nothing more. */
const KILL_ROUNDS = 100;
/** Starting a program may be interrupted for long. With 1 ms between them. */
const EXEC_ATTEMPTS = 300;

/** Removes what dead owners left behind and returns their names. Several processes may sweep at once. */
export async function sweepDeadOwners(root: StateRoot): Promise<readonly string[]> {
  const { swept } = await sweepOwners(root);
  return swept;
}

/**
 * As `sweepDeadOwners`, and waits for those that are just dying: whoever was given what another process held, or comes
 * after it, goes on when nothing that one started runs any more. A process gives up all byte locks before it gives up
 * what tells that it lives, so one without its byte is dying. So is one that is dead, but for a program which it was
 * just starting: until that runs, it shares what tells that its starter lives.
 */
export async function sweepDyingOwners(root: StateRoot): Promise<void> {
  const others = readdirSync(root.owners).filter(name => !isOfThisProcess(name));
  const locks = await openByteLocks(root);
  try {
    const dying = new Set(others.filter(name => locks.holder(ownerByte(name)) === undefined));
    for (let [waitMs, waitedMs] = [1, 0]; ; waitMs = Math.min(25, waitMs * 2)) {
      const { living } = await sweepOwners(root);
      if (!living.some(name => dying.has(name)) || waitedMs >= DYING_WAIT_MS) return;
      await delay(waitMs);
      waitedMs += waitMs;
    }
  } finally {
    locks.close();
  }
}

async function sweepOwners(
  root: StateRoot,
): Promise<{ readonly swept: readonly string[]; readonly living: readonly string[] }> {
  const swept: string[] = [];
  const living: string[] = [];
  for (const name of readdirSync(root.owners)) {
    if (name.startsWith(".")) await sweepDraft(join(root.owners, name));
    else {
      const result = await sweepIfDead(root, name);
      if (result === "swept") swept.push(name);
      if (result === "lives") living.push(name);
    }
  }
  if (swept.length > 0) {
    await removeFreeLocks(root);
    await sweepOrphanCgroups();
  }
  return { swept, living };
}

/** A folder that a process is making is locked itself. */
async function sweepDraft(path: string): Promise<void> {
  await ifUnlocked(path, () => rm(path, { recursive: true, force: true }));
}

/** What is left can only be removed by others. */
type Swept = "swept" | "lives" | "left";

async function sweepIfDead(root: StateRoot, name: string): Promise<Swept> {
  const path = join(root.owners, name);
  let result: Swept = "swept";
  const swept = await ifUnlocked(join(path, "alive"), async () => {
    await killProcesses(path);
    await removeOwnerCgroups(path);
    if (mountsUnder(path).length > 0) await unmountUnder(path);
    await removeOutside(path);
    try {
      await removeOwnerFolder(path);
      // A runtime that lost its bundle in the moment it began has given up by now, but may have made some.
      await removeOwnerCgroups(path);
    } catch (thrown) {
      // Files of steps may belong to others; a process that may remove them follows.
      if (!isCode(thrown, "EACCES") && !isCode(thrown, "EPERM")) throw thrown;
      result = "left";
    }
  });
  // Either gone, or half removed by a sweeper that died: `alive` is the last thing to go.
  if (swept === "missing") await sweepDraft(path);
  if (swept === false) return "lives";
  return swept === true ? result : "left";
}

/** Does something while holding the lock of a file or folder, unless somebody else has it. */
async function ifUnlocked(path: string, work: () => Promise<void>): Promise<boolean | "missing"> {
  const libc = await loadLibc();
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (thrown) {
    if (isCode(thrown, "ENOENT") || isCode(thrown, "ENOTDIR")) return "missing";
    throw thrown;
  }
  try {
    if (!libc.flock(fd, "exclusive")) return false;
    await work();
    return true;
  } finally {
    closeSync(fd);
  }
}

/** Drafts of outputs and the like, beside their places anywhere on the machine. */
async function removeOutside(path: string): Promise<void> {
  const text = await readFile(join(path, OUTSIDE), "utf8").catch(() => "");
  for (const line of text.split("\n").filter(Boolean)) {
    let draft: unknown;
    try {
      draft = JSON.parse(line);
    } catch {
      // Cut off: what it names was not begun.
      continue;
    }
    if (typeof draft !== "string" || !isAbsolute(draft) || !OUTSIDE_NAME.test(draft)) continue;
    // Where it cannot be removed, by another user say, it stays.
    await rm(draft, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** The lock file goes last, so that a sweeper that dies half-way is followed by another. */
export async function removeOwnerFolder(path: string): Promise<void> {
  if (removeEmpty(path)) return;
  for (const entry of await readdir(path).catch(() => [])) {
    if (entry !== "alive") await removeTree(join(path, entry));
  }
  await rm(path, { recursive: true, force: true });
}

async function removeTree(path: string): Promise<void> {
  const remove = (): Promise<void> =>
    rm(path, { recursive: true, force: true, maxRetries: 3, retryDelay: 20 });
  try {
    await remove();
  } catch (thrown) {
    if (!isCode(thrown, "EACCES")) throw thrown;
    await unlockFolders(path);
    await remove();
  }
}

/** Lets their owner into all folders of a tree: into those that the kernel makes for an overlay it may not go. */
async function unlockFolders(path: string): Promise<void> {
  // Those of others stay as they are, which removing them will tell.
  await chmod(path, 0o700).catch(() => undefined);
  for (const entry of await readdir(path, { withFileTypes: true }).catch(() => []))
    if (entry.isDirectory()) await unlockFolders(join(path, entry.name));
}

/** Removes an owner's folder that holds nothing more than one that did nothing; false when there is more. */
function removeEmpty(path: string): boolean {
  try {
    for (const entry of readdirSync(path, { withFileTypes: true }))
      if (entry.isDirectory()) rmdirSync(join(path, entry.name));
      else if (entry.name !== "alive") unlinkSync(join(path, entry.name));
    unlinkSync(join(path, "alive"));
    rmdirSync(path);
    return true;
  } catch {
    return false;
  }
}

/**
 * Kills the runtimes that an owner started and the containers they run. A runtime is known by the owner's path among
 * its arguments; its children are container inits, with which the whole process tree of a container ends. Inits
 * whose runtime is gone are found by the process ids that runtimes wrote into the bundles. Other programs, such as git
 * and its helpers, are known by a variable.
 */
async function killProcesses(path: string): Promise<void> {
  let waitedMs = 0;
  // What was just about to start something is followed by what it started; and what puts itself into the background
  // may be looked for between its two processes, when the one is gone and the other was not there yet.
  for (let [quiet, round] = [0, 0]; quiet < 2 && round < KILL_ROUNDS; round++) {
    const victims = await findProcesses(path);
    quiet = victims.size === 0 ? quiet + 1 : 0;
    let areOthers = false;
    for (const [pid, started] of victims) {
      if (kill(pid)) continue;
      victims.delete(pid);
      areOthers ||= (await processStart(pid)) === started;
    }
    // Not ours to kill.
    if (areOthers && victims.size === 0) return;
    for (const [pid, started] of victims) {
      for (; (await processStart(pid)) === started; waitedMs += 2) {
        thaw(pid, ownerCgroup(basename(path)));
        if (waitedMs >= KILL_WAIT_MS) return;
        await delay(2);
      }
    }
  }
}

/** Process ids, each with when it started. All are read at once: to ask another thread for each takes far longer. */
async function findProcesses(path: string): Promise<Map<number, string>> {
  const bundles = await readdir(join(path, "bundles")).catch(() => []);
  const found = new Map<number, string>();
  const mark = async (pid: number): Promise<void> => {
    const started = await processStart(pid);
    if (started !== undefined) found.set(pid, started);
  };
  for (const bundle of bundles) {
    const pid = await recordedInit(join(path, "bundles", bundle, "pid"));
    if (pid !== undefined) await mark(pid);
  }
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const words = await commandLine(pid);
    // Read after it: what starts a program in between has the variable by then.
    if (textOf(`/proc/${pid}/environ`).split("\0").includes(`${OWNER_VARIABLE}=${path}`)) await mark(pid);
    if (!words.some(word => word.startsWith(`${path}/`))) continue;
    for (const child of children(pid)) await mark(child);
    await mark(pid);
  }
  return found;
}

/** The arguments of a process; in the moment it starts another program they are out of sight, which is waited for. */
async function commandLine(pid: number): Promise<readonly string[]> {
  for (let attempt = 0; ; attempt++) {
    const text = textOf(`/proc/${pid}/cmdline`);
    if (text !== "" || attempt === EXEC_ATTEMPTS || !existsSync(`/proc/${pid}/exe`)) return text.split("\0");
    await delay(1);
  }
}

/** A file of a process, empty when there is none any more, or it is not ours to read. */
function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

/** The process id in a runtime's pid file, unless it was given to a process that started after the file was written. */
async function recordedInit(file: string): Promise<number | undefined> {
  const text = await readFile(file, "utf8").catch(() => "");
  const pid = Number(text.trim() || NaN);
  const started = Number.isInteger(pid) ? await processStart(pid) : undefined;
  if (started === undefined) return undefined;
  const bootMs = Number(/^btime ([0-9]+)$/m.exec(await readFile("/proc/stat", "utf8"))?.[1] ?? 0) * 1000;
  // btime is whole seconds.
  const startedMs = bootMs + (Number(started) * 1000) / CLOCK_TICKS;
  return startedMs < (await stat(file)).mtimeMs + 1_000 ? pid : undefined;
}

/** Per second, in /proc/PID/stat: USER_HZ, the same on every Linux that Node runs on. */
const CLOCK_TICKS = 100;

function children(pid: number): readonly number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap(task =>
      textOf(`/proc/${pid}/task/${task}/children`).split(" ").filter(Boolean).map(Number),
    );
  } catch {
    return [];
  }
}

/** False when it is not ours to kill, as a step of another user namespace. */
function kill(pid: number): boolean {
  try {
    return process.kill(pid, "SIGKILL");
  } catch (thrown) {
    if (isCode(thrown, "EPERM")) return false;
    if (!isCode(thrown, "ESRCH")) throw thrown;
    return true;
  }
}
