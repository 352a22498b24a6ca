// Start times of processes: with the pid they name a process for good, since pids are used again.

/** Field 22 of /proc/PID/stat in clock ticks (proc_pid_stat(5)); field 2 may hold blanks and parentheses. */
export function startTime(stat: string): string {
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "0";
}
