// The configuration of a container (OCI runtime spec 1.0, config.md and config-linux.md) with the defaults of the
// container world: what a process may do, what it sees of /proc, /sys and /dev.
import { readFileSync } from "node:fs";
import type { ProcessUser } from "./user.ts";
import { allCapabilities, defaultCapabilities } from "./capabilities.ts";
import type { ContainerMount, ProcessSpec, ResourceLimits, RootSpec } from "./executor.ts";
import { seccompProfile } from "./seccomp.ts";

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
  /** The command has a terminal of its own; default false. */
  readonly terminal?: boolean;
}

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

/** Default and host share the network of the machine; none is a network of one's own with nothing but loopback. */
const sharesNetwork = { default: true, host: true, none: false } as const;

export function runtimeConfig(input: SpecInput): RuntimeConfig {
  const { command, root, user } = input;
  const capabilities = command.insecure ? allCapabilities() : defaultCapabilities;
  // Only root has capabilities to begin with; others may still gain them through set-uid programs.
  const effective = user.uid === 0 ? capabilities : [];
  return {
    ociVersion: "1.0.2",
    process: {
      terminal: input.terminal ?? false,
      user: { uid: user.uid, gid: user.gid, umask: 0o022, additionalGids: user.additionalGids },
      args: command.args,
      env: command.env,
      cwd: command.cwd === "" ? "/" : command.cwd,
      capabilities: { bounding: capabilities, effective, permitted: effective, inheritable: [], ambient: [] },
      rlimits: limits(command),
      noNewPrivileges: false,
    },
    root: { path: root.path, readonly: root.readonly },
    hostname: input.hostname,
    mounts: mergeMounts(input),
    linux: {
      ...(input.cgroupsPath !== undefined && { cgroupsPath: input.cgroupsPath }),
      resources: {
        devices: command.insecure ? [{ allow: true, access: "rwm" }] : deviceRules,
        ...resourceLimits(command.resources),
      },
      namespaces: [
        { type: "pid" },
        { type: "ipc" },
        { type: "uts" },
        { type: "mount" },
        { type: "cgroup" },
        ...(sharesNetwork[command.network] ? [] : [{ type: "network" }]),
      ],
      ...(command.insecure ? {} : { seccomp: seccompProfile(), maskedPaths, readonlyPaths }),
    },
  };
}

/** Nothing but what runtimes allow by themselves (null, zero, full, random, urandom, tty, console, pts), and making nodes. */
const deviceRules = [
  { allow: false, access: "rwm" },
  { allow: true, type: "c", access: "m" },
  { allow: true, type: "b", access: "m" },
];

/** Where a container with this root has mounts. */
export function mountDestinations(root: RootSpec): readonly string[] {
  const system = systemMounts.map(mount => mount.destination);
  return [...system, "/etc/hosts", "/etc/resolv.conf", ...root.mounts.map(mount => mount.dest)];
}

function mergeMounts({ command, root, hostsFile, resolvFile }: SpecInput): readonly SpecMount[] {
  const own = root.mounts.map(specMount);
  const taken = new Set(own.map(mount => mount.destination));
  const etc = [
    ["/etc/hosts", hostsFile],
    ["/etc/resolv.conf", resolvFile],
  ] as const;
  const given = [
    ...systemMounts.map(mount => (command.insecure ? writable(mount) : mount)),
    ...etc.map(([destination, source]) => bind(source, destination, true)),
  ];
  return [...given.filter(mount => !taken.has(mount.destination)), ...own];
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
