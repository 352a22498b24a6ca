// The system calls a step may not make: those the container world's default profile refuses to a container with the
// default capabilities. Written as refusals, so calls newer than this list are allowed; the kernel still asks for the
// capability that most of the calls below need.

interface Rule {
  readonly names: readonly string[];
  readonly action: "SCMP_ACT_ERRNO";
  readonly errnoRet: number;
  readonly args?: readonly SeccompArgument[];
}

interface SeccompArgument {
  readonly index: number;
  readonly value: number;
  readonly valueTwo?: number;
  readonly op: "SCMP_CMP_MASKED_EQ" | "SCMP_CMP_EQ" | "SCMP_CMP_GE";
}

const EPERM = 1;
const ENOSYS = 38;

const refused = {
  "kernel modules, boot and swap":
    "create_module delete_module finit_module get_kernel_syms init_module kexec_file_load kexec_load query_module reboot swapoff swapon",
  "mounts and namespaces":
    "fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree open_tree_attr pivot_root setns umount umount2 unshare",
  "tracing and other processes":
    "bpf kcmp lookup_dcookie perf_event_open pidfd_getfd process_madvise userfaultfd",
  "keys, which are not namespaced": "add_key keyctl request_key",
  "clock and host name": "clock_settime clock_settime64 setdomainname sethostname settimeofday stime",
  "hardware and terminals": "ioperm iopl vhangup vm86 vm86old",
  "memory placement": "get_mempolicy mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node",
  "files by handle, and file system administration":
    "acct fanotify_init nfsservctl open_by_handle_at quotactl quotactl_fd sysfs syslog _sysctl uselib ustat",
  "rings, which go around this filter": "io_uring_enter io_uring_register io_uring_setup",
} as const;

/** clone(2) flags for new namespaces: mount, cgroup, uts, ipc, user, pid, net. */
const CLONE_NEW = [0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000];

const AF_VSOCK = 40;
const S_IFMT = 0o170000;
const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;
/** Majors 1 and 5 hold null, zero, random, tty and the like; above are devices of the machine. */
const FIRST_MACHINE_DEVICE = 6 << 8;

const rules: readonly Rule[] = [
  deny(Object.values(refused).flatMap(names => names.split(" "))),
  ...CLONE_NEW.map(flag =>
    deny(["clone"], [{ index: 0, value: flag, valueTwo: flag, op: "SCMP_CMP_MASKED_EQ" }]),
  ),
  // The flags of clone3 are behind a pointer, out of reach here. libc falls back to clone on ENOSYS.
  { ...deny(["clone3"]), errnoRet: ENOSYS },
  deny(["socket"], [{ index: 0, value: AF_VSOCK, op: "SCMP_CMP_EQ" }]),
  // Device nodes of the machine: where no device cgroup guards them, making one would be using it.
  ...(
    [
      ["mknod", 1],
      ["mknodat", 2],
    ] as const
  ).flatMap(([name, mode]) => [
    deny([name], [{ index: mode, value: S_IFMT, valueTwo: S_IFBLK, op: "SCMP_CMP_MASKED_EQ" }]),
    deny(
      [name],
      [
        { index: mode, value: S_IFMT, valueTwo: S_IFCHR, op: "SCMP_CMP_MASKED_EQ" },
        { index: mode + 1, value: FIRST_MACHINE_DEVICE, op: "SCMP_CMP_GE" },
      ],
    ),
  ]),
];

/** The `linux.seccomp` part of a runtime configuration (OCI runtime spec, config-linux.md "Seccomp"). */
export function seccompProfile(): Readonly<Record<string, unknown>> {
  return { defaultAction: "SCMP_ACT_ALLOW", ...(architectures && { architectures }), syscalls: rules };
}

/** The native architecture, and those whose calls the same kernel also takes. */
const architectures = (
  {
    x64: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    arm64: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
  } as Readonly<Record<string, readonly string[]>>
)[process.arch];

function deny(names: readonly string[], args?: readonly SeccompArgument[]): Rule {
  return { names, action: "SCMP_ACT_ERRNO", errnoRet: EPERM, ...(args && { args }) };
}
