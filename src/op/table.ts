// The kinds of ops: one row each, loaded when first used. A missing row does not compile.
import type { OpKind, OpOf, OpSpecs } from "../llb/ops.ts";
import { sourceScheme } from "../llb/op/source.ts";
import type { Platform } from "../oci/platform.ts";
import type { Ref } from "../snapshot/ref.ts";
import type { Op, Pool } from "../solver/op.ts";
import type { BoundVertex, OpBinding, OpDeps } from "./binding.ts";
import { cacheName, mountsOfPlatform } from "./cachename.ts";

interface OpRow<K extends OpKind> {
  /** Slots needed to run. */
  pool(spec: OpSpecs[K]): Pool;
  load(): Promise<OpBinding<K>>;
  /** Names of the cache mounts that it uses; none when absent. */
  caches?(spec: OpSpecs[K], platform: Platform, native: Platform): readonly string[];
}

const rows: { readonly [K in OpKind]: OpRow<K> } = {
  source: {
    pool: ({ identifier }) => (sourceScheme(identifier) === "local" ? "free" : "network"),
    load: async () => (await import("./source.ts")).sourceBinding,
  },
  exec: {
    pool: () => "cpu",
    load: async () => (await import("./exec.ts")).execBinding,
    caches: ({ mounts }, platform, native) =>
      mountsOfPlatform(mounts, platform, native)
        .filter(({ type }) => type === "cache")
        .map(cacheName),
  },
  file: { pool: () => "cpu", load: async () => (await import("./file.ts")).fileBinding },
  merge: { pool: () => "cpu", load: async () => (await import("./merge.ts")).mergeBinding },
  diff: { pool: () => "cpu", load: async () => (await import("./diff.ts")).diffBinding },
  build: { pool: () => "free", load: async () => (await import("./build.ts")).buildBinding },
};

/** The solver's op for an LLB vertex. */
export function bindOp<K extends OpKind>(vertex: BoundVertex<K>, deps: OpDeps): Op<Ref> {
  const row = rows[vertex.op.kind];
  return {
    pool: row.pool(vertex.op.spec),
    cacheMap: async context => (await row.load()).cacheMap(vertex, deps, context),
    exec: async (inputs, context) => (await row.load()).exec(vertex, inputs, deps, context),
  };
}

/** Names of the cache mounts that an op uses on a worker of the platform `native`. */
export function cachesOf<K extends OpKind>(op: OpOf<K>, native: Platform): readonly string[] {
  return rows[op.kind].caches?.(op.spec, op.platform ?? native, native) ?? [];
}
