// Hosts with controllers in both cgroup versions: crun 1.8 gives up on them, unless it cannot see version 2. So it runs
// in a mount namespace of its own where that is covered: made by programs, or without them by this process.
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { isMainThread } from "node:worker_threads";
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

/** Starts a command line as `spawn` does; one that begins with `COVERED` without the programs for it. */
export type Launch = (command: CommandLine, options: Parameters<Spawn>[2]) => ReturnType<Spawn>;

// sched.h, sys/mount.h
const CLONE_FS = 0x200;
const CLONE_NEWNS = 0x20000;
const MS_REC_PRIVATE = 0x4000 | 0x40000;

/**
 * The programs take longer than the runtime that they start. A child begins in the namespaces of the thread that starts
 * it: that one leaves its mount namespace for a moment, in which nothing else can happen on it. All other threads stay.
 */
export async function createLauncher(): Promise<Launch> {
  const plain: Launch = ({ file, args }, options) => spawn(file, args, options);
  const native = isMainThread ? await loadNative() : undefined;
  if (native === undefined) return plain;
  const unshare = native.bind("int unshare(int)");
  const setns = native.bind("int setns(int, int)");
  const fchdir = native.bind("int fchdir(int)");
  const chroot = native.bind("int chroot(const char *)");
  const mount = native.bind(
    "int mount(const char *, const char *, const char *, unsigned long, const char *)",
  );
  let isApart = false;

  const covered = <T>(start: () => T): T | undefined => {
    // A thread that shares its working directory with others may not change the namespace (setns(2)).
    if (!isApart && unshare(CLONE_FS) !== 0) return undefined;
    isApart = true;
    const [home, root, folder] = [openSync("/proc/self/ns/mnt", "r"), openSync("/", "r"), openSync(".", "r")];
    try {
      if (unshare(CLONE_NEWNS) !== 0) return undefined;
      try {
        const isCovered =
          mount("none", "/", null, MS_REC_PRIVATE, null) === 0 &&
          mount("none", UNIFIED, "tmpfs", 0, null) === 0;
        return isCovered ? start() : undefined;
      } finally {
        // Entering a namespace leads to its root, which is not this process's own where it runs in a chroot.
        const isBack = setns(home, CLONE_NEWNS) === 0 && fchdir(root) === 0 && chroot(".") === 0;
        if (!isBack || fchdir(folder) !== 0)
          throw new Error("BUG: the mount namespace could not be entered again");
      }
    } finally {
      for (const fd of [home, root, folder]) closeSync(fd);
    }
  };
  return (command, options) => {
    const direct = withoutCover(command);
    const child = direct && covered(() => spawn(direct.file, direct.args, options));
    return child ?? plain(command, options);
  };
}

function withoutCover({ file, args }: CommandLine): CommandLine | undefined {
  const words = [file, ...args];
  if (!COVERED.every((word, index) => words[index] === word)) return undefined;
  const [program = "", ...rest] = words.slice(COVERED.length);
  return { file: program, args: rest };
}
