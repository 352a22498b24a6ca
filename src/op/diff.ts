// The diff op: what an upper result changed over a lower one, as a result of its own.
import { BakeError } from "../diagnostic/error.ts";
import type { Ref } from "../snapshot/ref.ts";
import type { InputKeying } from "../solver/op.ts";
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
    const id = await stack(undefined, chain.slice(at + 1), worker, signal);
    return [id === undefined ? { tag: "scratch" } : { tag: "snapshot", id }];
  },
};
