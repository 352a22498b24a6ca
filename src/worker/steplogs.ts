// The whole output of steps on disk: one folder for each process that ran any, one file for each step. What a terminal
// shows of it is cut; here nothing is.
import { closeSync, mkdirSync, openSync, readdirSync, rmSync, writeSync } from "node:fs";
import path from "node:path";
import type { Owner } from "../content/lease.ts";
import type { StateRoot } from "../content/root.ts";

/** How many processes' logs are kept, this one's included. */
const KEPT_RUNS = 20;

/** How many logs one process keeps: one that watches runs steps for days. */
const KEPT_STEPS = 1000;

/** A log is cut here: a step that writes without end must not fill the disk. Bytes. */
const MAX_LOG_BYTES = 1024 ** 3;

export interface StepLogs {
  /** Begins the log of a step that runs `command`. Its file appears with the first output. */
  open(command: string): StepLog;
}

export interface StepLog {
  /** Never throws: a log that cannot be written ends, the step goes on. */
  write(data: Uint8Array): void;
  /** Ends the log. Its absolute path; undefined when nothing was written. */
  close(): string | undefined;
}

export function openStepLogs(
  root: StateRoot,
  owner: Owner,
  { now }: { readonly now: () => number },
): StepLogs {
  const logs = path.join(root.path, "logs");
  let folder: string | undefined;
  const kept: string[] = [];
  let count = 0;

  const create = (command: string): { readonly file: string; readonly fd: number } => {
    if (folder === undefined) {
      const time = new Date(now()).toISOString().replace(/\..*/, "").replaceAll(":", "-");
      folder = path.join(logs, `${time}.${pidOf(owner.name)}`);
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      removeOldRuns(logs, root.owners);
    }
    const file = path.join(folder, `${String(++count).padStart(3, "0")}-${slug(command)}.log`);
    const fd = openSync(file, "wx", 0o600);
    kept.push(file);
    for (const old of kept.splice(0, Math.max(0, kept.length - KEPT_STEPS))) rmSync(old, { force: true });
    return { file, fd };
  };

  return {
    open(command) {
      let file: string | undefined;
      let fd: number | undefined;
      let free = MAX_LOG_BYTES;
      const end = (): void => {
        if (fd !== undefined) closeSync(fd);
        fd = undefined;
        free = 0;
      };
      return {
        write(data) {
          if (free === 0 || data.length === 0) return;
          try {
            if (fd === undefined) ({ file, fd } = create(command));
            writeAll(fd, data.subarray(0, free));
            free -= Math.min(free, data.length);
            if (free === 0) writeAll(fd, Buffer.from(`\n(no more than ${MAX_LOG_BYTES} bytes are kept)\n`));
          } catch {
            end();
          }
        },
        close() {
          end();
          return file;
        },
      };
    },
  };
}

function writeAll(fd: number, data: Uint8Array): void {
  for (let at = 0; at < data.length;) at += writeSync(fd, data, at);
}

/** Removes the logs of all but the latest processes; those of living ones stay. */
function removeOldRuns(logs: string, owners: string): void {
  const alive = new Set(readdirSync(owners).map(pidOf));
  // Their names begin with the time.
  for (const name of readdirSync(logs).sort().slice(0, -KEPT_RUNS)) {
    if (!alive.has(name.slice(name.lastIndexOf(".") + 1)))
      rmSync(path.join(logs, name), { recursive: true, force: true });
  }
}

/** The process id that the name of an owner begins with. */
function pidOf(owner: string): string {
  return owner.split("-", 1)[0] ?? "";
}

/** A few readable characters of a command, for a file name. */
function slug(command: string): string {
  const words = command.replace(/[^A-Za-z0-9._]+/g, "-").replace(/^[-.]+/, "");
  return words.slice(0, 40).replace(/-+$/, "") || "step";
}
