// Which system calls a step may make: the container world's default profile (moby/profiles, seccomp/default.json), by
// the capabilities the step has. A call that the profile knows and refuses fails with EPERM; one that it does not know
// fails with ENOSYS, so that programs newer than this list fall back to what an older kernel offers.
import type { Capability } from "./capabilities.ts";

export interface SeccompOptions {
  readonly capabilities: readonly Capability[];
  /** Whether a cgroup keeps the devices of the machine out of reach; else nodes of them may not even be made. */
  readonly devicesGuarded: boolean;
}

interface Rule {
  readonly names: readonly string[];
  readonly action: "SCMP_ACT_ALLOW" | "SCMP_ACT_ERRNO";
  readonly errnoRet?: number;
  readonly args?: readonly SeccompArgument[];
}

interface SeccompArgument {
  readonly index: number;
  readonly value: number;
  readonly valueTwo?: number;
  readonly op: "SCMP_CMP_MASKED_EQ" | "SCMP_CMP_EQ" | "SCMP_CMP_LT" | "SCMP_CMP_GT" | "SCMP_CMP_GE";
}

const EPERM = 1;
const ENOSYS = 38;

/** By what they are about; runtimes pass over names that the machine's libseccomp does not know. */
const always = {
  files:
    "access cachestat chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat " +
    "faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 " +
    "fchownat fcntl fcntl64 fdatasync flock fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 " +
    "futimesat getcwd getdents getdents64 ioctl lchown lchown32 link linkat _llseek lseek lstat lstat64 memfd_create " +
    "memfd_secret mkdir mkdirat name_to_handle_at newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 " +
    "pwritev pwritev2 read readahead readlink readlinkat readv rename renameat renameat2 rmdir sendfile sendfile64 " +
    "splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 " +
    "umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev",
  "file attributes":
    "fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr " +
    "lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat",
  waiting:
    "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd " +
    "eventfd2 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake inotify_add_watch inotify_init " +
    "inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup " +
    "io_submit _newselect pause pipe pipe2 poll ppoll ppoll_time64 pselect6 pselect6_time64 select",
  "memory and mappings":
    "brk madvise map_shadow_stack membarrier mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap mseal msync " +
    "munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages",
  processes:
    "arch_prctl execve execveat exit exit_group fork get_robust_list get_thread_area getcpu getpgid getpgrp getpid " +
    "getppid getpriority getrlimit getrusage getsid gettid ioprio_get ioprio_set kill pidfd_open pidfd_send_signal " +
    "prctl prlimit64 process_vm_readv process_vm_writev ptrace restart_syscall riscv_hwprobe rseq " +
    "sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler " +
    "sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam " +
    "sched_setscheduler sched_yield set_robust_list set_thread_area set_tid_address setpgid setpriority setrlimit " +
    "setsid tgkill times tkill ugetrlimit uretprobe vfork wait4 waitid waitpid",
  signals:
    "rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait " +
    "rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signalfd signalfd4 sigprocmask sigreturn",
  "users and rights":
    "capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32 " +
    "getresuid getresuid32 getuid getuid32 landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp " +
    "setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setregid setregid32 setresgid " +
    "setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32",
  "clocks and timers":
    "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 " +
    "clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete " +
    "timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime " +
    "timerfd_gettime64 timerfd_settime timerfd_settime64",
  sockets:
    "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 " +
    "recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair",
  "messages between processes":
    "ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 " +
    "mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget",
  system: "getrandom listmount statmount sysinfo uname",
} as const;

const byArchitecture: readonly {
  readonly names: string;
  readonly on: readonly NodeJS.Architecture[];
}[] = [
  { names: "modify_ldt", on: ["x64", "ia32"] },
  {
    names: "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2",
    on: ["arm", "arm64"],
  },
  { names: "swapcontext sync_file_range2", on: ["ppc64"] },
  { names: "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr", on: ["s390x"] },
  { names: "riscv_flush_icache", on: ["riscv64"] },
];

/** Calls that one of the capabilities opens. */
const byCapability: readonly { readonly names: string; readonly any: readonly Capability[] }[] = [
  {
    names:
      "clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules " +
      "lsm_set_self_attr mount mount_setattr move_mount open_tree quotactl quotactl_fd setdomainname sethostname " +
      "setns umount umount2 unshare",
    any: ["CAP_SYS_ADMIN"],
  },
  { names: "bpf", any: ["CAP_SYS_ADMIN", "CAP_BPF"] },
  { names: "perf_event_open", any: ["CAP_SYS_ADMIN", "CAP_PERFMON"] },
  { names: "syslog", any: ["CAP_SYS_ADMIN", "CAP_SYSLOG"] },
  { names: "open_by_handle_at", any: ["CAP_DAC_READ_SEARCH"] },
  { names: "reboot", any: ["CAP_SYS_BOOT"] },
  { names: "chroot", any: ["CAP_SYS_CHROOT"] },
  { names: "delete_module finit_module init_module", any: ["CAP_SYS_MODULE"] },
  { names: "acct", any: ["CAP_SYS_PACCT"] },
  { names: "kcmp pidfd_getfd process_madvise", any: ["CAP_SYS_PTRACE"] },
  { names: "ioperm iopl", any: ["CAP_SYS_RAWIO"] },
  { names: "clock_settime clock_settime64 settimeofday stime", any: ["CAP_SYS_TIME"] },
  { names: "vhangup", any: ["CAP_SYS_TTY_CONFIG"] },
  { names: "get_mempolicy mbind set_mempolicy set_mempolicy_home_node", any: ["CAP_SYS_NICE"] },
];

/** Calls that no capability opens, besides those above. */
const never =
  "add_key bdflush create_module get_kernel_syms io_uring_enter io_uring_register io_uring_setup kexec_file_load " +
  "kexec_load keyctl migrate_pages move_pages nfsservctl open_tree_attr pivot_root query_module request_key swapoff " +
  "swapon sysfs _sysctl uselib userfaultfd ustat vm86 vm86old";

/** clone(2) flags for new namespaces: mount, cgroup, uts, ipc, user, pid, net. */
const CLONE_NEW = [0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000];
const ANY_CLONE_NEW = CLONE_NEW.reduce((flags, flag) => flags | flag, 0);

/** Linux, SVR4 short inode numbers (0x20000 and 8), and asking for what is set. */
const PERSONALITIES = [0, 0x8, 0x20000, 0x20008, 0xffffffff];

const AF_ALG = 38;
const AF_VSOCK = 40;

const S_IFMT = 0o170000;
const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;
const S_IFREG = 0o100000;
const S_IFIFO = 0o010000;
const S_IFSOCK = 0o140000;
/** Majors 1 and 5 hold null, zero, random, tty and the like; above are devices of the machine. */
const FIRST_MACHINE_DEVICE = 6 << 8;

/** The `linux.seccomp` part of a runtime configuration (OCI runtime spec, config-linux.md "Seccomp"). */
export function seccompProfile({
  capabilities,
  devicesGuarded,
}: SeccompOptions): Readonly<Record<string, unknown>> {
  const has = new Set(capabilities);
  const open = byCapability.filter(({ any }) => any.some(capability => has.has(capability)));
  const allowed = new Set([
    ...Object.values(always).flatMap(words),
    ...byArchitecture.filter(({ on }) => on.includes(process.arch)).flatMap(({ names }) => words(names)),
    ...open.flatMap(({ names }) => words(names)),
    ...(devicesGuarded ? ["mknod", "mknodat"] : []),
  ]);
  const refused = [...byCapability.flatMap(({ names }) => words(names)), ...words(never)].filter(
    name => !allowed.has(name) && name !== "clone" && name !== "clone3",
  );
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: ENOSYS,
    ...(architectures && { architectures }),
    syscalls: [
      allow([...allowed]),
      deny(refused),
      ...(allowed.has("clone") ? [] : cloneRules),
      ...socketRules,
      ...PERSONALITIES.map(value => allow(["personality"], [{ index: 0, value, op: "SCMP_CMP_EQ" }])),
      ...(devicesGuarded ? [] : deviceRules),
    ],
  };
}

/** The native architecture, and those whose calls the same kernel also takes. */
const architectures = (
  {
    x64: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    arm64: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
    s390x: ["SCMP_ARCH_S390X", "SCMP_ARCH_S390"],
    riscv64: ["SCMP_ARCH_RISCV64"],
    ppc64: ["SCMP_ARCH_PPC64LE"],
  } as Readonly<Record<string, readonly string[]>>
)[process.arch];

/** Nothing but threads and processes. The flags of clone3 are behind a pointer: libc falls back to clone on ENOSYS. */
const cloneRules: readonly Rule[] = (() => {
  // s390 has the first two arguments the other way round.
  const index = process.arch === "s390x" ? 1 : 0;
  return [
    allow(["clone"], [{ index, value: ANY_CLONE_NEW, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }]),
    ...CLONE_NEW.map(flag =>
      deny(["clone"], [{ index, value: flag, valueTwo: flag, op: "SCMP_CMP_MASKED_EQ" }]),
    ),
    { ...deny(["clone3"]), errnoRet: ENOSYS },
  ];
})();

/** All families but the kernel's ciphers and the sockets of virtual machines, which no network namespace holds. */
const socketRules: readonly Rule[] = [
  allow(["socket"], [{ index: 0, value: AF_ALG, op: "SCMP_CMP_LT" }]),
  allow(["socket"], [{ index: 0, value: AF_ALG + 1, op: "SCMP_CMP_EQ" }]),
  allow(["socket"], [{ index: 0, value: AF_VSOCK, op: "SCMP_CMP_GT" }]),
  ...[AF_ALG, AF_VSOCK].map(value => deny(["socket"], [{ index: 0, value, op: "SCMP_CMP_EQ" }])),
];

/** No nodes for the devices of the machine: where no cgroup guards those, making a node would be using it. */
const deviceRules: readonly Rule[] = (
  [
    ["mknod", 1],
    ["mknodat", 2],
  ] as const
).flatMap(([name, index]) => {
  const isKind = (kind: number): SeccompArgument => {
    return { index, value: S_IFMT, valueTwo: kind, op: "SCMP_CMP_MASKED_EQ" };
  };
  const device = { index: index + 1, value: FIRST_MACHINE_DEVICE } as const;
  return [
    ...[0, S_IFREG, S_IFIFO, S_IFSOCK].map(kind => allow([name], [isKind(kind)])),
    allow([name], [isKind(S_IFCHR), { ...device, op: "SCMP_CMP_LT" }]),
    deny([name], [isKind(S_IFCHR), { ...device, op: "SCMP_CMP_GE" }]),
    deny([name], [isKind(S_IFBLK)]),
  ];
});

function words(names: string): readonly string[] {
  return names.split(" ");
}

function allow(names: readonly string[], args?: readonly SeccompArgument[]): Rule {
  return { names, action: "SCMP_ACT_ALLOW", ...(args && { args }) };
}

function deny(names: readonly string[], args?: readonly SeccompArgument[]): Rule {
  return { names, action: "SCMP_ACT_ERRNO", errnoRet: EPERM, ...(args && { args }) };
}
