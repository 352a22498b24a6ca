// What a state carries beside its file system.
import type { Platform } from "../../oci/platform.ts";
import type { HostIp, NetworkMode, SecurityMode, Ulimit } from "../op/exec.ts";
import type { Output } from "./vertex.ts";

/** What the next command or file action starts with. None of it is part of the file system. */
export interface StateValues {
  /** In the order commands see it: a redefined name moves to the end. */
  readonly env: ReadonlyMap<string, string>;
  /** The working directory; "/" at first. */
  readonly dir: string;
  /** Empty: the runtime's default. */
  readonly user: string;
  readonly hostname: string;
  /** Absent: the default of the marshalling. */
  readonly platform?: Platform;
  readonly network: NetworkMode;
  readonly security: SecurityMode;
  readonly extraHosts: readonly HostIp[];
  readonly ulimits: readonly Ulimit[];
  readonly cgroupParent: string;
}

/** What mounts and copies need to know of a state. */
export interface StateLike {
  /** Undefined is the empty file system. */
  readonly output: Output | undefined;
  readonly values: StateValues;
}
