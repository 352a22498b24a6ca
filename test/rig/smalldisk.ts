// A disk of a few megabytes for tests that fill it: ext4 on a loop device, or a tmpfs of that size where there is none.
import { execFileSync } from "node:child_process";
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { isRoot, tempDir } from "./tree.ts";

export interface SmallDisk extends Disposable {
  /** Where it is mounted. */
  readonly path: string;
  readonly kind: "ext4 on a loop device" | "tmpfs";
  /** Takes all space but for `leaveBytes`; rounded to blocks. */
  fill(leaveBytes?: number): void;
  /** Gives back what was taken. */
  drain(): void;
  freeBytes(): number;
}

/** Why there can be no small disk here, or false. */
export const skipWithoutSmallDisk: string | false = isRoot ? false : "mounting a disk needs root";

/** Makes and mounts a disk; gone with everything on it at the end of the scope. */
export function smallDisk(sizeBytes: number): SmallDisk {
  const dir = tempDir();
  const path = join(dir.path, "disk");
  mkdirSync(path);
  const kind = mountLoop(join(dir.path, "image"), path, sizeBytes) ? "ext4 on a loop device" : "tmpfs";
  if (kind === "tmpfs")
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${sizeBytes}`, "tmpfs", path], { stdio: "pipe" });
  const filler = join(path, "filler");
  const freeBytes = (): number => {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  };
  return {
    path,
    kind,
    freeBytes,
    fill(leaveBytes = 0) {
      const fd = openSync(filler, "a");
      try {
        for (const pieceBytes of [1024 ** 2, 4096, 1024]) {
          const piece = Buffer.alloc(pieceBytes, 1);
          try {
            while (freeBytes() - leaveBytes >= pieceBytes) {
              if (writeSync(fd, piece) < pieceBytes) break;
              // Free space is told as of what has reached the disk.
              if (pieceBytes < 1024 ** 2) fsyncSync(fd);
            }
          } catch (thrown) {
            if (!(thrown instanceof Error && "code" in thrown && thrown.code === "ENOSPC")) throw thrown;
          }
          fsyncSync(fd);
        }
      } finally {
        closeSync(fd);
      }
    },
    drain() {
      rmSync(filler, { force: true });
    },
    [Symbol.dispose]() {
      execFileSync("umount", ["-l", path], { stdio: "pipe" });
      dir[Symbol.dispose]();
    },
  };
}

function mountLoop(image: string, path: string, sizeBytes: number): boolean {
  try {
    writeFileSync(image, "");
    truncateSync(image, sizeBytes);
    // No blocks are kept for root, who runs the tests.
    execFileSync("mkfs.ext4", ["-q", "-F", "-m", "0", image], { stdio: "pipe" });
    execFileSync("mount", ["-o", "loop", image, path], { stdio: "pipe" });
    return true;
  } catch {
    return false;
  }
}
