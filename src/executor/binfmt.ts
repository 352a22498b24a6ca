// The kernel's table of interpreters for foreign programs (Documentation/admin-guide/binfmt-misc.rst): what the machine
// has registered, and a table of our own in a user namespace, which kernels from 6.7 on offer and which leaves the
// machine's alone.
import { spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BakeError } from "../diagnostic/error.ts";
import { elfPattern } from "./elf.ts";
import type { Architecture, Emulator } from "./emulators.ts";

const BINFMT = "/proc/sys/fs/binfmt_misc";

/** argv[0] is kept (P), the program is opened (O) with its own rights (C), and the emulator now, outside of containers (F). */
const FLAGS = "POCF";

/** What is written to `register` for an emulator. */
export function registration({ architecture, path }: Emulator): string {
  const { magic, mask } = elfPattern(architecture.elf);
  const escaped = (bytes: Uint8Array): string =>
    [...bytes].map(byte => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
  return `:qemu-${architecture.qemu}:M::${escaped(magic)}:${escaped(mask)}:${path}:${FLAGS}`;
}

export interface HostEntry {
  readonly interpreter: string;
  /** The kernel holds the interpreter open: containers need no copy of it. */
  readonly isOpen: boolean;
}

/** What a table has for programs of an architecture; undefined when nothing, or when it is switched off. */
export function findHostEntry({ elf }: Architecture, folder = BINFMT): HostEntry | undefined {
  const read = (name: string): string => {
    try {
      return readFileSync(join(folder, name), "utf8");
    } catch {
      return "";
    }
  };
  if (!read("status").startsWith("enabled")) return undefined;
  const { magic } = elfPattern(elf);
  for (const name of readdirSync(folder)) {
    if (name === "status" || name === "register") continue;
    const text = read(name);
    const field = (key: string): string => new RegExp(`^${key}:? (.*)$`, "m").exec(text)?.[1] ?? "";
    const wanted = Buffer.from(field("magic"), "hex");
    if (!text.startsWith("enabled") || wanted.length === 0 || field("offset") !== "0") continue;
    const mask = Buffer.from(field("mask"), "hex");
    const matches =
      wanted.length <= magic.length &&
      wanted.every((byte, index) => (((magic[index] ?? 0) ^ byte) & (mask[index] ?? 0xff)) === 0);
    if (matches) return { interpreter: field("interpreter"), isOpen: field("flags").includes("F") };
  }
  return undefined;
}

/** A user namespace with a table of its own; containers join it by its path. */
export interface BinfmtNamespace extends Disposable {
  readonly path: string;
  /** The mount namespace in which the table is to be seen. */
  readonly mountPath: string;
  /** The ids of the namespace: those of this process, each as itself. */
  readonly idMap: readonly IdMapping[];
}

export interface IdMapping {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}

const SET_UP_TIMEOUT_MS = 10_000;
const END = "end";

/** Says that it is there, waits for its ids, registers what it is told, waits until its namespaces are held. */
const INSIDE = `echo there; IFS= read -r go || exit 1
mount -n -t binfmt_misc none ${BINFMT} || exit 1
while IFS= read -r line && [ "$line" != ${END} ]; do printf '%s' "$line" >${BINFMT}/register || exit 1; done
echo done; IFS= read -r held`;

/**
 * Registers emulators in a new user namespace. A short-lived process makes it; this process keeps it by descriptors,
 * of the mount namespace too, without whose mount the kernel forgets the table.
 * @throws BakeError "not-supported" with what the system said
 */
export async function openBinfmtNamespace(emulators: readonly Emulator[]): Promise<BinfmtNamespace> {
  const child = spawn("unshare", ["--user", "--mount", "--propagation", "private", "sh", "-c", INSIDE], {
    stdio: ["pipe", "pipe", "pipe"],
    // The timer of spawn itself would go on where there is no such program.
    signal: AbortSignal.timeout(SET_UP_TIMEOUT_MS),
    killSignal: "SIGKILL",
  });
  const { stdin, stdout, stderr, pid = 0 } = child;
  let complaint = "";
  stdin.on("error", () => undefined);
  stderr.setEncoding("utf8").on("data", (text: string) => (complaint += text));
  const ended = new Promise<void>(resolve => {
    child.once("error", error => {
      complaint ||= error.message;
      resolve();
    });
    child.once("close", () => resolve());
  });
  const answer = async (): Promise<void> => {
    const line = new Promise<"line">(resolve => stdout.once("data", () => resolve("line")));
    if ((await Promise.race([line, ended])) === undefined) throw new Error(complaint.trim() || "no answer");
  };
  const held: number[] = [];
  try {
    await answer();
    const idMap = mapIds(pid);
    stdin.write(["go", ...emulators.map(registration), END, ""].join("\n"));
    await answer();
    for (const kind of ["user", "mnt"]) held.push(openSync(`/proc/${pid}/ns/${kind}`, "r"));
    return {
      path: `/proc/${process.pid}/fd/${held[0]}`,
      mountPath: `/proc/${process.pid}/fd/${held[1]}`,
      idMap,
      [Symbol.dispose]: () => held.splice(0).forEach(fd => closeSync(fd)),
    };
  } catch (cause) {
    held.forEach(fd => closeSync(fd));
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BakeError("not-supported", `no table of interpreters in a user namespace: ${reason}`, {
      cause,
      hint: "kernels from 6.7 on have it",
    });
  } finally {
    stdin.end();
    await ended;
  }
}

/** Maps every id that this process knows as itself. An ordinary user, who may not, is root in there: enough to try. */
function mapIds(pid: number): readonly IdMapping[] {
  const isRoot = process.getuid?.() === 0;
  const own = (id = 0): readonly IdMapping[] => [{ containerID: 0, hostID: id, size: 1 }];
  if (!isRoot) writeFileSync(`/proc/${pid}/setgroups`, "deny");
  const uids = isRoot ? identity(readFileSync("/proc/self/uid_map", "utf8")) : own(process.getuid?.());
  const gids = isRoot ? identity(readFileSync("/proc/self/gid_map", "utf8")) : own(process.getgid?.());
  writeFileSync(`/proc/${pid}/uid_map`, mapText(uids));
  writeFileSync(`/proc/${pid}/gid_map`, mapText(gids));
  return uids;
}

/** Lines of `inside outside count`, as maps of ids to themselves. */
function identity(text: string): readonly IdMapping[] {
  return text
    .trim()
    .split("\n")
    .map(line => {
      const [first = 0, , size = 0] = line.trim().split(/\s+/).map(Number);
      return { containerID: first, hostID: first, size };
    });
}

function mapText(map: readonly IdMapping[]): string {
  return map.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join("");
}
