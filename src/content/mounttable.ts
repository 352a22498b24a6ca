// The mounts this process sees, from /proc/self/mountinfo (proc_pid_mountinfo(5)).
import { readFileSync } from "node:fs";
import { loadLibc } from "./libc.ts";
import { isCode } from "./root.ts";

/** umount2(2): take the mount out of the tree now, let go of it when its last user ends; do not follow links. */
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;

/** Mount points at or below `path`, in the order they were made. */
export function mountsUnder(path: string): readonly string[] {
  const points: string[] = [];
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n")) {
    const field = line.split(" ")[4];
    if (field === undefined) continue;
    const point = field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(parseInt(octal, 8)),
    );
    if (point === path || point.startsWith(`${path}/`)) points.push(point);
  }
  return points;
}

/** Unmounts everything at or below `path`, the newest first, even what is still in use. */
export async function unmountUnder(path: string): Promise<void> {
  const libc = await loadLibc();
  for (const point of [...mountsUnder(path)].reverse()) {
    try {
      libc.umount(point, MNT_DETACH | UMOUNT_NOFOLLOW);
    } catch (thrown) {
      // Gone meanwhile: unmounted by its owner, or with the mount above it.
      if (!isCode(thrown, "EINVAL") && !isCode(thrown, "ENOENT")) throw thrown;
    }
  }
}
