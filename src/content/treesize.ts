// What a file tree takes on its disk, as du(1) counts it: allocated blocks, each file once however many names it has.
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { isCode } from "./root.ts";

/** POSIX stat(2) counts blocks of this size, whatever the file system's own. */
const BLOCK_BYTES = 512;

/** Size in bytes of a file or folder with everything in it; what vanishes meanwhile counts as nothing. */
export async function treeSize(path: string, signal?: AbortSignal): Promise<number> {
  const seen = new Set<string>();
  const measure = async (at: string): Promise<number> => {
    signal?.throwIfAborted();
    const found = await lstat(at);
    if (found.nlink > 1 && !found.isDirectory()) {
      const identity = `${found.dev} ${found.ino}`;
      if (seen.has(identity)) return 0;
      seen.add(identity);
    }
    let bytes = found.blocks * BLOCK_BYTES;
    if (!found.isDirectory()) return bytes;
    for (const name of await readdir(at)) bytes += await measureIfThere(join(at, name));
    return bytes;
  };
  const measureIfThere = async (at: string): Promise<number> => {
    try {
      return await measure(at);
    } catch (thrown) {
      if (isCode(thrown, "ENOENT") || isCode(thrown, "ENOTDIR")) return 0;
      throw thrown;
    }
  };
  return measureIfThere(path);
}
