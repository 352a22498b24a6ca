// The merge op: results laid over each other, later ones on top. Each layer of an upper input becomes a layer of the
// result, so its blob stays the same.
import { BakeError } from "../diagnostic/error.ts";
import type { Ref } from "../snapshot/ref.ts";
import type { SnapshotId } from "../snapshot/snapshotter.ts";
import type { InputKeying } from "../solver/op.ts";
import type { Worker } from "../worker/worker.ts";
import type { OpBinding } from "./binding.ts";
import { contentKeying, snapshotOf, wholeTree } from "./tree.ts";

export const mergeBinding: OpBinding<"merge"> = {
  cacheMap: ({ op, inPlaceInputs }, { worker }) =>
    Promise.resolve({
      parts: [{ label: "merge", value: JSON.stringify(op.spec.inputs.map(({ input }) => input)) }],
      inputs: op.inputs.map((_, input): InputKeying<Ref> =>
        inPlaceInputs[input] === true ? contentKeying(worker, wholeTree) : {},
      ),
    }),
  async exec({ op }, inputs, { worker }, { signal }) {
    let result: SnapshotId | undefined;
    for (const { input } of op.spec.inputs) {
      const ref: Ref | undefined = input < 0 ? { tag: "scratch" } : inputs[input];
      if (ref === undefined) throw new BakeError("llb-invalid", `a merge op uses the unknown input ${input}`);
      const id = await snapshotOf(ref, worker, signal);
      if (id === undefined) continue;
      result =
        result === undefined ? id : await stack(result, await worker.snapshots.chain(id), worker, signal);
    }
    return [result === undefined ? { tag: "scratch" } : { tag: "snapshot", id: result }];
  },
};

/** Lays the changes of each snapshot of `layers` over `base`, a snapshot each. Undefined when both are nothing. */
export async function stack(
  base: SnapshotId | undefined,
  layers: readonly SnapshotId[],
  { snapshots, layerBlobs }: Worker,
  signal: AbortSignal,
): Promise<SnapshotId | undefined> {
  let top = base;
  for (const layer of layers) {
    signal.throwIfAborted();
    await using changes = await snapshots.changes(layer);
    top = await snapshots.lay(top, changes, signal);
    for (const blob of await layerBlobs.find(layer)) await layerBlobs.add(top, blob);
  }
  return top;
}
