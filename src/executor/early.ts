// Runtimes that are started before there is anything to run: while a container runs, the runtime of the next one is
// loaded, put into the cgroup of the steps, and waits for its configuration, which is a FIFO until then. Starting a
// program from a large process, and moving one to another cgroup, take longer than a trivial step.
import type { ChildProcess } from "node:child_process";
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Owner } from "../content/lease.ts";
import { loadLibc, type Libc } from "../content/libc.ts";
import { isRunning } from "../content/procstat.ts";
import { invariant } from "../diagnostic/error.ts";

export interface EarlyRuntimes {
  /** A runtime for one container; undefined when none can be had this way. */
  take(): Promise<EarlyRuntime | undefined>;
  /** Starts the one that is taken next, unless it is there; never fails. */
  prepare(): void;
}

export interface EarlyRuntime {
  /** Where the container's files go; the folder is there. */
  readonly bundle: string;
  readonly child: ChildProcess;
  /** Gives it what to run: at most `PIPE_BYTES`. */
  begin(config: string): void;
  /** Ends it unless it was begun. */
  discard(): Promise<void>;
}

export interface EarlyRuntimesOptions {
  readonly owner: Owner;
  /** Starts the runtime on a bundle. */
  readonly start: (bundle: string) => ChildProcess;
  /** A folder of cgroup version 1 that containers inherit from their runtime; undefined when they get one of their own. */
  readonly cgroup: string | undefined;
}

/** pipe(7): as much as fits without anybody reading. */
export const PIPE_BYTES = 65_536;
const S_IFIFO = 0o010000;

export async function createEarlyRuntimes(options: EarlyRuntimesOptions): Promise<EarlyRuntimes> {
  const libc = await loadLibc();
  let next: Waiting | undefined;
  options.owner.onDispose(async () => {
    await next?.discard();
  });
  return {
    async take() {
      for (;;) {
        const waiting = next ?? tryStart(libc, options);
        const isFresh = waiting !== next;
        next = undefined;
        if (waiting === undefined || (await waiting.isReady())) return waiting;
        await waiting.discard();
        if (isFresh) return undefined;
      }
    },
    prepare() {
      next ??= tryStart(libc, options);
    },
  };
}

interface Waiting extends EarlyRuntime {
  /** Resolves when it is where it belongs; false when it cannot be used. */
  isReady(): Promise<boolean>;
}

/** Where it cannot be started early, it is started as ever, which tells why. */
function tryStart(libc: Libc, options: EarlyRuntimesOptions): Waiting | undefined {
  try {
    return startOne(libc, options);
  } catch {
    return undefined;
  }
}

function startOne(libc: Libc, { owner, start, cgroup }: EarlyRuntimesOptions): Waiting {
  const bundle = owner.newPath("bundles");
  const fifo = join(bundle, "config.json");
  mkdirSync(bundle, { mode: 0o711 });
  libc.mknod(fifo, S_IFIFO | 0o600, 0);
  // Opened for both, so that nobody waits for the other side and there is no end before this is closed.
  const fd = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
  let [isOpen, isBegun] = [true, false];
  const shut = (): void => {
    if (isOpen) closeSync(fd);
    isOpen = false;
  };
  const child = start(bundle);
  const ended = new Promise<void>(resolve => {
    child.once("error", () => resolve());
    child.once("exit", () => resolve());
  });
  const joined =
    cgroup === undefined || child.pid === undefined
      ? Promise.resolve(child.pid !== undefined)
      : writeFile(join(cgroup, "cgroup.procs"), String(child.pid)).then(
          () => true,
          () => false,
        );
  return {
    bundle,
    child,
    // That a child has ended is told a while later.
    isReady: async () => (await joined) && child.pid !== undefined && isRunning(child.pid),
    begin(config) {
      invariant(Buffer.byteLength(config) <= PIPE_BYTES, "BUG: a configuration too long for a pipe");
      // It is read by name once more, or for the first time when the runtime has not come so far.
      const whole = `${fifo}.whole`;
      writeFileSync(whole, config);
      renameSync(whole, fifo);
      writeSync(fd, config);
      isBegun = true;
      shut();
    },
    async discard() {
      if (isBegun) return;
      child.kill("SIGKILL");
      await joined;
      await ended;
      child.stdout?.destroy();
      child.stderr?.destroy();
      shut();
      rmSync(bundle, { recursive: true, force: true });
    },
  };
}
