// Runs commands in containers through an OCI runtime's `run`: one bundle per command, in the owner's folder.
import { type ChildProcess, execFile } from "node:child_process";
import { chownSync, existsSync, lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Owner } from "../content/lease.ts";
import type { StateRoot } from "../content/root.ts";
import { loadLibc } from "../content/libc.ts";
import {
  noteCgroupParent,
  ownerCgroup,
  removeCgroups,
  removeOwnerCgroups,
  sweepOrphanCgroups,
} from "../content/cgroups.ts";
import { BakeError } from "../diagnostic/error.ts";
import { resolveInRoot } from "../layer/rootpath.ts";
import { type Platform, platformFromNode } from "../oci/platform.ts";
import { type CommandLine, createLauncher, type Launch, type Launcher } from "./cover.ts";
import { createEarlyRuntimes, type EarlyRuntimes, PIPE_BYTES } from "./early.ts";
import { emulatedCommand } from "./emulatedcommand.ts";
import { createEmulation, type EmulationWay } from "./emulation.ts";
import { guardDevices, isUnified, limitCgroup, oomKills, type RunLimits } from "./cgroup.ts";
import type { CommandEnd, Executor, ProcessSpec, RootSpec, RunOptions } from "./executor.ts";
import { execComplaint, startFailure } from "./failure.ts";
import { isFor } from "./emulators.ts";
import { findProgram } from "./program.ts";
import { binaryOf, findRuntime, type Runtime, withoutCgroups } from "./runtime.ts";
import { createNetworks, type Networks, type StepNetwork } from "./network.ts";
import { type NetworkRung, toolsIn } from "./networkrungs.ts";
import { compileSeccomp, type WithFilter } from "./seccompfilter.ts";
import {
  type ContainerNetwork,
  mountDestinations,
  runtimeConfig,
  type SpecInput,
  systemMountPoints,
} from "./spec.ts";
import { findMountStubs } from "./stubs.ts";
import { runToEnd } from "./runtimeprocess.ts";
import { resolveUser, type ProcessUser } from "./user.ts";

export interface ExecutorOptions {
  readonly root: StateRoot;
  readonly owner: Owner;
  /** Name or path of the OCI runtime; the quickest one that works when absent. */
  readonly runtime?: string | undefined;
  /** Where to look for runtimes given by name, as in PATH. Default: the usual folders of programs. */
  readonly searchPath?: string | undefined;
  /** For all commands together. */
  readonly limits?: RunLimits | undefined;
  /** Ways to give steps a network of their own, best first. Default: all there are. */
  readonly networkRungs?: readonly NetworkRung[] | undefined;
  /** What commands run on without emulation. Default: the platform of this process. */
  readonly platform?: Platform | undefined;
  /** The ways to emulate that may be taken. Default: all. */
  readonly emulationWays?: readonly EmulationWay[] | undefined;
}

/** The name of the machine inside a container unless a step names one. */
export const DEFAULT_HOSTNAME = "llbake";

/** The exit code of what SIGKILL ended. */
const KILLED = 137;

/** Standard error up to this length is looked at for what a runtime says there. */
const COMPLAINT_LENGTH = 1024;

/**
 * Steps see what is mounted after this, at mount points of the owner; roots that were mounted before need not be seen.
 * @throws BakeError "runtime-missing" when no OCI runtime works here
 */
export async function createExecutor(options: ExecutorOptions): Promise<Executor> {
  const { root, owner } = options;
  await keepInMemory(owner);
  const runtime = await findRuntime({
    root,
    owner,
    runtime: options.runtime,
    searchPath: options.searchPath ?? "",
  });
  if (runtime.hasCgroups) {
    await sweepOrphanCgroups();
    owner.onDispose(() => removeOwnerCgroups(owner.path));
  }
  const limits = options.limits ?? {};
  if (limits.memoryBytes !== undefined || limits.cpus !== undefined) {
    if (!runtime.hasCgroups) throw cannotLimit(runtime, "--memory and --cpus");
    limitCgroup(ownerCgroup(owner.name), limits);
  }
  const native = options.platform ?? platformFromNode(process.platform, process.arch);
  const emulationOf = createEmulation({
    owner,
    native,
    searchPath: options.searchPath ?? "",
    ways: options.emulationWays,
  });
  const [withFilter, launcher] = await Promise.all([
    compileSeccomp(root, owner, runtime),
    createLauncher(owner, runtime, binaryOf(runtime)),
  ]);
  const early = await openEarly(runtime, owner, launcher);
  const networks = createNetworks({
    owner,
    tools: toolsIn(options.searchPath ?? ""),
    rungs: options.networkRungs,
  });
  const parentOf = createCgroupParents(runtime, owner, limits);
  return {
    runtime: runtime.label,
    mountPoints: systemMountPoints,
    async emulation(platform, command, rootSpec) {
      const program = findProgram(command, rootSpec.path);
      const isForeign = program?.head === undefined || !isFor(native, program.head);
      try {
        const emulation = await emulationOf(platform);
        if (emulation.way === "native" || (emulation.way === "mounted" && !isForeign))
          return { emulation: { way: "native" }, isForeign: false };
        return { emulation, isForeign };
      } catch (thrown) {
        if (isForeign || BakeError.from(thrown).code !== "emulator-missing") throw thrown;
        return { emulation: { way: "native" }, isForeign };
      }
    },
    run: (command, rootSpec, runOptions) =>
      run(
        { runtime, owner, networks, limits, withFilter, launch: launcher.launch, early, parentOf },
        command,
        rootSpec,
        runOptions,
      ),
  };
}

/**
 * What describes a running container, secrets in its environment among it, is kept in memory: it never reaches a disk,
 * and is written faster. Where this process may not mount, it is on the disk while the command runs. The mounts have no
 * flags: in a user namespace, what is bound from them could not be without these (mount_namespaces(7)).
 */
async function keepInMemory(owner: Owner): Promise<void> {
  const libc = await loadLibc();
  for (const [folder, mode] of [
    ["bundles", "0711"],
    ["runtime", "0700"],
  ] as const) {
    const path = join(owner.path, folder);
    mkdirSync(path, { recursive: true });
    try {
      libc.mount("tmpfs", path, "tmpfs", 0, `mode=${mode}`);
    } catch {
      return;
    }
  }
}

interface Machine {
  readonly runtime: Runtime;
  readonly owner: Owner;
  readonly networks: Networks;
  readonly limits: RunLimits;
  readonly withFilter: WithFilter;
  readonly launch: Launch;
  readonly early: EarlyRuntimes | undefined;
  readonly parentOf: CgroupParentOf;
}

function cannotLimit({ label }: Runtime, what: string): BakeError {
  return new BakeError("not-supported", `${label} cannot limit the resources of steps on this machine`, {
    hint: `it has no cgroups to use: leave out ${what}, or try another runtime with --oci-runtime`,
  });
}

async function run(
  { runtime, owner, networks, limits, withFilter, launch, early, parentOf }: Machine,
  asked: ProcessSpec,
  askedRoot: RootSpec,
  options: RunOptions,
): Promise<CommandEnd> {
  options.signal.throwIfAborted();
  const { command, root } = emulatedCommand(asked, askedRoot);
  if (command.resources !== undefined && !runtime.hasCgroups) throw cannotLimit(runtime, "`resources`");
  const user = await resolveUser(root.path, command.user);
  const network = await networks.take(command.network, options);
  const stubs = findMountStubs(root.path, mountDestinations(root, command.edits));
  const killedBefore = oomKills();
  // Each hierarchy of version 1 is a mount of its own: not for nothing.
  const isLimited = command.resources !== undefined || Object.values(limits).some(Boolean);
  const started =
    !isLimited && options.attach === undefined && isPlain(command, root) ? await early?.take() : undefined;
  const bundle = started?.bundle ?? owner.newPath("bundles");
  const id = containerId(owner, bundle);
  const cgroup = join(parentOf(command.cgroupParent, options), ownerCgroup(owner.name), id);
  try {
    const cgroupsPath = runtime.hasCgroups ? `/${cgroup}` : undefined;
    const showsCgroup = runtime.hasCgroups && (isLimited || isUnified());
    const config = writeBundle(
      bundle,
      { command, root, user, cgroupsPath, showsCgroup, network, withFilter },
      options,
    );
    if (!root.readonly) makeWorkingDirectory(command.cwd, root, user);
    let head = "";
    const onOutput: RunOptions["onOutput"] = (stream, data) => {
      if (stream === 2 && head.length < COMPLAINT_LENGTH) head += Buffer.from(data).toString("latin1");
      options.onOutput(stream, data);
    };
    const begin = (): ChildProcess => {
      if (started !== undefined) {
        started.begin(config);
        early?.prepare();
        return started.child;
      }
      writeFileSync(join(bundle, "config.json"), config);
      return launch(behind(entering(command, network.container), runCommand(runtime, owner, bundle)), {
        stdio: options.attach ? "inherit" : ["ignore", "pipe", "pipe"],
      });
    };
    const ended = runToEnd(begin, runtime.label, { ...options, onOutput });
    owner.doChores();
    const end = await ended;
    options.signal.throwIfAborted();
    if (end.exitCode !== 0) {
      const failure = startFailure(
        runtime.label,
        readLog(logOf(bundle)) || execComplaint(head),
        asked,
        root.path,
      );
      if (failure) throw failure;
    }
    if (end.exitCode === undefined) {
      throw new BakeError("runtime-failed", `${runtime.label} was killed by ${end.killedBy ?? "a signal"}`);
    }
    if (end.exitCode === 0 || oomKills() === killedBefore) return { exitCode: end.exitCode };
    const limitBytes = command.resources?.memory ?? limits.memoryBytes;
    // Without a limit it may as well have been another process of the machine, unless this one was killed.
    const isOurs = limitBytes !== undefined || end.exitCode === KILLED;
    return { exitCode: end.exitCode, ...(isOurs && { outOfMemory: { limitBytes } }) };
  } finally {
    await started?.discard();
    await cleanUp(runtime, owner, id, cgroup);
    stubs.remove();
    rmSync(bundle, { recursive: true, force: true });
    // Privileged commands can set up the network as they like.
    await network.release(!command.insecure);
  }
}

/** How a runtime runs a bundle to its end. */
function runCommand(runtime: Pick<Runtime, "file" | "args">, owner: Owner, bundle: string): CommandLine {
  const args = ["--root", join(owner.path, "runtime"), "--log", logOf(bundle), "--log-format", "json", "run"];
  const place = ["--bundle", bundle, "--pid-file", join(bundle, "pid"), containerId(owner, bundle)];
  return { file: runtime.file, args: [...runtime.args, ...args, ...place] };
}

function logOf(bundle: string): string {
  return join(bundle, "log");
}

function containerId(owner: Owner, bundle: string): string {
  return `${owner.name}-${bundle.slice(dirname(bundle).length + 1)}`;
}

function behind([first, ...words]: readonly string[], { file, args }: CommandLine): CommandLine {
  return first === undefined ? { file, args } : { file: first, args: [...words, file, ...args] };
}

/**
 * Runtimes for plain steps, started early. Where cgroups are of version 1, these steps have one in common, which keeps
 * the devices of the machine from them: each of its own would cost each of them the time of several.
 */
async function openEarly(
  runtime: Runtime,
  owner: Owner,
  { launch, isLasting }: Launcher,
): Promise<EarlyRuntimes | undefined> {
  // Others may look for their configuration in other ways.
  if (!isLasting || !/^(?:crun|runc) /.test(runtime.label)) return undefined;
  const light = runtime.hasCgroups && !isUnified() ? withoutCgroups(runtime) : undefined;
  const cgroup = light && guardDevices(join(ownerCgroup(owner.name), "steps"));
  const called = cgroup === undefined ? runtime : (light ?? runtime);
  return await createEarlyRuntimes({
    owner,
    cgroup,
    start: bundle => launch(runCommand(called, owner, bundle), { stdio: ["ignore", "pipe", "pipe"] }),
  });
}

/** Whether a step has nothing that needs a cgroup of its own or is more than a runtime that waits can be told. */
function isPlain(
  { resources, cgroupParent, insecure, edits, emulation, ...command }: ProcessSpec,
  root: RootSpec,
): boolean {
  return (
    resources === undefined &&
    cgroupParent === undefined &&
    !insecure &&
    edits === undefined &&
    emulation?.way !== "namespace" &&
    Buffer.byteLength(JSON.stringify([command, root.mounts], writable)) < PIPE_BYTES / 2
  );
}

/** Limits are big numbers. */
function writable(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}

type CgroupParentOf = (parent: string | undefined, options: RunOptions) => string;

/**
 * Below which cgroup that of a step goes: of its own choosing, in which the limits of all steps hold too. Where the
 * runtime makes no cgroups that is told, once.
 */
function createCgroupParents(runtime: Runtime, owner: Owner, limits: RunLimits): CgroupParentOf {
  const noted = new Set<string>();
  return (parent, { onNote }) => {
    if (parent === undefined) return "";
    if (parent.includes(":") || parent.split("/").includes(".."))
      throw new BakeError("not-supported", `the cgroup parent "${parent}" is not a path of a cgroup`, {
        hint: "give a path such as /builds; slices of systemd are not supported",
      });
    if (noted.has(parent)) return parent;
    noted.add(parent);
    if (runtime.hasCgroups) {
      noteCgroupParent(owner.path, parent);
      limitCgroup(join(parent, ownerCgroup(owner.name)), limits);
    } else {
      onNote?.({
        message: `steps are not below the cgroup "${parent}": ${runtime.label} makes no cgroups on this machine or for this user`,
        hint: "run bake as root, or leave out the cgroup parent",
      });
    }
    return parent;
  };
}

interface Bundle extends Pick<SpecInput, "command" | "root" | "user" | "cgroupsPath" | "showsCgroup"> {
  readonly network: StepNetwork;
  readonly withFilter: WithFilter;
}

/** Writes what a container needs besides its root; its configuration. */
function writeBundle(
  bundle: string,
  { network, withFilter, ...asked }: Bundle,
  { attach }: RunOptions,
): string {
  const { command } = asked;
  const hostname =
    command.hostname === undefined || command.hostname === "" ? DEFAULT_HOSTNAME : command.hostname;
  const hostsFile = join(bundle, "hosts");
  const resolvFile = join(bundle, "resolv.conf");
  mkdirSync(bundle, { recursive: true, mode: 0o711 });
  writeFileSync(hostsFile, hostsText(hostname, command.extraHosts ?? []), { mode: 0o644 });
  writeFileSync(resolvFile, network.resolvConf, { mode: 0o644 });
  const config = runtimeConfig({
    ...asked,
    hostname,
    hostsFile,
    resolvFile,
    terminal: attach === "terminal",
    network: entering(command, network.container).length > 0 ? { kind: "host" } : network.container,
    ...(command.emulation?.way === "namespace" && { userNamespace: command.emulation.namespace }),
  });
  return JSON.stringify(withFilter(config));
}

/** The content of /etc/hosts. */
export function hostsText(hostname: string, extra: NonNullable<ProcessSpec["extraHosts"]>): string {
  const lines = [
    `127.0.0.1\tlocalhost ${hostname}`,
    "::1\tlocalhost ip6-localhost ip6-loopback",
    ...extra.map(({ host, ip }) => `${ip}\t${host}`),
  ];
  return `${lines.join("\n")}\n`;
}

/** A working directory that does not exist is made for the user, unless it is below a mount. */
export function makeWorkingDirectory(cwd: string, root: RootSpec, user: ProcessUser): void {
  const path = resolveInRoot(root.path, cwd, { followLast: true });
  const inMount = mountDestinations(root).some(dest => `${cwd}/`.startsWith(`${dest.replace(/\/+$/, "")}/`));
  if (inMount) return;
  const missing: string[] = [];
  for (
    let next = path;
    next !== root.path && lstatSync(next, { throwIfNoEntry: false }) === undefined;
    next = dirname(next)
  ) {
    missing.push(next);
  }
  for (const folder of missing.reverse()) {
    mkdirSync(folder, { mode: 0o755 });
    chownSync(folder, user.uid, user.gid);
  }
}

/**
 * The command that puts a runtime into the network of its container. Once a container has joined the user namespace of
 * an emulator it may not join a network of the machine's (setns(2)), and runc joins that first.
 */
function entering({ emulation }: ProcessSpec, network: ContainerNetwork): readonly string[] {
  return emulation?.way === "namespace" && network.kind === "joined"
    ? ["nsenter", `--net=${network.path}`, "--"]
    : [];
}

const DELETE_TIMEOUT_MS = 5_000;

/** A runtime that ends normally leaves nothing; one that was killed leaves its record of the container and a cgroup. */
async function cleanUp(runtime: Runtime, owner: Owner, id: string, cgroup: string): Promise<void> {
  const state = join(owner.path, "runtime", id);
  if (!existsSync(state)) return;
  const args = [...runtime.args, "--root", dirname(state), "delete", "--force", id];
  await new Promise<void>(resolve => {
    execFile(runtime.file, args, { timeout: DELETE_TIMEOUT_MS, killSignal: "SIGKILL" }, () => resolve());
  });
  rmSync(state, { recursive: true, force: true });
  if (runtime.hasCgroups) await removeCgroups(cgroup);
}

function readLog(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
