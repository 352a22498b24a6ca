// Claims of the build cache: locks between processes, which the kernel drops when their holder dies.
import { acquireLock, describeHolder, tryLock } from "../content/lock.ts";
import type { StateRoot } from "../content/root.ts";
import { sweepDeadOwners } from "../content/sweep.ts";
import type { Digest } from "../oci/digest.ts";
import type { Claim, ClaimWait } from "../solver/op.ts";

/** See `CacheStore.claim`. */
export async function claimKey(root: StateRoot, key: Digest, wait?: ClaimWait): Promise<Claim | undefined> {
  const name = `claim ${key}`;
  if (wait === undefined) return await tryLock(root, name);
  let waited = false;
  const claim = await acquireLock(root, name, wait.signal, {
    onWait(holderPid) {
      waited = true;
      wait.onWait(describeHolder(holderPid));
    },
  });
  try {
    // If the holder died, what it ran may not have: it must be gone before the same runs here.
    if (waited) await sweepDeadOwners(root);
    return claim;
  } catch (thrown) {
    claim.release();
    throw thrown;
  }
}
