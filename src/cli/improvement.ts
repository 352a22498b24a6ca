// What keeps a user from a better rung of the ladder (see namespace.ts), and the command that removes it.
import { readFileSync, statSync } from "node:fs";
import type { Environment } from "./environment.ts";
import {
  currentRung,
  type Rung,
  settings,
  settingValue,
  subordinateIds,
  subordinateRanges,
  userName,
} from "./namespace.ts";
import { findExecutable } from "./process.ts";

export interface Improvement {
  /** What is in the way. */
  readonly problem: string;
  /** A command, or what to change where no command does. */
  readonly fix: string;
}

/** The obstacle to the next better rung; undefined on the best one. `said` is what the system answered to trying. */
export function improvementOf(
  rung: Rung,
  environment: Environment,
  said: { readonly ranges?: string | undefined; readonly single?: string | undefined } = {},
): Improvement | undefined {
  switch (rung) {
    case "root":
    case "ranges":
    case "identity":
      return undefined;
    case "single":
      return obstacleToRanges(environment, said.ranges);
    case "none":
      return obstacleToNamespaces(environment, said.single);
  }
}

/** One line about a rung that is not the best, with what leads to a better one; undefined on the best. */
export function rungNote(environment: Environment): string | undefined {
  const rung = currentRung(environment);
  const improvement = improvementOf(rung, environment);
  if (improvement === undefined) return undefined;
  const what =
    rung === "none"
      ? "there are no user namespaces for this user: RUN is refused, and files have no owner but root"
      : "this user has one id only: steps run as root alone, and files have no other owner";
  return `note: ${what} (${improvement.problem}); fix: ${improvement.fix}\n`;
}

function obstacleToRanges(environment: Environment, said: string | undefined): Improvement {
  const missing = ["newuidmap", "newgidmap"].find(name => pathOf(name, environment) === undefined);
  if (missing !== undefined)
    return { problem: `${missing} is not installed`, fix: installCommand("uidmap", environment) };
  if (subordinateIds() === undefined) {
    const start = firstFreeId();
    const range = `${start}-${start + RANGE - 1}`;
    return {
      problem: `no ids are set aside for "${userName()}" in /etc/subuid and /etc/subgid`,
      fix: `sudo usermod --add-subuids ${range} --add-subgids ${range} ${userName()}`,
    };
  }
  if (/^NoNewPrivs:\s*1$/m.test(read("/proc/self/status")))
    return {
      problem: "new privileges are forbidden to this process, so newuidmap cannot do its work",
      fix: "start it without no_new_privs (allowPrivilegeEscalation: true in Kubernetes)",
    };
  const programs = ["newuidmap", "newgidmap"].flatMap(name => pathOf(name, environment) ?? []);
  if (programs.some(path => ((statSync(path, { throwIfNoEntry: false })?.mode ?? 0) & SETUID) === 0))
    return {
      problem: said ?? "newuidmap does not run with the rights of root",
      fix: `sudo chmod u+s ${programs.join(" ")}`,
    };
  return {
    problem: said ?? "newuidmap refuses the ids of /etc/subuid",
    fix: `check the lines of "${userName()}" in /etc/subuid and /etc/subgid: sudo grep . /etc/subuid /etc/subgid`,
  };
}

function obstacleToNamespaces(environment: Environment, said: string | undefined): Improvement {
  if (pathOf("unshare", environment) === undefined)
    return { problem: "unshare is not installed", fix: installCommand("util-linux", environment) };
  for (const { name, value, forbids } of settings) {
    const now = settingValue(name);
    if (now === forbids)
      return {
        problem: `user namespaces are forbidden: ${name} is ${now}`,
        fix: `sudo sysctl -w ${name}=${value}`,
      };
  }
  return {
    problem: `user namespaces are refused${said === undefined ? "" : `: ${said}`}`,
    fix: 'inside a container: start that with "--security-opt seccomp=unconfined --security-opt apparmor=unconfined", or privileged; else: sudo bake …',
  };
}

/** How many ids a container can use: 65536, from 0 on. */
const RANGE = 65536;
const FIRST_ID = 100_000;
const SETUID = 0o4000;

/** Above all ids that are set aside for others. */
function firstFreeId(): number {
  const ranges = ["/etc/subuid", "/etc/subgid"].flatMap(subordinateRanges);
  return Math.max(FIRST_ID, ...ranges.map(({ start, count }) => start + count));
}

/** Package managers, and what they call the packages where that is not what Debian calls them. */
const managers = [
  { program: "apt-get", install: "apt-get install", names: {} },
  { program: "dnf", install: "dnf install", names: { uidmap: "shadow-utils" } },
  { program: "apk", install: "apk add", names: { uidmap: "shadow-uidmap" } },
  { program: "pacman", install: "pacman -S", names: { uidmap: "shadow" } },
  { program: "zypper", install: "zypper install", names: { uidmap: "shadow" } },
] as const;

function installCommand(name: "uidmap" | "util-linux", environment: Environment): string {
  const manager = managers.find(({ program }) => pathOf(program, environment) !== undefined) ?? managers[0];
  const names: Readonly<Record<string, string>> = manager.names;
  return `sudo ${manager.install} ${names[name] ?? name}`;
}

function pathOf(name: string, { env, cwd }: Environment): string | undefined {
  return findExecutable(name, { cwd, path: env["PATH"] ?? "" });
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
