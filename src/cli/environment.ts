// The process around the program. The only file that reads argv, environment variables, the working directory and
// whether the standard streams are terminals; everything else is given what it needs.
import { closeSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { isTerminal } from "../progress/renderer.ts";
import { type NamespaceWay, namespaceKinds } from "../system/namespace.ts";

export interface Environment {
  /** Arguments after the program's name. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly home: string;
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  /** Whether standard error may be coloured: a terminal, and the user did not ask for none (no-color.org). */
  readonly color: boolean;
  /** Node's names of the operating system and architecture, and Node's version. */
  readonly machine: { readonly os: string; readonly arch: string; readonly node: string };
  /** How this program has started itself anew in a user namespace; undefined when it has not. */
  readonly entered: NamespaceWay["kind"] | undefined;
}

/**
 * Set by this program for itself when it starts anew as root of a user namespace: the kind of namespace, descriptors
 * that were needed for it alone, and after a colon the home folder. It is a note, not a grant: what may be done is asked
 * of the kernel.
 */
export const ENTERED_VARIABLE = "LLBAKE_ENTERED";

export function readEnvironment(): Environment {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) if (value !== undefined) env[name] = value;
  const { stdout, stderr } = process;
  const [, kind, useless = "", homeBefore] =
    /^([a-z]+)((?:,[0-9]+)*):(.*)$/s.exec(env[ENTERED_VARIABLE] ?? "") ?? [];
  for (const fd of useless.split(",").slice(1)) closeIfOpen(Number(fd));
  // Nobody else is to see it: no bake file, no helper program.
  delete env[ENTERED_VARIABLE];
  delete process.env[ENTERED_VARIABLE];
  return {
    argv: process.argv.slice(2),
    env,
    cwd: process.cwd(),
    home: env["HOME"] || homeBefore || homedir(),
    // Opened when asked for: an unused standard input must not keep the process alive.
    get stdin() {
      return process.stdin;
    },
    stdout,
    stderr,
    color: isTerminal(stderr) && !env["NO_COLOR"] && env["TERM"] !== "dumb",
    machine: { os: process.platform, arch: process.arch, node: process.versions.node },
    entered: namespaceKinds.find(known => known === kind),
  };
}

function closeIfOpen(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // Nobody handed it on.
  }
}

/** The state directory when none is asked for: LLBAKE_ROOT, else `llbake` in the user's state folder (XDG). */
export function defaultRoot({ env, home }: Environment): string {
  const state = env["XDG_STATE_HOME"];
  return env["LLBAKE_ROOT"] || join(state?.startsWith("/") ? state : join(home, ".local", "state"), "llbake");
}
