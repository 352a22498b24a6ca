// Runs each command in a virtual machine of its own (`--worker=qemu-vm`): a kernel that is not the machine's, with a
// container in it as on the machine itself. The root is lent by virtiofs, so that what the command changes is changed
// in the snapshot; its output comes over virtio ports. The machine lives as long as the command.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { rememberFact } from "../content/facts.ts";
import type { Owner } from "../content/lease.ts";
import type { StateRoot } from "../content/root.ts";
import { BakeError } from "../diagnostic/error.ts";
import { formatPlatform, type Platform, platformFromNode } from "../oci/platform.ts";
import type { RunLimits } from "./cgroup.ts";
import { DEFAULT_HOSTNAME, hostsText, makeWorkingDirectory } from "./container.ts";
import type { CommandEnd, Executor, ProcessSpec, RootSpec, RunOptions } from "./executor.ts";
import { startFailure } from "./failure.ts";
import { createNetworks, type Networks } from "./network.ts";
import { toolsIn } from "./networkrungs.ts";
import { type ContainerNetwork, mountDestinations, runtimeConfig } from "./spec.ts";
import { findMountStubs } from "./stubs.ts";
import { resolveUser } from "./user.ts";
import { findVmParts, firstRoot, type VmParts } from "./vmparts.ts";

export interface VmExecutorOptions {
  readonly root: StateRoot;
  readonly owner: Owner;
  readonly platform?: Platform | undefined;
  /** Where to look for programs: a list of folders as in PATH. Default: the usual folders. */
  readonly searchPath?: string | undefined;
  /** Folder with boot/vmlinuz-VERSION and lib/modules/VERSION. Default: the machine's root. */
  readonly kernelFolder?: string | undefined;
  /** Default: KVM where a kernel starts with it. */
  readonly accelerator?: Accelerator | undefined;
  /** Limits for all steps together. @throws BakeError "not-supported" when there are any */
  readonly limits?: RunLimits | undefined;
}

interface Machine {
  readonly parts: VmParts;
  readonly owner: Owner;
  readonly networks: Networks;
  /** File of the first root. */
  readonly firstRoot: string;
  readonly accelerator: Accelerator;
}

type Accelerator = "kvm" | "tcg";

/** Pages that the command never touches cost nothing. */
const MEMORY_MIB = 1024;
const MAX_PROCESSORS = 4;
/** A kernel with KVM starts in less than a second. Where it hangs, as in some machines that are virtual themselves, it hangs for good. */
const PROBE_TIMEOUT_MS = 5_000;
const FILE_SERVER_TIMEOUT_MS = 10_000;

/** @throws BakeError "runtime-missing" when something that it takes is not there */
export async function createVmExecutor(options: VmExecutorOptions): Promise<Executor> {
  const { root, owner, searchPath = "" } = options;
  const native = options.platform ?? platformFromNode(process.platform, process.arch);
  if (native.architecture !== "amd64")
    throw new BakeError("not-supported", "steps run in virtual machines on amd64 only");
  if (process.getuid?.() !== 0 || !mapsEveryId())
    throw new BakeError("not-supported", "steps run in virtual machines for root only", {
      hint: "leave out --worker=qemu-vm, or run bake as root",
    });
  if (options.limits?.memoryBytes !== undefined || options.limits?.cpus !== undefined)
    throw new BakeError("not-supported", "steps in virtual machines are not limited by --memory and --cpus", {
      hint: `each machine has ${MEMORY_MIB} MiB and up to ${MAX_PROCESSORS} processors: leave the flags out, or --worker=qemu-vm`,
    });
  const parts = findVmParts({ searchPath, kernelFolder: options.kernelFolder });
  const file = owner.newPath("temp");
  writeFileSync(file, firstRoot(parts));
  const machine: Machine = {
    parts,
    owner,
    networks: createNetworks({ owner, tools: toolsIn(searchPath) }),
    firstRoot: file,
    accelerator: options.accelerator ?? (await findAccelerator(parts, file, root, owner)),
  };
  return {
    runtime: `qemu-vm (Linux ${parts.kernel.version}, ${machine.accelerator})`,
    emulation(platform) {
      if (platform.os === native.os && platform.architecture === native.architecture)
        return Promise.resolve({ emulation: { way: "native" }, isForeign: false });
      throw new BakeError(
        "not-supported",
        `cannot run a command for ${formatPlatform(platform)} in a virtual machine for ${formatPlatform(native)}`,
        { hint: "leave out --worker=qemu-vm to have it emulated" },
      );
    },
    run: (command, rootSpec, runOptions) => run(machine, command, rootSpec, runOptions),
  };
}

/** Whether this is the machine's own root, or one of a container with every id. */
function mapsEveryId(): boolean {
  const [first, , count] = readFileSync("/proc/self/uid_map", "utf8").trim().split(/\s+/).map(Number);
  return first === 0 && (count ?? 0) > 65_536;
}

async function run(
  machine: Machine,
  command: ProcessSpec,
  root: RootSpec,
  options: RunOptions,
): Promise<CommandEnd> {
  const { owner, networks } = machine;
  options.signal.throwIfAborted();
  expectPossible(command, options);
  const user = await resolveUser(root.path, command.user);
  const network = await networks.take(command.network, options);
  const bundle = owner.newPath("bundles");
  const stubs = findMountStubs(root.path, mountDestinations(root, command.edits));
  const binds = [{ source: root.path, name: "root" }];
  const mounts = root.mounts.map((mount, index) => {
    if (mount.type !== "bind") return mount;
    binds.push({ source: mount.source, name: `mount${index}` });
    return { ...mount, source: `/step/mount${index}` };
  });
  const share = join(bundle, "share");
  try {
    mkdirSync(share, { recursive: true, mode: 0o755 });
    for (const { source, name } of binds)
      if (statSync(source).isDirectory()) mkdirSync(join(share, name));
      else writeFileSync(join(share, name), "");
    const hostname = command.hostname || DEFAULT_HOSTNAME;
    writeFileSync(join(share, "hosts"), hostsText(hostname, command.extraHosts ?? []), { mode: 0o644 });
    writeFileSync(join(share, "resolv.conf"), network.resolvConf, { mode: 0o644 });
    const config = runtimeConfig({
      command,
      root: { ...root, path: "/step/root", mounts },
      user,
      hostname,
      hostsFile: "/step/hosts",
      resolvFile: "/step/resolv.conf",
      cgroupsPath: undefined,
      // The container has the network of its machine, which is nobody else's.
      network: { kind: "host" },
    });
    writeFileSync(join(share, "config.json"), JSON.stringify(config));
    if (!root.readonly) makeWorkingDirectory(command.cwd, root, user);
    const said = await boot(machine, bundle, binds, network.container, options);
    options.signal.throwIfAborted();
    const exit = readText(join(share, "exit"));
    if (exit === "")
      throw new BakeError(
        "runtime-failed",
        `the virtual machine ended before its command did: ${said || readText(join(bundle, "console")).trim().split("\n").at(-1) || "it said nothing"}`,
        { hint: "the command may have taken more memory than the machine has; try without --worker=qemu-vm" },
      );
    const exitCode = Number(exit);
    if (exitCode !== 0) {
      const failure = startFailure("crun", readText(join(share, "log")), command, root.path);
      if (failure) throw failure;
    }
    return { exitCode };
  } finally {
    stubs.remove();
    rmSync(bundle, { recursive: true, force: true });
    await network.release(true);
  }
}

function expectPossible(command: ProcessSpec, { attach }: RunOptions): void {
  const refuse = (what: string): never => {
    throw new BakeError("not-supported", `${what} in a virtual machine`, {
      hint: "leave out --worker=qemu-vm",
    });
  };
  if (command.resources !== undefined) refuse("resources of steps cannot be limited");
  if (command.network === "host") refuse("the machine's network cannot be had");
  if (command.edits !== undefined && command.edits.deviceNodes.length > 0)
    refuse("devices of the machine cannot be had");
  if (attach !== undefined) refuse("no shell can be opened");
}

/** From power on to power off. Gives what QEMU complained of. */
async function boot(
  machine: Machine,
  bundle: string,
  binds: readonly { readonly source: string; readonly name: string }[],
  network: ContainerNetwork,
  { signal, onOutput }: RunOptions,
): Promise<string> {
  // The mounts are seen by the file server alone, and are gone when it is.
  const serve = [
    'while [ "$1" != -- ]; do mount -n --rbind "$1" "share/$2" || exit 1; shift 2; done; shift; exec "$@"',
    "sh",
    ...binds.flatMap(({ source, name }) => [source, name]),
    "--",
    machine.parts.fileServer,
    ...["-f", "--socket-path=files", "-o", `source=${join(bundle, "share")}`],
    ...["-o", "cache=auto", "-o", "xattr", "-o", "sandbox=chroot", "-o", "log_level=err"],
  ];
  const server = start(["unshare", "--mount", "--propagation", "private", "sh", "-c", ...serve], bundle, 0);
  const children = [server];
  const stop = (): void => children.forEach(({ process: child }) => void child.kill("SIGKILL"));
  signal.addEventListener("abort", stop, { once: true });
  try {
    if (signal.aborted) stop();
    const deadline = Date.now() + FILE_SERVER_TIMEOUT_MS;
    while (!existsSync(join(bundle, "files"))) {
      if (signal.aborted) return "";
      if (server.hasEnded() || Date.now() > deadline)
        throw new BakeError(
          "runtime-failed",
          `virtiofsd does not start: ${server.said() || "it says nothing"}`,
        );
      await delay(5);
    }
    const memory = `${MEMORY_MIB}M`;
    const port = (name: string, fd: number): readonly string[] => [
      ...["-chardev", `socket,id=${name},fd=${fd}`],
      ...["-device", `virtserialport,chardev=${name},name=${name}`],
    ];
    const qemu = start(
      [
        ...(network.kind === "joined" ? ["nsenter", `--net=${network.path}`, "--"] : []),
        ...qemuCommand(machine, memory, "quiet"),
        ...["-smp", String(Math.min(MAX_PROCESSORS, availableParallelism()))],
        ...[
          "-object",
          `memory-backend-memfd,id=memory,size=${memory},share=on`,
          "-numa",
          "node,memdev=memory",
        ],
        ...["-chardev", "socket,id=files,path=files", "-device", "vhost-user-fs-pci,chardev=files,tag=step"],
        ...["-device", "virtio-serial-pci", ...port("out", 3), ...port("err", 4)],
        ...(network.kind === "none"
          ? []
          : ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="]),
      ],
      bundle,
      2,
    );
    children.push(qemu);
    if (signal.aborted) stop();
    const [, , , out, err] = qemu.process.stdio;
    out?.on("data", (data: Buffer) => onOutput(1, data));
    err?.on("data", (data: Buffer) => onOutput(2, data));
    await qemu.ended;
    return qemu.said();
  } finally {
    signal.removeEventListener("abort", stop);
    stop();
    await Promise.all(children.map(({ ended }) => ended));
  }
}

function qemuCommand(
  { parts, firstRoot: file, accelerator }: Pick<Machine, "parts" | "firstRoot" | "accelerator">,
  memory: string,
  append: string,
): readonly string[] {
  return [
    parts.qemu,
    ...["-accel", accelerator, "-cpu", "max", "-m", memory],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "file:console"],
    ...["-kernel", parts.kernel.path, "-initrd", file],
    ...["-append", `console=ttyS0 panic=-1 ${append}`],
  ];
}

interface Started {
  readonly process: ChildProcess;
  readonly ended: Promise<void>;
  hasEnded(): boolean;
  /** The last line of standard error. */
  said(): string;
}

/** A process that dies with this one, with some further sockets from descriptor 3 on. */
function start(command: readonly string[], cwd: string, sockets: number): Started {
  const pipes = Array.from({ length: sockets }, () => "pipe" as const);
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...command], {
    cwd,
    stdio: ["ignore", "ignore", "pipe", ...pipes],
  });
  let text = "";
  child.stderr?.setEncoding("utf8").on("data", (data: string) => (text = (text + data).slice(-2048)));
  const state = { over: false };
  const closed = once(child, "close").then(
    () => undefined,
    (cause: unknown) => {
      text = BakeError.from(cause).message;
    },
  );
  const ended = closed.then(() => {
    state.over = true;
  });
  return {
    process: child,
    ended,
    hasEnded: () => state.over,
    said: () => text.trim().split("\n").at(-1) ?? "",
  };
}

/** KVM where a kernel starts with it; the answer is remembered until the next boot. */
async function findAccelerator(
  parts: VmParts,
  file: string,
  root: StateRoot,
  owner: Owner,
): Promise<Accelerator> {
  try {
    accessSync("/dev/kvm", constants.R_OK | constants.W_OK);
  } catch {
    return "tcg";
  }
  const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const key = ["vm", bootId, parts.kernel.version, parts.qemu].join("\n");
  const decode = (value: unknown): Accelerator | undefined =>
    value === "kvm" || value === "tcg" ? value : undefined;
  return await rememberFact(root, owner, key, decode, async () => {
    const bundle = owner.newPath("bundles");
    mkdirSync(bundle);
    try {
      const machine = { parts, firstRoot: file, accelerator: "kvm" } as const;
      const qemu = start(qemuCommand(machine, "256M", "llbake=probe"), bundle, 0);
      const timer = setTimeout(() => void qemu.process.kill("SIGKILL"), PROBE_TIMEOUT_MS);
      await qemu.ended;
      clearTimeout(timer);
      return /^started/m.test(readText(join(bundle, "console"))) ? "kvm" : "tcg";
    } finally {
      rmSync(bundle, { recursive: true, force: true });
    }
  });
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
