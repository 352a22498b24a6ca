// Device nodes of containers, and what else comes with a device.
import { existsSync } from "node:fs";

/** What a device adds to a container (CDI specification, "containerEdits"). */
export interface ContainerEdits {
  /** `NAME=value` entries. */
  readonly env: readonly string[];
  readonly deviceNodes: readonly DeviceNode[];
  /** As in the configuration of a runtime. */
  readonly mounts: readonly {
    readonly destination: string;
    readonly type: string;
    readonly source: string;
    readonly options: readonly string[];
  }[];
  readonly additionalGids: readonly number[];
  /** Programs of the machine that the runtime calls, by the names of its configuration. */
  readonly hooks?: Readonly<Record<string, readonly object[]>>;
}

export interface DeviceNode {
  readonly path: string;
  /** Character or block device. */
  readonly type: "c" | "b";
  readonly major: number;
  readonly minor: number;
  readonly fileMode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Letters of `rwm`: reading, writing, making nodes. */
  readonly access: string;
}

const LOOP_DEVICES = 8;

/** Those BuildKit gives to privileged steps (util/entitlements/security), as far as this machine has them. */
const insecureNodes: readonly (readonly [path: string, type: "c" | "b", major: number, minor: number])[] = [
  ["/dev/kmsg", "c", 1, 11],
  ["/dev/cuse", "c", 10, 203],
  ["/dev/fuse", "c", 10, 229],
  ["/dev/kvm", "c", 10, 232],
  ["/dev/net/tun", "c", 10, 200],
  ["/dev/loop-control", "c", 10, 237],
  ...Array.from({ length: LOOP_DEVICES }, (_, minor) => [`/dev/loop${minor}`, "b", 7, minor] as const),
];

/** The devices of privileged steps. */
export function insecureDevices(): readonly DeviceNode[] {
  return insecureNodes
    .filter(([path]) => existsSync(path))
    .map(([path, type, major, minor]) => ({ path, type, major, minor, access: "rwm" }));
}
