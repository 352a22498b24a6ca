// Start times of processes: with the pid they name a process for good, since pids are used again.
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";

/** Field 22 of /proc/PID/stat in clock ticks (proc_pid_stat(5)); field 2 may hold blanks and parentheses. */
export function startTime(stat: string): string {
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "0";
}

/** When a process started, as `startTime` says; undefined when there is no such process, or only its zombie. */
export async function processStart(pid: number): Promise<string | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  return text === undefined || isOver(text) ? undefined : startTime(text);
}

/** Whether a process is there and not only its zombie, which a child is until its end is noticed. */
export function isRunning(pid: number): boolean {
  try {
    return !isOver(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

function isOver(stat: string): boolean {
  return /\) [ZX] /.test(stat);
}
