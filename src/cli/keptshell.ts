// A shell, or a command of the user's, in the container of a step.
import { isatty } from "node:tty";
import { BakeError } from "../diagnostic/error.ts";
import type { KeptStep } from "../session/session.ts";
import type { Environment } from "./environment.ts";
import type { BakeFlags } from "./flags.ts";

/** The first one that is there is taken. */
const SHELLS = ["/bin/bash", "/usr/bin/bash", "/bin/sh", "/usr/bin/sh", "/bin/ash", "/busybox/sh"];

/** Whether a person can type into what this process starts. */
export function hasTerminal(): boolean {
  return isatty(0) && isatty(1);
}

/** Keeps what the first command left that failed, for `Session.keepFailed`; whoever takes `step` disposes it. */
export function keepFirst(): { readonly step: KeptStep | undefined; keep: (step: KeptStep) => boolean } {
  let first: KeptStep | undefined;
  return {
    get step() {
      return first;
    },
    keep: step => {
      if (first !== undefined) return false;
      first = step;
      return true;
    },
  };
}

/** Checks `--on-error`. @throws BakeError "usage" */
export function expectOnError({ onError, watch }: Pick<BakeFlags, "onError" | "watch">): void {
  if (onError === undefined) return;
  if (onError !== "shell")
    throw new BakeError("usage", `unknown value "${onError}" of --on-error`, { hint: 'expected "shell"' });
  if (watch === true) throw new BakeError("usage", "--on-error and --watch cannot be used together");
  if (!hasTerminal())
    throw new BakeError("usage", "--on-error=shell needs a terminal", {
      hint: "without one, `bake shell TARGET@STEP -- COMMAND` runs a command where a step failed",
    });
}

/**
 * Runs `args`, or a shell of the image when there are none, on the streams of this process; gives its exit code.
 * @throws BakeError "file-missing" when the image has no shell
 */
export async function openShell(
  step: KeptStep,
  args: readonly string[],
  { env, signal }: { readonly env: Environment["env"]; readonly signal: AbortSignal },
): Promise<number> {
  const shell = SHELLS.find(path => step.has(path));
  if (shell === undefined && args.length === 0)
    throw new BakeError("file-missing", "there is no shell in the container", {
      hint: `looked for ${SHELLS.join(", ")}; \`bake shell TARGET@STEP -- PROGRAM\` runs another program`,
    });
  const terminal = hasTerminal();
  const { exitCode } = await step.run(args.length > 0 ? args : [shell ?? ""], {
    signal,
    attach: terminal ? "terminal" : "streams",
    env: terminal && env["TERM"] ? [`TERM=${env["TERM"]}`] : [],
  });
  return exitCode;
}
