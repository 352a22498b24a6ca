// The process of a runtime, from its start to its end: its output, and the end of the whole container when that is asked
// for, which the runtime itself may fail to bring about.
import type { ChildProcess } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { BakeError } from "../diagnostic/error.ts";
import type { RunOptions } from "./executor.ts";

/** How long a container may take to die after SIGKILL before its runtime is killed too, and before we stop waiting. */
const KILL_RUNTIME_MS = 2_000;
const GIVE_UP_MS = 5_000;
/** Output may come in this long after the runtime ended; then something outside the container holds the pipe. */
const DRAIN_MS = 1_000;

export interface RuntimeEnd {
  /** Undefined when a signal ended the runtime itself. */
  readonly exitCode: number | undefined;
  readonly killedBy: string | undefined;
}

/**
 * Resolves with the end of the process that `begin` starts, or has started, when all of its output has come. When the
 * signal aborts, the container is killed first.
 * @throws BakeError "runtime-failed" when it cannot be started
 */
export async function runToEnd(
  begin: () => ChildProcess,
  runtime: string,
  options: RunOptions,
): Promise<RuntimeEnd> {
  const child = begin();
  child.stdout?.on("data", (data: Buffer) => options.onOutput(1, data));
  child.stderr?.on("data", (data: Buffer) => options.onOutput(2, data));
  const closed = new Promise<void>(resolve => child.once("close", () => resolve()));
  const exited = new Promise<RuntimeEnd>((resolve, reject) => {
    child.once("error", cause => {
      reject(new BakeError("runtime-failed", `cannot start ${runtime}: ${cause.message}`, { cause }));
    });
    child.once("exit", (code, signal) =>
      resolve({ exitCode: code ?? undefined, killedBy: signal ?? undefined }),
    );
  });
  let killing: Promise<void> | undefined;
  const stop = (): void => {
    killing ??= killContainer(child);
  };
  options.signal.addEventListener("abort", stop, { once: true });
  if (options.signal.aborted) stop();
  try {
    const end = await Promise.race([exited, abandoned(options.signal)]);
    await killing;
    await Promise.race([closed, delay(DRAIN_MS, undefined, { ref: false })]);
    return end;
  } finally {
    options.signal.removeEventListener("abort", stop);
    child.stdout?.destroy();
    child.stderr?.destroy();
    child.unref();
  }
}

/** Resolves long after an abort, when a runtime hangs in the kernel and cannot be waited for. */
async function abandoned(signal: AbortSignal): Promise<RuntimeEnd> {
  await new Promise<void>(resolve => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
  await delay(GIVE_UP_MS, undefined, { ref: false });
  return { exitCode: undefined, killedBy: undefined };
}

/** The children of the runtime are the container's init, or what is about to become it; with it the container ends. */
async function killContainer(child: ChildProcess): Promise<void> {
  const began = Date.now();
  const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null;
  while (!isOver() && Date.now() - began < GIVE_UP_MS) {
    for (const pid of childrenOf(child.pid)) kill(pid);
    if (Date.now() - began > KILL_RUNTIME_MS) child.kill("SIGKILL");
    await delay(5);
  }
}

function childrenOf(pid: number | undefined): readonly number[] {
  if (pid === undefined) return [];
  try {
    // Threads of a runtime written in Go have children of their own.
    return readdirSync(`/proc/${pid}/task`).flatMap(task =>
      readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number),
    );
  } catch {
    return [];
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself.
  }
}
