// Runtimes are started in a mount namespace of their own, which is made once: there what some of them stumble over is
// covered (crun 1.8 gives up on hosts with controllers in both cgroup versions, unless it cannot see version 2), and
// their program is read-only, so that they need not copy it before they give it to a container (CVE-2019-5736).
import { spawn } from "node:child_process";
import { close, closeSync, openSync } from "node:fs";
import { promisify } from "node:util";
import { isMainThread } from "node:worker_threads";
import type { Owner } from "../content/lease.ts";
import { loadLibc } from "../content/libc.ts";
import { shareMounts, unsharedMounts } from "../content/mountpoints.ts";
import { loadNative } from "../system/native.ts";

export interface CommandLine {
  readonly file: string;
  readonly args: readonly string[];
}

const UNIFIED = "/sys/fs/cgroup/unified";

/** Words in front of a command that runs it covered. */
export const COVERED: readonly string[] = [
  "unshare",
  "--mount",
  "--propagation",
  "private",
  "sh",
  "-c",
  `mount -n -t tmpfs none ${UNIFIED} && exec "$@"`,
  "sh",
];

type Spawn = typeof spawn;

/** Starts a command line as `spawn` does; one that begins with `COVERED` without the programs for it where that goes. */
export type Launch = (command: CommandLine, options: Parameters<Spawn>[2]) => ReturnType<Spawn>;

export interface Launcher {
  readonly launch: Launch;
  /** Whether what it started sees what is mounted later, at mount points of the owner. */
  readonly isLasting: boolean;
}

// sched.h, sys/mount.h
const CLONE_FS = 0x200;
const CLONE_NEWNS = 0x20000;
const MS_RDONLY = 1;
const MS_REMOUNT = 0x20;
const MS_BIND = 0x1000;
const MS_REC = 0x4000;
const MS_SLAVE = 1 << 19;
const MNT_DETACH = 2;

/**
 * `command` is how the runtime is called, `binary` its program. Where the namespace cannot be made, programs make one
 * for each call that needs it.
 */
export async function createLauncher(owner: Owner, command: CommandLine, binary: string): Promise<Launcher> {
  const isCovered = withoutCover(command) !== undefined;
  const plain: Launch = ({ file, args }, options) => spawn(file, args, options);
  const enter = isMainThread ? await splitOff(owner, isCovered, binary) : undefined;
  if (enter === undefined) return { launch: plain, isLasting: !isCovered };
  return {
    launch(command, options) {
      const direct = withoutCover(command) ?? command;
      return enter(() => spawn(direct.file, direct.args, options)) ?? plain(command, options);
    },
    isLasting: true,
  };
}

function withoutCover({ file, args }: CommandLine): CommandLine | undefined {
  const words = [file, ...args];
  if (!COVERED.every((word, index) => words[index] === word)) return undefined;
  const [program = "", ...rest] = words.slice(COVERED.length);
  return { file: program, args: rest };
}

/** Does something in another mount namespace; undefined when that could not be entered. */
type Enter = <T>(work: () => T) => T | undefined;

/**
 * A child begins in the namespaces of the thread that starts it: that one goes to another mount namespace for a moment,
 * in which nothing else can happen on it. All other threads stay.
 */
async function splitOff(owner: Owner, isCovered: boolean, binary: string): Promise<Enter | undefined> {
  const native = await loadNative();
  if (native === undefined || !shareMounts(await loadLibc(), owner)) return undefined;
  const unshare = native.bind("int unshare(int)");
  const setns = native.bind("int setns(int, int)");
  const fchdir = native.bind("int fchdir(int)");
  const chroot = native.bind("int chroot(const char *)");
  const mount = native.bind(
    "int mount(const char *, const char *, const char *, unsigned long, const char *)",
  );
  const umount = native.bind("int umount2(const char *, int)");
  // A thread that shares its working directory with others may not change the namespace (setns(2)).
  if (unshare(CLONE_FS) !== 0) return undefined;

  /** Comes back whatever happens. Entering a namespace leads to its root, which is not that of a process in a chroot. */
  const away = <T>(work: () => T): T => {
    const [home, root, folder] = [openSync("/proc/self/ns/mnt", "r"), openSync("/", "r"), openSync(".", "r")];
    try {
      return work();
    } finally {
      const isBack = setns(home, CLONE_NEWNS) === 0 && fchdir(root) === 0 && chroot(".") === 0;
      for (const fd of [home, root]) closeSync(fd);
      const isThere = isBack && fchdir(folder) === 0;
      closeSync(folder);
      if (!isThere) throw new Error("BUG: the mount namespace could not be entered again");
    }
  };
  const there = away(() => {
    if (unshare(CLONE_NEWNS) !== 0 || mount("none", "/", null, MS_REC | MS_SLAVE, null) !== 0)
      return undefined;
    // These would stay here when they are unmounted elsewhere.
    for (const point of unsharedMounts(owner)) umount(point, MNT_DETACH);
    if (isCovered && mount("none", UNIFIED, "tmpfs", 0, null) !== 0) return undefined;
    if (mount(binary, binary, null, MS_BIND, null) === 0)
      mount("none", binary, null, MS_REMOUNT | MS_BIND | MS_RDONLY, null);
    return { namespace: openSync("/proc/self/ns/mnt", "r"), root: openSync("/", "r") };
  });
  if (there === undefined) return undefined;
  // Taking a namespace down takes a while.
  owner.onDispose(async () => {
    closeSync(there.root);
    await promisify(close)(there.namespace);
  });
  return work =>
    away(() =>
      setns(there.namespace, CLONE_NEWNS) === 0 && fchdir(there.root) === 0 && chroot(".") === 0
        ? work()
        : undefined,
    );
}
