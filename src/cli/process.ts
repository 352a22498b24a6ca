// Helper programs of the command line (credential helpers, runtimes asked for their version): found on PATH, run to
// their end, killed when the signal aborts.
import { spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, resolve } from "node:path";

export interface CommandOutcome {
  /** Undefined when the program was ended by a signal. */
  readonly exitCode: number | undefined;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Runs a program to its end. @throws the error of spawning it, or of the aborted signal */
export async function runCommand(
  path: string,
  args: readonly string[],
  {
    input = "",
    signal,
    timeoutMs = 30_000,
  }: { readonly input?: string; readonly signal?: AbortSignal; readonly timeoutMs?: number } = {},
): Promise<CommandOutcome> {
  const limit = AbortSignal.timeout(timeoutMs);
  const child = spawn(path, args, {
    stdio: ["pipe", "pipe", "pipe"],
    signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (piece: Buffer) => stdout.push(piece));
  child.stderr.on("data", (piece: Buffer) => stderr.push(piece));
  // A program that does not read its input may be gone before all is written.
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  const exitCode = await new Promise<number | undefined>((settle, fail) => {
    child.once("error", fail);
    child.once("close", code => settle(code ?? undefined));
  });
  return { exitCode, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() };
}

/** The path of a program, looked for as a shell does; undefined when there is none. */
export function findExecutable(
  name: string,
  { cwd, path }: { readonly cwd: string; readonly path: string },
): string | undefined {
  const candidates = name.includes("/")
    ? [resolve(cwd, name)]
    : path.split(delimiter).map(dir => resolve(cwd, dir, name));
  return candidates.find(candidate => {
    try {
      accessSync(candidate, constants.X_OK);
      return statSync(candidate).isFile();
    } catch {
      return false;
    }
  });
}
