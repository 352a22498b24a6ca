// The diff op: what an upper result changed over a lower one, as a result of its own. Removals are kept with it and
// take effect where it is merged over something, or exported as layers.
import type { Ref } from "../snapshot/ref.ts";
import type { SnapshotId } from "../snapshot/snapshotter.ts";
import type { InputKeying } from "../solver/op.ts";
import type { Worker } from "../worker/worker.ts";
import type { OpBinding } from "./binding.ts";
import { stack } from "./merge.ts";
import { contentKeying, snapshotOf, wholeTree } from "./tree.ts";

export const diffBinding: OpBinding<"diff"> = {
  cacheMap: ({ op, inPlaceInputs }, { worker }) =>
    Promise.resolve({
      parts: [{ label: "diff", value: JSON.stringify([op.spec.lower?.input, op.spec.upper?.input]) }],
      inputs: op.inputs.map((_, input): InputKeying<Ref> =>
        inPlaceInputs[input] === true ? contentKeying(worker, wholeTree) : {},
      ),
    }),
  async exec({ op }, inputs, { worker }, { signal }) {
    const sideOf = async (index = -1): Promise<SnapshotId | undefined> => {
      const ref = inputs[index];
      return ref && (await snapshotOf(ref, worker, signal));
    };
    const lower = await sideOf(op.spec.lower?.input);
    const upper = await sideOf(op.spec.upper?.input);
    const id = await diffOf(lower, upper, worker, signal);
    return [id === undefined ? { tag: "scratch" } : { tag: "snapshot", id }];
  },
};

/**
 * Where one result is made from the other, the layers between them, each as it is: that is more than the difference of
 * the two trees when a layer undoes what another did. Else one layer with the difference. As BuildKit has it
 * (cache/manager.go).
 */
async function diffOf(
  lower: SnapshotId | undefined,
  upper: SnapshotId | undefined,
  worker: Worker,
  signal: AbortSignal,
): Promise<SnapshotId | undefined> {
  if (lower === undefined || lower === upper) return lower === undefined ? upper : undefined;
  const chain = upper === undefined ? [] : await worker.snapshots.chain(upper);
  const at = chain.indexOf(lower);
  if (at >= 0) return await stack(undefined, chain.slice(at + 1), worker, signal);
  await using difference = await worker.snapshots.difference(lower, upper);
  if (difference.changes.length === 0) return undefined;
  return await worker.snapshots.lay(undefined, difference, signal);
}
