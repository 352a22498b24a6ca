// What a runtime says when it cannot start a command, turned into what the user can do about it.
import { existsSync } from "node:fs";
import { BakeError } from "../diagnostic/error.ts";
import { resolveInRoot } from "../layer/rootpath.ts";
import type { ProcessSpec } from "./executor.ts";

interface Pattern {
  readonly matches: RegExp;
  explain(
    program: string,
    command: ProcessSpec,
    root: string,
  ): { readonly message: string; readonly hint: string };
}

/** First match wins. The words are those of runc and crun. */
const patterns: readonly Pattern[] = [
  {
    matches: /exec format error/i,
    explain: program => ({
      message: `cannot run "${program}": it is a program for another processor, or a script without "#!"`,
      hint: "check the platform of the base image; other platforms need an emulator",
    }),
  },
  {
    matches: /(?:chdir|cwd|working directory|mkdir)[^\n]*(?:not a directory|no such file|permission denied)/i,
    explain: (_, command) => ({
      message: `cannot enter the working directory "${command.cwd}"`,
      hint: "it must be a directory that the user of the step may enter",
    }),
  },
  {
    matches: /not found in \$?PATH|no such file or directory|cannot find|executable file not found/i,
    explain: missingProgram,
  },
  {
    matches: /permission denied|operation not permitted|is a directory/i,
    explain: program => ({
      message: `cannot run "${program}": it is not an executable file, or the user of the step may not run it`,
      hint: "check its mode (chmod +x) and the USER of the step",
    }),
  },
];

/** Shells that the shell form of an instruction needs. */
const SHELLS = new Set(["/bin/sh", "/bin/bash", "sh", "bash"]);

/**
 * The failure that the runtime's log tells of; undefined when it tells of none, so that the exit code is the
 * command's. A command that cannot be found is a failed step, everything else a failure of the runtime.
 */
export function startFailure(
  runtime: string,
  log: string,
  command: ProcessSpec,
  root: string,
): BakeError | undefined {
  const message = errorIn(log);
  if (message === undefined) return undefined;
  const program = command.args[0] ?? "";
  const isAboutProgram = /exec|chdir|cwd|container init: mkdir/i.test(message);
  const pattern = isAboutProgram ? patterns.find(({ matches }) => matches.test(message)) : undefined;
  if (pattern) {
    const { message: text, hint } = pattern.explain(program, command, root);
    return new BakeError("step-failed", text, { hint, cause: new Error(message) });
  }
  return new BakeError("runtime-failed", `${runtime} could not start the container: ${message}`, {
    hint: hints.find(([matches]) => matches.test(message))?.[1],
  });
}

/**
 * When the very last step, execve, fails, the runtime is inside the container already, out of reach of its log, and
 * complains on the standard error of the command. Such a complaint is all there is then: a single line.
 */
export function execComplaint(stderr: string): string {
  const line = stderr.trimEnd();
  const isOne = !line.includes("\n") && /^(?:\{.*"exec container process|exec \/\S+: )/.test(line);
  if (!isOne) return "";
  return line.startsWith("{") ? line : JSON.stringify({ level: "error", msg: line });
}

const hints: readonly (readonly [RegExp, string])[] = [
  [
    /rlimit/i,
    "a limit of `ulimits` is above that of llbake itself (ulimit -H): lower it, or run llbake with more",
  ],
  [
    /mount.*(?:not a directory|is a directory)/i,
    "at the target of a mount the image has a file where a folder is to be, or a folder where a file is to be: choose another target",
  ],
  [/cgroup/i, "the runtime cannot use the cgroups of this machine; try another one with --oci-runtime"],
  [
    /operation not permitted|permission denied/i,
    "containers need root, or a privileged container around llbake",
  ],
  [/no space left/i, "free some space on the disk of the state directory"],
];

function missingProgram(
  program: string,
  _: ProcessSpec,
  root: string,
): { readonly message: string; readonly hint: string } {
  if (program.startsWith("/") && existsSync(resolveInRoot(root, program, { followLast: true }))) {
    return {
      message: `cannot run "${program}": the interpreter or loader it names is not in the image`,
      hint: "a dynamic program needs its loader and libraries, a script the program after its #!; link statically or copy them too",
    };
  }
  return {
    message: `cannot run "${program}": not found in the image`,
    hint: SHELLS.has(program)
      ? 'the image has no shell: use the exec form, RUN ["program", "argument"], or a base image with a shell'
      : "check its spelling and PATH, or install it in an earlier step",
  };
}

/** The last error among the log's lines, each a JSON object with `level` and `msg`. */
function errorIn(log: string): string | undefined {
  const errors: string[] = [];
  for (const line of log.split("\n")) {
    if (line === "") continue;
    try {
      const { level, msg } = JSON.parse(line) as Readonly<Record<string, unknown>>;
      if ((level === "error" || level === "fatal") && typeof msg === "string") errors.push(msg);
    } catch {
      errors.push(line);
    }
  }
  return errors.at(-1);
}
