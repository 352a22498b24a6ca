// Room kept for bad days: on a disk that is full to the last block even entering the state directory, to remove things
// from it, needs a few blocks. This file takes them while there are enough, and is given up then.
import { existsSync, rmSync } from "node:fs";
import { rename, rm, stat, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isFull } from "./fulldisk.ts";

/** Some dozens of folders, each a block of its own. */
const BALLAST_BYTES = 256 * 1024;
/** It is not worth having on a disk that it would fill. */
const MIN_FREE_BYTES = 4 * BALLAST_BYTES;

/** Whether it was given up, or never made. */
export function lacksBallast(rootPath: string): boolean {
  return !existsSync(join(rootPath, "ballast"));
}

/** Makes the file by way of `draft` if it is missing and there is room; that it cannot be made is no failure. */
export async function fillBallast(rootPath: string, draft: string): Promise<void> {
  const path = join(rootPath, "ballast");
  try {
    if ((await stat(path).catch(() => undefined))?.size === BALLAST_BYTES) return;
    const { bavail, bsize } = await statfs(rootPath);
    if (bavail * bsize < MIN_FREE_BYTES) return;
    // Bytes that no file system packs into nothing.
    await writeFile(draft, Buffer.alloc(BALLAST_BYTES, 0x5a));
    await rename(draft, path);
  } catch {
    await rm(draft, { force: true }).catch(() => undefined);
  }
}

/** Runs `work`; when there is no space for it, gives up the ballast and runs it once more. */
export async function withBallast<T>(rootPath: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    if (!isFull(thrown)) throw thrown;
    rmSync(join(rootPath, "ballast"), { force: true });
    return await work();
  }
}
