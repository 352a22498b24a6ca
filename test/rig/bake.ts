// Runs the built program as a user would: a process of its own, with a state directory of the test's choosing.
import { spawn, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { startTime } from "../../src/content/procstat.ts";
import { mountsBelow } from "./mounts.ts";
import { projectRoot } from "./sourcetree.ts";
import { tempDir } from "./tree.ts";

/** The built program; another bundle of it when LLBAKE_TEST_PROGRAM names one. */
export const program = process.env["LLBAKE_TEST_PROGRAM"] ?? join(projectRoot, "dist", "cli.js");

/** Longer than any build of the tests takes on a slow machine; a build that hangs fails its test by this. */
const TIMEOUT_MS = 60_000;

export interface BakeOptions {
  readonly cwd: string;
  /** State directory. */
  readonly root: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** A process that takes longer is killed; see `TIMEOUT_MS`. */
  readonly timeoutMs?: number;
  /** Who runs it; default is who runs the tests. */
  readonly user?: { readonly uid: number; readonly gid: number };
}

export interface BakeOutcome {
  /** Null when a signal ended the process. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningBake extends AsyncDisposable {
  readonly pid: number;
  /** Its id and when it started, with which the names of all that it owns begin: ids are used again. */
  readonly name: string;
  readonly outcome: Promise<BakeOutcome>;
  /** Resolves when standard error, as far as it has come, satisfies the pattern; rejects when the process ends first. */
  saw(pattern: RegExp, from?: number): Promise<number>;
  kill(signal: NodeJS.Signals): void;
}

/** Runs `bake` to its end. */
export async function bake(args: readonly string[], options: BakeOptions): Promise<BakeOutcome> {
  await using running = startBake(args, options);
  return await running.outcome;
}

/** Runs `bake`, which has to succeed; returns its output. @throws Error with everything it said */
export async function bakeOk(args: readonly string[], options: BakeOptions): Promise<BakeOutcome> {
  const outcome = await bake(args, options);
  if (outcome.exitCode !== 0) {
    throw new Error(
      `bake ${args.join(" ")} ended with ${outcome.signal ?? outcome.exitCode}\n${outcome.stdout}${outcome.stderr}`,
    );
  }
  return outcome;
}

/** Starts `bake` and lets go of it at the end of the scope, whatever happened. */
export function startBake(args: readonly string[], options: BakeOptions): RunningBake {
  const { cwd, root, env, input, user, timeoutMs = TIMEOUT_MS } = options;
  if (!existsSync(program)) throw new Error("dist/cli.js is missing: run npm run build");
  const child = spawn(process.execPath, [program, ...args], {
    cwd,
    // Projects take busybox from the host and write where the test says; entitlements have their own tests.
    env: { ...cleanEnvironment(), LLBAKE_ROOT: root, BUILDX_BAKE_ENTITLEMENTS_FS: "0", ...env },
    stdio: ["pipe", "pipe", "pipe"],
    // Root gives up its groups too when it becomes another user.
    ...(user !== undefined && process.geteuid?.() === 0 && { uid: user.uid, gid: user.gid }),
  });
  let [stdout, stderr, ended] = ["", "", false];
  const watchers = new Set<() => void>();
  const notify = (): void => watchers.forEach(watcher => watcher());
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
    notify();
  });
  child.stdin.on("error", () => undefined).end(input ?? "");
  const timer = setTimeout(() => {
    // What it leaves mounted fails the test too, which would be all that is told.
    console.error(`bake ${args.join(" ")} took longer than ${timeoutMs} ms\n${stderr.slice(-4_000)}`);
    child.kill("SIGKILL");
  }, timeoutMs);
  const outcome = new Promise<BakeOutcome>((settle, fail) => {
    child.once("error", fail);
    child.once("close", (exitCode, signal) => {
      clearTimeout(timer);
      ended = true;
      notify();
      settle({ exitCode, signal, stdout, stderr });
    });
  });
  return {
    pid: child.pid ?? 0,
    name: processName(child.pid),
    outcome,
    saw: (pattern, from = 0) =>
      new Promise((settle, fail) => {
        const look = (): void => {
          const match = pattern.exec(stderr.slice(from));
          if (match === null && !ended) return;
          watchers.delete(look);
          if (match === null) fail(new Error(`bake ended without printing ${pattern}\n${stderr}`));
          else settle(from + match.index + match[0].length);
        };
        watchers.add(look);
        look();
      }),
    kill: signal => void child.kill(signal),
    async [Symbol.asyncDispose]() {
      if (!ended) child.kill("SIGKILL");
      await outcome;
    },
  };
}

/** `<pid>-<start time>` of a process that was started just now: one that has ended is there until it is awaited. */
export function processName(pid = 0): string {
  return pid === 0 ? "" : `${pid}-${startTime(readFileSync(`/proc/${pid}/stat`, "utf8"))}`;
}

/** The environment without what would change a build: variables of bake files, settings of llbake and of peers. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  const kept = ["PATH", "HOME", "LANG", "TMPDIR", "NODE_EXTRA_CA_CERTS", "LLBAKE_DISABLE"];
  return Object.fromEntries(
    kept.flatMap(name => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
}

/** One vertex as `--progress=rawjson` tells it, all its events folded. */
export interface StepOutcome {
  readonly digest: string;
  readonly name: string;
  readonly started: boolean;
  readonly completed: boolean;
  readonly cached: boolean;
  readonly error: string | undefined;
  readonly log: string;
}

interface RawStatus {
  readonly vertexes?: readonly {
    readonly digest: string;
    readonly name: string;
    readonly started?: string;
    readonly completed?: string;
    readonly cached?: boolean;
    readonly error?: string;
  }[];
  readonly logs?: readonly { readonly vertex: string; readonly data: string }[];
}

/** Reads the output of a run with `--progress=rawjson`. */
export function stepsOf(stderr: string): readonly StepOutcome[] {
  const steps = new Map<string, StepOutcome>();
  for (const line of stderr.split("\n").filter(text => text.startsWith("{"))) {
    const { vertexes = [], logs = [] } = JSON.parse(line) as RawStatus;
    for (const { digest, name, started, completed, cached, error } of vertexes) {
      const before = steps.get(digest);
      steps.set(digest, {
        digest,
        name,
        started: started !== undefined || before?.started === true,
        completed: completed !== undefined || before?.completed === true,
        cached: cached === true || before?.cached === true,
        error: error ?? before?.error,
        log: before?.log ?? "",
      });
    }
    for (const { vertex, data } of logs) {
      const step = steps.get(vertex);
      if (step === undefined) throw new Error(`a log of the unknown step ${vertex}`);
      steps.set(vertex, { ...step, log: step.log + Buffer.from(data, "base64").toString() });
    }
  }
  return [...steps.values()];
}

/** The steps that ran: begun and not taken from the cache. */
export function executedSteps(stderr: string): readonly StepOutcome[] {
  return stepsOf(stderr).filter(step => step.started && !step.cached);
}

/** Where the host keeps its static busybox; the base of everything the tests build. */
export const busyboxDir = ["/bin", "/usr/bin"].find(folder => existsSync(join(folder, "busybox"))) ?? "/bin";

/** A project folder and a state directory beside it. */
export interface Project extends Disposable {
  readonly cwd: string;
  readonly root: string;
  /** Writes a file of the project, with the folders above it. */
  readonly write: (path: string, text: string) => void;
  readonly read: (path: string) => string;
  /** Copies files and folders of this repository to the same places in the project. */
  readonly copy: (...paths: readonly string[]) => void;
}

/**
 * An empty project, or a copy of a folder of this repository without what builds have left in it. What is still
 * mounted below it at the end is a leak: it is unmounted, since removing the folder would reach into it, and reported.
 */
export function tempProject(copyOf?: string): Project {
  const dir = tempDir();
  const cwd = join(dir.path, "project");
  mkdirSync(cwd);
  if (copyOf !== undefined) {
    const from = join(projectRoot, copyOf);
    cpSync(from, cwd, { recursive: true, filter: path => path !== join(from, "out") });
  }
  return {
    cwd,
    root: join(dir.path, "state"),
    write(path, text) {
      mkdirSync(dirname(join(cwd, path)), { recursive: true });
      writeFileSync(join(cwd, path), text);
    },
    copy(...paths) {
      for (const path of paths) cpSync(join(projectRoot, path), join(cwd, path), { recursive: true });
    },
    read: path => readFileSync(join(cwd, path), "utf8"),
    [Symbol.dispose]() {
      const leaks = mountsBelow(dir.path);
      for (const mount of leaks.toReversed()) spawnSync("umount", ["-l", mount]);
      if (mountsBelow(dir.path).length === 0) dir[Symbol.dispose]();
      if (leaks.length > 0) throw new Error(`left mounted: ${leaks.join(", ")}`);
    },
  };
}

/** A base stage made of the host's busybox, for Dockerfiles whose target has the context `host`. */
export const baseStage = `FROM scratch AS base
COPY --from=host busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
ENV PATH=/bin
`;

/** A target block of a bake file with the context that `baseStage` needs. */
export function target(name: string, ...lines: readonly string[]): string {
  const body = [`contexts = { host = "${busyboxDir}" }`, ...lines].map(line => `  ${line}\n`).join("");
  return `target "${name}" {\n${body}}\n`;
}
