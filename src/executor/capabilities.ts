// The capabilities a step has: the set that container engines agree on (Docker's documentation, "Runtime privilege
// and Linux capabilities"), or all of them for insecure steps.
import { readFileSync } from "node:fs";

export type Capability = `CAP_${string}`;

export const defaultCapabilities: readonly Capability[] = [
  "CAP_AUDIT_WRITE",
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_MKNOD",
  "CAP_NET_BIND_SERVICE",
  "CAP_NET_RAW",
  "CAP_SETFCAP",
  "CAP_SETGID",
  "CAP_SETPCAP",
  "CAP_SETUID",
  "CAP_SYS_CHROOT",
];

/** In the order of their numbers (linux/capability.h); the rest of the 41 are above. */
const NUMBERED =
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE " +
  "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN " +
  "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE " +
  "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE";

/** Everything this process itself may hand on: a runtime refuses capabilities that its caller does not have. */
export function allCapabilities(): readonly Capability[] {
  const bounding = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  const bits = BigInt(`0x${bounding}`);
  return NUMBERED.split(" ")
    .filter((_, number) => ((bits >> BigInt(number)) & 1n) === 1n)
    .map((name): Capability => `CAP_${name}`);
}
