// Removing blobs that nobody uses, while other processes work. See blob.ts for the lock that makes it safe.
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Digest } from "../oci/digest.ts";
import { BLOB_LOCK, type BlobStore } from "./blob.ts";
import { type Owner, readLeases } from "./lease.ts";
import { withLock } from "./lock.ts";
import { namesIn } from "./names.ts";
import { isCode, type StateRoot } from "./root.ts";

/**
 * Removes those of `digests` that no living process has leased and that are not `needed`, which is asked while nobody
 * can begin to use a blob; returns the ones that are gone.
 */
export async function pruneBlobs(
  digests: readonly Digest[],
  { root, owner, blobs }: { readonly root: StateRoot; readonly owner: Owner; readonly blobs: BlobStore },
  needed: () => Promise<ReadonlySet<string>>,
  signal?: AbortSignal,
): Promise<readonly Digest[]> {
  if (digests.length === 0) return [];
  const gone = await withLock(root, BLOB_LOCK, signal, async () => {
    const leased = (await readLeases(root)).blob;
    const kept = await needed();
    const removed: Digest[] = [];
    for (const digest of digests) {
      if (leased.has(digest) || kept.has(digest)) continue;
      await rename(blobs.path(digest), owner.newPath("trash")).catch((thrown: unknown) => {
        if (!isCode(thrown, "ENOENT")) throw thrown;
      });
      removed.push(digest);
    }
    return removed;
  });
  await emptyTrash(owner);
  return gone;
}

/** Deletes what was renamed out of sight: the slow part, without any lock. */
export async function emptyTrash(owner: Owner): Promise<void> {
  const trash = join(owner.path, "trash");
  for (const name of await namesIn(trash)) await rm(join(trash, name), { recursive: true, force: true });
}
