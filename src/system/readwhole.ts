// Files that are read whole: Dockerfiles, bake files, what is kept of earlier runs.
import { readFileSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";

/**
 * Reads a file, a regular one at once: to ask another thread takes several times as long as to do it. What may have
 * nothing to give yet, such as a pipe, is left to one, so that waiting for it can be interrupted.
 * @throws the system's error, or the abort reason
 */
export async function readWhole(
  path: string,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<Buffer> {
  signal?.throwIfAborted();
  if (statSync(path).isFile()) return readFileSync(path);
  return await readFile(path, signal && { signal });
}
