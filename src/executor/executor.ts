// Runs one command in a container with a real OCI runtime. Knows nothing of LLB.
import type { Platform } from "../oci/platform.ts";
import type { MountPoints } from "../snapshot/snapshotter.ts";
import type { Emulation } from "./emulation.ts";
import type { Command } from "./program.ts";
import type { ContainerEdits } from "./devices.ts";

export interface Executor {
  /** Name and version of the runtime, for messages. */
  readonly runtime: string;
  /** What each container has mounts on: a root that has these already spares the runtime making them. Default: nothing. */
  readonly mountPoints?: MountPoints;
  /**
   * How a command of a platform runs here; what emulation needs is set up when first asked for.
   * @throws BakeError "emulator-missing"
   */
  emulation(platform: Platform, command: Command, root: RootSpec): Promise<StepEmulation>;
  /**
   * Runs until the command ends and returns its exit code; kills the whole container when the signal aborts.
   * @throws BakeError "runtime-failed" when the container could not be started
   */
  run(process: ProcessSpec, root: RootSpec, options: RunOptions): Promise<CommandEnd>;
}

export interface StepEmulation {
  readonly emulation: Emulation;
  /** The command's program is for another processor; builds may run programs of this machine's for any platform. */
  readonly isForeign: boolean;
}

export interface CommandEnd {
  readonly exitCode: number;
  /** The kernel killed a process of it for want of memory; the limit is that of the command or of all together. */
  readonly outOfMemory?: { readonly limitBytes: number | undefined };
}

export interface ProcessSpec extends Command {
  /** `user[:group]`, names or numbers, looked up in the root's /etc/passwd and /etc/group; "" is root. */
  readonly user: string;
  readonly hostname?: string;
  readonly extraHosts?: readonly { readonly host: string; readonly ip: string }[];
  readonly network: "default" | "host" | "none";
  /** Limits of resources by name (`nofile`), in place of the default ones; -1 is no limit. */
  readonly ulimits?: readonly { readonly name: string; readonly soft: bigint; readonly hard: bigint }[];
  /** @throws BakeError "not-supported" where the runtime makes no cgroups */
  readonly resources?: ResourceLimits;
  readonly insecure: boolean;
  /** Default: the processor runs the command. */
  readonly emulation?: Emulation;
  /** The cgroup below which that of the command is made; default: the top. */
  readonly cgroupParent?: string;
  /** Devices and what belongs to them. */
  readonly edits?: ContainerEdits;
}

/** Limits of a cgroup, in the kernel's units: bytes, microseconds, lists of numbers such as `0-2,7`. */
export interface ResourceLimits {
  readonly memory?: number;
  /** Memory and swap together; -1 is no limit. */
  readonly memorySwap?: number;
  readonly cpuShares?: number;
  readonly cpuPeriod?: number;
  readonly cpuQuota?: number;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
}

export interface RootSpec {
  /** Mounted root file system. */
  readonly path: string;
  readonly readonly: boolean;
  /** Further mounts, parents before children. */
  readonly mounts: readonly ContainerMount[];
}

export type ContainerMount =
  | { readonly type: "bind"; readonly source: string; readonly dest: string; readonly readonly: boolean }
  | { readonly type: "tmpfs"; readonly dest: string; readonly sizeBytes?: number };

export interface RunOptions {
  readonly signal: AbortSignal;
  readonly onOutput: (stream: 1 | 2, data: Uint8Array) => void;
  /**
   * The streams of this process are the command's own, as for a shell that the user works in: as a terminal of its own
   * on theirs, or as they are. `onOutput` hears nothing then. Default: no input, output to `onOutput`.
   */
  readonly attach?: "terminal" | "streams";
  /** Hears what the machine cannot do for its steps, each once. */
  readonly onNote?: (note: Note) => void;
}

export interface Note {
  readonly message: string;
  readonly hint: string;
}
