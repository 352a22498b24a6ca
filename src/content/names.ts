// The names in a folder of the state directory, for those who take stock of what is there.
import { readdir } from "node:fs/promises";

/** In order; none when there is no such folder, or when this user may not look into it. */
export async function namesIn(folder: string): Promise<readonly string[]> {
  return (await readdir(folder).catch(() => [])).sort();
}
