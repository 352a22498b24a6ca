// The newest file of an archive: what the archive's own age is taken for.
import { BakeError } from "../diagnostic/error.ts";
import { readTar } from "./tar.ts";
import { openArchive } from "./unpack.ts";

/**
 * When the newest regular file of a tar archive, plain or compressed, was changed, in whole seconds since 1970; undefined
 * when the file is no archive, is malformed, or holds no files.
 */
export async function newestFileIn(file: string, signal: AbortSignal): Promise<number | undefined> {
  const stream = await openArchive(file, signal);
  if (stream === undefined) return undefined;
  let newest: number | undefined;
  try {
    for await (const { header } of readTar(stream)) {
      if (header.type !== "file") continue;
      newest = Math.max(newest ?? -Infinity, Math.floor(header.mtime));
    }
  } catch (thrown) {
    if (thrown instanceof BakeError && thrown.code === "content-corrupt") return undefined;
    throw thrown;
  }
  return newest;
}
