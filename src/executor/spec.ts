// The configuration of a container (OCI runtime spec 1.0, config.md and config-linux.md) with the defaults of the
// container world: what a process may do, what it sees of /proc, /sys and /dev.
import { readFileSync } from "node:fs";
import type { MountPoints } from "../snapshot/snapshotter.ts";
import type { ProcessUser } from "./user.ts";
import { allCapabilities, type Capability, defaultCapabilities } from "./capabilities.ts";
import type { ContainerMount, ProcessSpec, ResourceLimits, RootSpec } from "./executor.ts";
import { type ContainerEdits, type DeviceNode, insecureDevices } from "./devices.ts";
import { seccompProfile } from "./seccomp.ts";
import { isInitialNamespace, isMappedId } from "../system/privilege.ts";

export interface SpecInput {
  readonly command: ProcessSpec;
  readonly root: RootSpec;
  readonly user: ProcessUser;
  readonly hostname: string;
  /** Files that stand in for /etc/hosts and /etc/resolv.conf. */
  readonly hostsFile: string;
  readonly resolvFile: string;
  /** Undefined when the runtime makes no cgroup. */
  readonly cgroupsPath: string | undefined;
  /** The command sees its cgroup, for programs that look for limits. Default false. */
  readonly showsCgroup?: boolean;
  /** The command has a terminal of its own; default false. */
  readonly terminal?: boolean;
  readonly network: ContainerNetwork;
  /** A user namespace to join. */
  readonly userNamespace?: UserNamespace;
}

/** Its ids are those of the machine, each as itself: files keep their owners. */
export interface UserNamespace {
  readonly path: string;
  readonly idMap: readonly { readonly containerID: number; readonly hostID: number; readonly size: number }[];
}

/** The network namespace of a container. */
export type ContainerNetwork =
  /** The machine's. */
  | { readonly kind: "host" }
  /** A new one with nothing but loopback. */
  | { readonly kind: "none" }
  /** One that was made before: the file that names it. */
  | { readonly kind: "joined"; readonly path: string };

export type RuntimeConfig = Readonly<Record<string, unknown>>;

interface SpecMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** Destinations that every container has; a mount of the step at one of them takes its place. */
const systemMounts: readonly SpecMount[] = [
  { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
  {
    destination: "/dev",
    type: "tmpfs",
    source: "tmpfs",
    options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
  },
  {
    destination: "/dev/pts",
    type: "devpts",
    source: "devpts",
    options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
  },
  {
    destination: "/dev/shm",
    type: "tmpfs",
    source: "shm",
    options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
  },
  { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
  { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
];

const cgroupMount: SpecMount = {
  destination: "/sys/fs/cgroup",
  type: "cgroup",
  source: "cgroup",
  options: ["nosuid", "noexec", "nodev", "relatime", "ro"],
};

/** A sysfs shows a network, and who does not own that may not mount one. */
const machineSys: SpecMount = {
  destination: "/sys",
  type: "bind",
  source: "/sys",
  options: ["rbind", "nosuid", "noexec", "nodev", "ro"],
};

const maskedPaths = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
];

const readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/** Containers inherit no limit of whoever calls; this many open files is what engines give. */
const OPEN_FILES = 1_048_576;

export function runtimeConfig(input: SpecInput): RuntimeConfig {
  const { command, root, user, userNamespace } = input;
  const capabilities = command.insecure ? allCapabilities() : defaultCapabilities;
  const edits = command.edits ?? noEdits;
  const nodes = [...(command.insecure ? insecureDevices() : []), ...edits.deviceNodes];
  const hasCgroup = input.cgroupsPath !== undefined;
  return {
    ociVersion: "1.0.2",
    process: {
      terminal: input.terminal ?? false,
      user: {
        uid: user.uid,
        gid: user.gid,
        umask: 0o022,
        additionalGids: [...user.additionalGids, ...edits.additionalGids],
      },
      args: command.args,
      env: [...command.env, ...edits.env],
      cwd: command.cwd === "" ? "/" : command.cwd,
      capabilities: capabilitySets(command, user, capabilities),
      rlimits: limits(command),
      noNewPrivileges: false,
    },
    root: { path: root.path, readonly: root.readonly },
    hostname: input.hostname,
    mounts: mergeMounts(input, edits),
    ...(edits.hooks && { hooks: edits.hooks }),
    linux: {
      ...(hasCgroup && { cgroupsPath: input.cgroupsPath }),
      ...(nodes.length > 0 && { devices: nodes.map(linuxDevice) }),
      resources: {
        devices: command.insecure
          ? [{ allow: true, access: "rwm" }]
          : [...deviceRules, ...nodes.map(deviceRule)],
        ...resourceLimits(command.resources),
      },
      namespaces: [
        { type: "pid" },
        { type: "ipc" },
        { type: "uts" },
        { type: "mount" },
        { type: "cgroup" },
        ...networkNamespace(input.network),
        ...(userNamespace === undefined ? [] : [{ type: "user", path: userNamespace.path }]),
      ],
      // runc wants to be told the ids of a namespace that it joins, too.
      ...(userNamespace && { uidMappings: userNamespace.idMap, gidMappings: userNamespace.idMap }),
      ...(command.insecure
        ? {}
        : {
            seccomp: seccompProfile({ capabilities, devicesGuarded: hasCgroup }),
            maskedPaths,
            readonlyPaths,
          }),
    },
  };
}

const noEdits: ContainerEdits = { env: [], deviceNodes: [], mounts: [], additionalGids: [] };

/** Privileged steps keep their capabilities whoever they run as; others have them only as root, or by set-uid programs. */
function capabilitySets(
  { insecure }: ProcessSpec,
  { uid }: ProcessUser,
  bounding: readonly Capability[],
): object {
  const effective = insecure || uid === 0 ? bounding : [];
  const inherited = insecure ? bounding : [];
  return { bounding, effective, permitted: effective, inheritable: inherited, ambient: inherited };
}

function networkNamespace(network: ContainerNetwork): readonly object[] {
  switch (network.kind) {
    case "host":
      return [];
    case "none":
      return [{ type: "network" }];
    case "joined":
      return [{ type: "network", path: network.path }];
  }
}

/** Nothing but what runtimes allow by themselves (null, zero, full, random, urandom, tty, console, pts), and making nodes. */
const deviceRules = [
  { allow: false, access: "rwm" },
  { allow: true, type: "c", access: "m" },
  { allow: true, type: "b", access: "m" },
];

function linuxDevice({ path, type, major, minor, fileMode, uid, gid }: DeviceNode): object {
  return {
    path,
    type,
    major,
    minor,
    ...(fileMode !== undefined && { fileMode }),
    ...(uid !== undefined && { uid }),
    ...(gid !== undefined && { gid }),
  };
}

function deviceRule({ type, major, minor, access }: DeviceNode): object {
  return { allow: true, type, major, minor, access };
}

/** What every container has mounts on. */
export const systemMountPoints: MountPoints = {
  folders: systemMounts.map(mount => mount.destination.slice(1)),
  files: ["etc/hosts", "etc/resolv.conf"],
};

/** Where a container with this root has mounts. */
export function mountDestinations(root: RootSpec, edits: ContainerEdits = noEdits): readonly string[] {
  const system = systemMounts.map(mount => mount.destination);
  return [
    ...system,
    ...systemMountPoints.files.map(file => `/${file}`),
    ...root.mounts.map(mount => mount.dest),
    ...edits.mounts.map(mount => mount.destination),
  ];
}

function mergeMounts(
  { command, root, hostsFile, resolvFile, showsCgroup = false, userNamespace, network }: SpecInput,
  edits: ContainerEdits,
): readonly SpecMount[] {
  const own = [...root.mounts.map(specMount), ...edits.mounts];
  const lacksNetwork = userNamespace !== undefined || (network.kind === "host" && !isInitialNamespace());
  const taken = new Set(own.map(mount => mount.destination));
  const etc = [
    ["/etc/hosts", hostsFile],
    ["/etc/resolv.conf", resolvFile],
  ] as const;
  const given = [
    ...[...systemMounts, ...(showsCgroup ? [cgroupMount] : [])]
      .map(mount => (lacksNetwork && mount.type === "sysfs" ? machineSys : mount))
      .map(mount => (mount.type === "devpts" && !isMappedId("gid", TTY_GID) ? withoutGroup(mount) : mount))
      .map(mount => (command.insecure ? writable(mount) : mount)),
    ...etc.map(([destination, source]) => bind(source, destination, true)),
  ];
  return [...given.filter(mount => !taken.has(mount.destination)), ...own];
}

/** The group of terminals, by custom. A user namespace need not have an id for every group. */
const TTY_GID = 5;

function withoutGroup(mount: SpecMount): SpecMount {
  return { ...mount, options: mount.options.filter(option => !option.startsWith("gid=")) };
}

/** Insecure steps may set kernel parameters and mount cgroups. */
function writable(mount: SpecMount): SpecMount {
  return { ...mount, options: mount.options.filter(option => option !== "ro") };
}

function specMount(mount: ContainerMount): SpecMount {
  switch (mount.type) {
    case "bind":
      return bind(mount.source, mount.dest, mount.readonly);
    case "tmpfs": {
      const size = mount.sizeBytes === undefined ? [] : [`size=${mount.sizeBytes}`];
      return {
        destination: mount.dest,
        type: "tmpfs",
        source: "tmpfs",
        options: ["nosuid", "nodev", "mode=1777", ...size],
      };
    }
    default: {
      const never: never = mount;
      return never;
    }
  }
}

function bind(source: string, destination: string, readonly: boolean): SpecMount {
  const options = ["rbind", "rprivate", "nodev", ...(readonly ? ["ro"] : [])];
  return { destination, type: "bind", source, options };
}

/** Fields that are not given are left out when the configuration is written. */
function resourceLimits(limits: ResourceLimits | undefined): Readonly<Record<string, object>> {
  if (limits === undefined) return {};
  const { memory, memorySwap, cpuShares, cpuPeriod, cpuQuota, cpusetCpus, cpusetMems } = limits;
  return {
    memory: { limit: memory, swap: memorySwap },
    cpu: { shares: cpuShares, period: cpuPeriod, quota: cpuQuota, cpus: cpusetCpus, mems: cpusetMems },
  };
}

/** The largest number below 2^64 that JSON can carry here: far above anything there is to count. */
const NO_LIMIT = 2 ** 64 - 2048;

function limits({ ulimits = [] }: ProcessSpec): readonly object[] {
  const count = (value: bigint): number => (value < 0n ? NO_LIMIT : Math.min(Number(value), NO_LIMIT));
  const own = ulimits.map(({ name, soft, hard }) => {
    return { type: `RLIMIT_${name.toUpperCase()}`, soft: count(soft), hard: count(hard) };
  });
  if (ulimits.some(({ name }) => name === "nofile")) return own;
  return [{ type: "RLIMIT_NOFILE", soft: openFiles(), hard: openFiles() }, ...own];
}

let openFilesLimit: number | undefined;

/** Raising a limit beyond the caller's own needs a privilege, so the lower of both. */
function openFiles(): number {
  openFilesLimit ??= Math.min(OPEN_FILES, hardOpenFiles());
  return openFilesLimit;
}

function hardOpenFiles(): number {
  const report = readFileSync("/proc/self/limits", "utf8");
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(report)?.[1];
  return hard === undefined || hard === "unlimited" ? OPEN_FILES : Number(hard);
}
