// Directories in memory for what must never reach a disk (secrets): a tmpfs mounted under the owner's folder, so that
// the sweep of dead owners takes it away too.
import { randomBytes } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { loadLibc } from "../content/libc.ts";
import type { Owner } from "../content/lease.ts";
import { newMountPoint } from "../content/mountpoints.ts";
import { unmount } from "../snapshot/mount.ts";

const MS_NOSUID_NODEV_NOEXEC = 2 | 4 | 8;

/** Opens a new directory in memory, mode 0700. @throws BakeError "mount-failed" when there is no tmpfs to be had */
export async function openMemoryDirectory(
  owner: Owner,
): Promise<{ readonly path: string } & AsyncDisposable> {
  const libc = await loadLibc();
  const target = newMountPoint(owner);
  await mkdir(target, { mode: 0o700 });
  try {
    libc.mount("tmpfs", target, "tmpfs", MS_NOSUID_NODEV_NOEXEC, "mode=0700,size=16m");
  } catch {
    // Without the right to mount, the machine's shared memory serves.
    await rm(target, { recursive: true });
    const directory = path.join("/dev/shm", `llbake-${randomBytes(12).toString("hex")}`);
    owner.noteOutside(directory);
    await mkdir(directory, { mode: 0o700 });
    return { path: directory, [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }) };
  }
  return {
    path: target,
    async [Symbol.asyncDispose]() {
      unmount(libc, target);
      await rm(target, { recursive: true, force: true });
    },
  };
}
