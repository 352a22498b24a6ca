// Mounts through mount(2), with failures that say what to do.
import { BakeError } from "../diagnostic/error.ts";
import type { Libc } from "../content/libc.ts";
import { SystemError } from "../content/libc.ts";

/** mount(2) flags. */
export const MS_RDONLY = 1;
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;

/** @throws BakeError "mount-failed" */
export function mountOverlay(libc: Libc, target: string, options: string, flags = 0): void {
  try {
    libc.mount("overlay", target, "overlay", flags, options);
  } catch (thrown) {
    throw explain(thrown, `cannot mount an overlay at "${target}"`);
  }
}

/**
 * Takes a mount out of the tree. One that is busy (a process still has its folder open) goes when its last user ends.
 * @throws BakeError "mount-failed"
 */
export function unmount(libc: Libc, target: string): void {
  try {
    try {
      libc.umount(target, UMOUNT_NOFOLLOW);
    } catch (thrown) {
      if (!(thrown instanceof SystemError) || thrown.code !== "EBUSY") throw thrown;
      libc.umount(target, UMOUNT_NOFOLLOW | MNT_DETACH);
    }
  } catch (thrown) {
    throw explain(thrown, `cannot unmount "${target}"`);
  }
}

/** As `unmount`, without holding up everything else meanwhile. */
export async function unmountAway(libc: Libc, target: string): Promise<void> {
  // Why it failed is known on the thread that called: so it is tried again here.
  if (!(await libc.umountAway(target, UMOUNT_NOFOLLOW))) unmount(libc, target);
}

const HINTS: Readonly<Record<string, string>> = {
  EPERM: "mounting needs root (CAP_SYS_ADMIN): run as root, or in a user namespace",
  EACCES: "mounting needs root (CAP_SYS_ADMIN): run as root, or in a user namespace",
  ENODEV: 'the kernel has no overlay file system: run "modprobe overlay"',
  EINVAL:
    "the file system of the state directory may not carry overlays (an overlay itself, NFS): choose another one",
  ENOSPC: "too many mounts are held: see /proc/sys/fs/mount-max",
  ESTALE: "a snapshot is damaged: prune the state directory",
};

function explain(thrown: unknown, what: string): unknown {
  if (!(thrown instanceof SystemError)) return thrown;
  return new BakeError("mount-failed", `${what}: ${thrown.code}`, {
    hint: HINTS[thrown.code],
    cause: thrown,
  });
}
