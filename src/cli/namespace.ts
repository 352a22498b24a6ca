// The ladder: root; a user namespace with ranges of ids; one with the user alone; none. Which rung this user can stand on
// is found by trying, and remembered until something changes that it depends on.
import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { dirname, join } from "node:path";
import { type NamespaceWay, namespaceKinds } from "../system/namespace.ts";
import { hasCapability, type IdRange, isPrivileged, keepsOwners, readIdMap } from "../system/privilege.ts";
import { ENTERED_VARIABLE, type Environment } from "./environment.ts";
import { findExecutable } from "./process.ts";
import { formOfRun } from "./runform.ts";

/** `root` may mount and give files away by itself; the others are the kinds of namespace it takes, best first. */
export type Rung = "root" | NamespaceWay["kind"] | "none";

/** What trying a way ended with. */
export interface Trial {
  readonly way: NamespaceWay;
  /** As the system said it; undefined when it works. */
  readonly problem: string | undefined;
}

/** Whether commands that mount or run steps have to enter a namespace first. */
export function isOutside({ machine, entered }: Environment): boolean {
  return machine.os === "linux" && entered === undefined && !isPrivileged();
}

/**
 * Whether files can have owners, here or in the namespace that this process will take. True as long as that is not known
 * yet: then the program is about to find out, and to start anew.
 */
export function willKeepOwners(environment: Environment): boolean {
  if (environment.machine.os !== "linux") return true;
  if (!isOutside(environment)) return keepsOwners();
  const { kind } = remembered(environment);
  return kind !== "single" && kind !== "none";
}

/** The rung that this process stands on now. */
export function currentRung({ entered }: Environment): Rung {
  return isPrivileged() ? (entered ?? "root") : "none";
}

/** Starts this program anew as root of a user namespace. Does not return, unless it cannot be done after all. */
export async function enterNamespace(way: NamespaceWay, { argv, home }: Environment): Promise<void> {
  const { replaceProcess } = await import("../system/namespace.ts");
  try {
    await replaceProcess(way, [process.execPath, ...process.execArgv, ...process.argv.slice(1)], {
      keep: formOfRun(argv).descriptors,
      announce: useless => {
        process.env[ENTERED_VARIABLE] = `${[way.kind, ...useless].join(",")}:${home}`;
      },
    });
  } catch {
    // The program goes on as it is, and says what it cannot do.
    delete process.env[ENTERED_VARIABLE];
  }
}

/** The best way that works; undefined when there is none. */
export async function findWay(environment: Environment): Promise<NamespaceWay | undefined> {
  const { file, key, ways, kind: known } = remembered(environment);
  if (known !== undefined) return ways.find(({ kind }) => kind === known);
  const { tryNamespace } = await import("../system/namespace.ts");
  let found: NamespaceWay | undefined;
  for (const way of ways) {
    if ((await tryNamespace(way)) !== undefined) continue;
    found = way;
    break;
  }
  remember(file, key, found?.kind ?? "none");
  return found;
}

/** Tries every way there is: for people who want to know. */
export async function tryWays(): Promise<readonly Trial[]> {
  const { tryNamespace } = await import("../system/namespace.ts");
  const trials: Trial[] = [];
  for (const way of waysToTry()) trials.push({ way, problem: await tryNamespace(way) });
  return trials;
}

function waysToTry(): readonly NamespaceWay[] {
  const ways: NamespaceWay[] = [{ kind: "single" }];
  const ranges = subordinateIds();
  if (ranges !== undefined) ways.unshift({ kind: "ranges", ...ranges });
  if (hasCapability("setuid") && hasCapability("setgid")) {
    const asTheyAre = (kind: "uid" | "gid"): readonly IdRange[] =>
      readIdMap(kind).map(({ inside, count }) => ({ inside, outside: inside, count }));
    ways.unshift({ kind: "identity", uid: asTheyAre("uid"), gid: asTheyAre("gid") });
  }
  return ways;
}

/** The user as 0, then the ids that subuid(5) and subgid(5) give it; undefined when either gives none. */
export function subordinateIds():
  { readonly uid: readonly IdRange[]; readonly gid: readonly IdRange[] } | undefined {
  const [uid, gid] = [ownId("uid"), ownId("gid")];
  const names = [String(uid), userName()];
  const rangesOf = (file: string, own: number): readonly IdRange[] | undefined => {
    const ranges: IdRange[] = [{ inside: 0, outside: own, count: 1 }];
    let inside = 1;
    for (const { name, start, count } of subordinateRanges(file)) {
      if (!names.includes(name)) continue;
      ranges.push({ inside, outside: start, count });
      inside += count;
    }
    return ranges.length > 1 ? ranges : undefined;
  };
  const uids = rangesOf("/etc/subuid", uid);
  const gids = rangesOf("/etc/subgid", gid);
  return uids && gids && { uid: uids, gid: gids };
}

/** The lines of a subuid(5) file. */
export function subordinateRanges(
  file: string,
): readonly { readonly name: string; readonly start: number; readonly count: number }[] {
  return read(file)
    .split("\n")
    .flatMap(line => {
      const [name = "", start = NaN, count = NaN] = line
        .split(":")
        .map((part, at) => (at ? Number(part) : part));
      return typeof start === "number" && typeof count === "number" && count > 0
        ? [{ name: String(name), start, count }]
        : [];
    });
}

/** The name of the user, or its number where it has none; in a namespace of its own, that of before. */
export function userName(): string {
  const uid = ownId("uid");
  try {
    if (uid === process.geteuid?.()) return userInfo().username;
  } catch {
    // A user without an entry.
  }
  const entry = read("/etc/passwd")
    .split("\n")
    .find(line => line.split(":")[2] === String(uid));
  return entry?.split(":")[0] ?? String(uid);
}

/** The id outside of the namespace this program may have started itself in. */
function ownId(kind: "uid" | "gid"): number {
  const id = (kind === "uid" ? process.geteuid?.() : process.getegid?.()) ?? 0;
  const range = readIdMap(kind).find(({ inside, count }) => id >= inside && id < inside + count);
  return range === undefined ? id : range.outside + id - range.inside;
}

/** Settings of the kernel that can forbid user namespaces: the value that does, and one that does not. */
export const settings = [
  { name: "kernel.unprivileged_userns_clone", forbids: "0", value: "1" },
  { name: "kernel.apparmor_restrict_unprivileged_userns", forbids: "1", value: "0" },
  { name: "user.max_user_namespaces", forbids: "0", value: "15000" },
] as const;

/** The value of a kernel setting; undefined when this kernel has none of that name. */
export function settingValue(name: string): string | undefined {
  const text = read(`/proc/sys/${name.replaceAll(".", "/")}`).trim();
  return text === "" ? undefined : text;
}

/** What a trial's outcome depends on besides the ids. */
function circumstances({ env, cwd }: Environment): readonly unknown[] {
  const programs = ["unshare", "newuidmap", "newgidmap"].map(name => {
    const path = findExecutable(name, { cwd, path: env["PATH"] ?? "" });
    const found = path === undefined ? undefined : statSync(path, { throwIfNoEntry: false });
    return found && [path, found.ctimeMs];
  });
  const boot = read("/proc/sys/kernel/random/boot_id").trim();
  const noNewPrivileges = /^NoNewPrivs:.*$/m.exec(read("/proc/self/status"))?.[0];
  return [boot, programs, noNewPrivileges, settings.map(({ name }) => settingValue(name))];
}

/** Below the home folder, where nobody else can put something in our way. */
function cacheFolder({ env, home }: Environment): string {
  return join(env["XDG_CACHE_HOME"] || join(home, ".cache"), "llbake");
}

interface Remembered {
  readonly file: string;
  readonly key: string;
  readonly ways: readonly NamespaceWay[];
  /** Undefined when it is not known. */
  readonly kind: NamespaceWay["kind"] | "none" | undefined;
}

function remembered(environment: Environment): Remembered {
  const file = join(cacheFolder(environment), "namespace");
  const ways = waysToTry();
  const key = JSON.stringify([ways, circumstances(environment)]);
  return { file, key, ways, kind: readRemembered(file, key) };
}

function readRemembered(file: string, key: string): NamespaceWay["kind"] | "none" | undefined {
  const [knownKey, kind] = read(file).split("\n");
  if (knownKey !== key) return undefined;
  return kind === "none" ? kind : namespaceKinds.find(known => known === kind);
}

/** Not being able to remember is no reason to fail. */
function remember(file: string, key: string, kind: string): void {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(`${file}.${process.pid}`, `${key}\n${kind}\n`);
    renameSync(`${file}.${process.pid}`, file);
  } catch {
    // A full disk or a home folder that cannot be written to.
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
