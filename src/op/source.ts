// The source op: pinned for its key, fetched when its result is needed.
import { pinSource } from "../source/table.ts";
import type { PinnedSource } from "../source/source.ts";
import type { OpContext } from "../solver/op.ts";
import type { BoundVertex, OpBinding, OpDeps } from "./binding.ts";

export const sourceBinding: OpBinding<"source"> = {
  async cacheMap(vertex, deps, context) {
    const { parts, volatile, asked } = await pin(vertex, deps, context);
    return { parts, inputs: [], ...(volatile && { volatile }), ...(asked && { asked }) };
  },
  async exec(vertex, _inputs, deps, context) {
    const pinned = await pin(vertex, deps, context);
    return [await pinned.fetch({ ...context, step: vertex.digest })];
  },
};

async function pin(
  { op, platform, digest }: BoundVertex<"source">,
  { worker, session }: OpDeps,
  context: OpContext,
): Promise<PinnedSource> {
  const { identifier, attrs } = op.spec;
  return pinSource({ identifier, attrs, platform }, { ...worker, session }, { ...context, step: digest });
}
