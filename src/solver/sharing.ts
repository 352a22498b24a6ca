// Not executing what another process executes: whoever is about to execute a vertex claims its key in the store, looks
// once more whether the result has appeared, and waits if another has the claim. The claim is kept until the result is
// saved, or will not be: so whoever waits finds it, or takes over when the other failed, gave up or died.
//
// Nobody waits for ever. A claim is held only by a vertex whose inputs are all at hand: from then on it needs a slot,
// and what its op takes for itself. Slots are held by ops that run, never by a vertex that waits for a claim. Ops that
// have more solved while they execute would wait for other vertices, and so for claims: these take no slot ("free"), and
// no claim either.
import { keyedInputs, type Node } from "./graph.ts";
import type { Hints } from "./hints.ts";
import { keysToShare } from "./keying.ts";
import type { CacheKey, CacheRecord, ClaimWait } from "./op.ts";

/** What somebody else has made of a vertex that was about to execute. */
export interface Found<R> {
  readonly record: CacheRecord;
  /** The results that are waited for. */
  readonly results: ReadonlyMap<number, R>;
  /** Keys of the vertex that are to name the record too. */
  readonly names: readonly CacheKey[];
}

export interface Sharing<R> {
  /** Claims a node that is about to execute: "busy" when another has it, undefined when it is to execute. */
  take(node: Node<R>): Promise<Found<R> | "busy" | undefined>;
  /** As `take`, waiting until the node is claimed. @throws the abort reason */
  wait(node: Node<R>, wait: ClaimWait): Promise<Found<R> | undefined>;
}

export function createSharing<R>(
  hints: Hints<R>,
  load: (record: CacheRecord, index: number) => Promise<R | undefined>,
): Sharing<R> {
  async function take(node: Node<R>, wait?: ClaimWait): Promise<Found<R> | "busy" | undefined> {
    const { state, vertex, forced } = node;
    if (!hints.canClaim || vertex.op.pool === "free" || state.tag !== "executing") return undefined;
    const share = keysToShare({ forced }, state.run, keyedInputs(node));
    if (share === undefined) return undefined;
    if (node.heldKey === undefined) {
      const claim = await hints.claim(share.claim.digest, wait);
      if (claim === "busy") return "busy";
      node.heldKey = claim;
    }
    return await find(node, share.keys);
  }

  async function find(node: Node<R>, keys: readonly CacheKey[]): Promise<Found<R> | undefined> {
    for (const { digest } of keys) {
      const { record } = await hints.query(digest);
      if (record === undefined) continue;
      const results = new Map<number, R>();
      for (const { index } of node.resultWaiters) {
        const result = results.get(index) ?? (await load(record, index));
        // A record whose results are lost is what it executes for.
        if (result === undefined) return undefined;
        results.set(index, result);
      }
      return { record, results, names: keys.filter(key => key.digest !== digest) };
    }
    return undefined;
  }

  return {
    take: node => take(node),
    async wait(node, wait) {
      const found = await take(node, wait);
      return found === "busy" ? undefined : found;
    },
  };
}
