// A user namespace of one's own (user_namespaces(7)), in which an ordinary user is root. A process with several threads,
// as Node is, may not make one for itself. So it is replaced (execve) by unshare(1), which makes the namespaces and is
// replaced by the program again: one process from beginning to end, with the same id, terminal, parent and signals.
import type { ChildProcess } from "node:child_process";
import { closeSync } from "node:fs";
import { loadNative, type Native } from "./native.ts";
import type { IdRange } from "./privilege.ts";

/** How ids are mapped. */
export type NamespaceWay =
  /** Ranges given to the user by the administrator, through the set-uid programs newuidmap and newgidmap. */
  | { readonly kind: "ranges"; readonly uid: readonly IdRange[]; readonly gid: readonly IdRange[] }
  /** The ids there are, each as itself; by a process that may set ids (root without the right to mount). */
  | { readonly kind: "identity"; readonly uid: readonly IdRange[]; readonly gid: readonly IdRange[] }
  /** The user alone, as root. Any user may. */
  | { readonly kind: "single" };

export const namespaceKinds: readonly NamespaceWay["kind"][] = ["ranges", "identity", "single"];

/** The descriptors of the handshake. */
interface Handshake {
  readonly go: number;
  readonly ready: number;
}

/**
 * Runs in the new namespaces. Its ids are mapped from outside: it says that it is there, and waits. A shell knows
 * descriptors of one digit only, but those are Node's own, whose threads look at them up to the last moment: so the
 * handshake keeps its numbers, and is opened by name.
 */
const inside = ({ go, ready }: Handshake): string =>
  `echo >/proc/self/fd/${ready} && read -r go </proc/self/fd/${go} || { echo "bake: cannot map the ids of a user namespace" >&2; exit 1; }; exec "$@"`;

const UNSHARE = ["--user", "--mount", "--propagation", "private"] as const;

/** The command line that runs `program` in new namespaces. With a handshake, a helper has to map the ids. */
function commandLine(program: readonly string[], handshake: Handshake | undefined): readonly string[] {
  return handshake === undefined
    ? ["unshare", "--map-root-user", ...UNSHARE, "--", ...program]
    : ["unshare", ...UNSHARE, "--", "sh", "-c", inside(handshake), "sh", ...program];
}

/** The shell command that maps the ids of process `$1`, waiting for it on descriptor 3, answering it on 4. */
function helperScript(way: Exclude<NamespaceWay, { kind: "single" }>): string {
  const words = (map: readonly IdRange[]): string =>
    map.map(({ inside, outside, count }) => `${inside} ${outside} ${count}`).join(" ");
  const lines = (map: readonly IdRange[]): string =>
    map.map(({ inside, outside, count }) => `${inside} ${outside} ${count}\\n`).join("");
  const mapping =
    way.kind === "ranges"
      ? `newuidmap $1 ${words(way.uid)} && newgidmap $1 ${words(way.gid)}`
      : `printf '${lines(way.uid)}' >/proc/$1/uid_map && printf '${lines(way.gid)}' >/proc/$1/gid_map`;
  return `read -r there <&3 && ${mapping} && echo >&4`;
}

/** What a trial ends with is remembered, so that a machine with too much to do has to be given its time. */
const TRIAL_MS = 30_000;

/** Whether namespaces can be had in this way; else what the system said. */
export async function tryNamespace(way: NamespaceWay, timeoutMs = TRIAL_MS): Promise<string | undefined> {
  const native = await loadNative();
  if (native === undefined) return "koffi does not load";
  const { spawn } = await import("node:child_process");
  // Mounting is what the namespaces are for.
  const program = ["sh", "-c", "mount -n -t tmpfs none /tmp"];
  const pipes = way.kind === "single" ? undefined : openPipes(native);
  // What is handed to a child is numbered from 3.
  const [file = "", ...args] = commandLine(program, pipes && { go: 3, ready: 4 });
  // Unlike the timer of spawn itself it keeps nobody waiting when there is no such program.
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const child = spawn(file, args, {
      stdio: ["ignore", "ignore", "pipe", ...(pipes ? [pipes.go.read, pipes.ready.write] : [])],
      signal,
      killSignal: "SIGKILL",
    });
    const ended = endOf(child);
    // Without a process there is nobody to wait for.
    if (way.kind === "single" || pipes === undefined || child.pid === undefined) return await ended;
    const helper = spawn("sh", ["-c", helperScript(way), "sh", String(child.pid)], {
      stdio: ["ignore", "ignore", "pipe", pipes.ready.read, pipes.go.write],
      signal,
      killSignal: "SIGKILL",
    });
    const helped = endOf(helper);
    pipes.close();
    const [problem, cause] = await Promise.all([ended, helped]);
    return cause ?? problem;
  } finally {
    pipes?.close();
  }
}

/** Undefined when a process ended well; else its last words. */
async function endOf(child: ChildProcess): Promise<string | undefined> {
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (said += text));
  return await new Promise(resolve => {
    child.once("error", error => resolve(error.message));
    child.once("close", (code, signal) =>
      resolve(code === 0 ? undefined : said.trim().split("\n").at(-1) || `it ended with ${code ?? signal}`),
    );
  });
}

/**
 * Replaces this process by `program` in new namespaces; does not return. Everything that needs an orderly end has to be
 * over. Descriptors 0 to 2 and those of `keep` are handed on, and so are those that `announce` hears of, which are of no
 * use to the program: it should close them.
 * @throws Error when it could not be done; the process is as it was then
 */
export async function replaceProcess(
  way: NamespaceWay,
  program: readonly string[],
  {
    keep = [],
    announce,
  }: { readonly keep?: readonly number[]; readonly announce?: (useless: readonly number[]) => void } = {},
): Promise<never> {
  const native = await loadNative();
  if (native === undefined) throw new Error("koffi does not load");
  const { spawnSync } = await import("node:child_process");
  const fcntl = native.bind("int fcntl(int, int, long)");
  const execvp = native.bind("int execvp(const char *, const char **)");
  const pipes = way.kind === "single" ? undefined : openPipes(native);
  const handshake = pipes && { go: pipes.go.read, ready: pipes.ready.write };
  const line = commandLine(program, handshake);
  if (way.kind !== "single" && pipes !== undefined) {
    // In the background of a shell that ends at once, so that nobody has to wait for it.
    spawnSync("sh", ["-c", `(${helperScript(way)}) &`, "sh", String(process.pid)], {
      stdio: ["ignore", "ignore", "inherit", pipes.ready.read, pipes.go.write],
    });
  }
  const useless = handshake ? [handshake.go, handshake.ready] : [];
  announce?.(useless);
  for (const fd of useless) fcntl(fd, F_SETFD, 0);
  for (const fd of [0, 1, 2, ...keep]) {
    fcntl(fd, F_SETFD, 0);
    // Node waits for pipes in its own way; the shells between expect the usual one.
    const flags = fcntl(fd, F_GETFL, 0);
    if (flags >= 0) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
  }
  execvp(line[0] ?? "", [...line, null]);
  pipes?.close();
  throw new Error(`cannot run "${line[0] ?? ""}": ${native.lastError().code}`);
}

const F_SETFD = 2;
const F_GETFL = 3;
const F_SETFL = 4;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;

interface Pipe {
  readonly read: number;
  readonly write: number;
}

function openPipes(native: Native): { readonly go: Pipe; readonly ready: Pipe; close(): void } {
  const pipe2 = native.bind("int pipe2(_Out_ uint8_t *, int)");
  const open = (): Pipe => {
    const fds = Buffer.alloc(8);
    if (pipe2(fds, O_CLOEXEC) !== 0) throw new Error(`cannot make a pipe: ${native.lastError().code}`);
    return { read: fds.readInt32LE(0), write: fds.readInt32LE(4) };
  };
  const [go, ready] = [open(), open()];
  let isOpen = true;
  return {
    go,
    ready,
    close() {
      if (isOpen) for (const fd of [go.read, go.write, ready.read, ready.write]) closeSync(fd);
      isOpen = false;
    },
  };
}
