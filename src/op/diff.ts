// The diff op: what an upper result changed over a lower one, as a result of its own.
import { BakeError } from "../diagnostic/error.ts";
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
    const idAt = async (index: number | undefined): Promise<Awaited<ReturnType<typeof snapshotOf>>> => {
      const ref = index === undefined || index < 0 ? undefined : inputs[index];
      return ref && snapshotOf(ref, worker, signal);
    };
    const lower = await idAt(op.spec.lower?.input);
    const upper = await idAt(op.spec.upper?.input);
    if (upper === undefined || lower === upper) return [{ tag: "scratch" }];
    if (lower === undefined) return [{ tag: "snapshot", id: upper }];
    const chain = await worker.snapshots.chain(upper);
    const at = chain.indexOf(lower);
    if (at < 0) {
      throw new BakeError(
        "not-supported",
        "a diff between results that do not build on each other is not available yet",
        {
          hint: "make the upper result from the lower one",
        },
      );
    }
    const layers = chain.slice(at + 1);
    for (const layer of layers) await expectNoDeletions(layer, worker);
    const id = await stack(undefined, layers, worker, signal);
    return [id === undefined ? { tag: "scratch" } : { tag: "snapshot", id }];
  },
};

/** A deletion has no form in a snapshot without anything below it: losing it would make a later merge wrong. */
async function expectNoDeletions(layer: SnapshotId, { snapshots }: Worker): Promise<void> {
  await using diff = await snapshots.changes(layer);
  const deleted = diff.changes.find(change => change.kind === "delete");
  if (deleted === undefined) return;
  throw new BakeError(
    "not-supported",
    `a diff in which files were deleted is not available yet ("/${deleted.path}")`,
    {
      hint: "delete the files in the result that the diff is merged into",
    },
  );
}
