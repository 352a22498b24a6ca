// Takes down a state directory that holds no results any more, to the last byte.
import { rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { whileShut } from "./gate.ts";
import { namesIn } from "./names.ts";
import { isCode, type StateRoot } from "./root.ts";

/** Folders that have to be empty for the rest to be worthless. */
const RESULTS = ["snapshots", "blobs", "cache-mounts", "git", "http"];

/**
 * Empties the directory itself if nobody uses it and no results are left. Whoever comes next finds an empty folder and
 * makes it a state directory again.
 */
export async function wipeStateRoot(root: StateRoot): Promise<void> {
  await whileShut(root.path, async () => {
    if ((await namesIn(root.owners)).length > 0) return;
    for (const algorithm of await namesIn(root.blobs)) await removeIfEmpty(join(root.blobs, algorithm));
    for (const name of RESULTS) await removeIfEmpty(join(root.path, name));
    const names = await namesIn(root.path);
    if (names.some(name => RESULTS.includes(name))) return;
    // The version last: without it, other content would be somebody else's.
    for (const name of names)
      if (name !== "version" && name !== "lost+found")
        await rm(join(root.path, name), { recursive: true, force: true });
    await rm(join(root.path, "version"), { force: true });
  });
}

async function removeIfEmpty(path: string): Promise<void> {
  await rmdir(path).catch((thrown: unknown) => {
    for (const code of ["ENOENT", "ENOTEMPTY", "EEXIST"]) if (isCode(thrown, code)) return;
    throw thrown;
  });
}
