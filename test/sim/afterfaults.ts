// What must hold once no more faults occur: a build ends with the right results, and one after it has nothing to do.
import assert from "node:assert/strict";
import { digestOf, type Digest } from "../../src/oci/digest.ts";
import type { CacheStore, Op, Vertex } from "../../src/solver/op.ts";
import { createPools } from "../../src/solver/pools.ts";
import { createSolver, type Solver } from "../../src/solver/scheduler.ts";
import type { Handle, Life } from "./life.ts";
import {
  closure,
  createDigests,
  createOracle,
  fieldsOf,
  partsOf,
  valueOf,
  valueOfSource,
  type Spec,
} from "./world.ts";

/**
 * Builds once more, then again with nothing changed: the second time executes nothing and loads the roots alone. Where
 * the store lost or refused keys, content may be read again: users of a step can have a record without it having one.
 */
export async function checkAfterFaults(life: Life): Promise<void> {
  const { specs, clock, facts, store, random, swarm, without } = life;
  const unhurt = [swarm.storeErrors, swarm.evictions, swarm.corrupt].every(rate => rate === 0);
  const intact = unhurt && !swarm.kills && without.size === 0;
  const roots = swarm.ideal ? [random.pick(specs), random.pick(specs)] : specs;
  const moving = [...closure(roots)].some(spec => spec.volatile);
  const oracle = createOracle(facts);
  const { signal } = new AbortController();
  for (const warm of [false, true]) {
    const limits = { warm: warm && !moving, intact };
    let loads = 0;
    const counting: CacheStore<Handle> = {
      ...store,
      load(record, index) {
        loads++;
        return store.load(record, index);
      },
    };
    const pools = createPools({ cpu: 2, network: 2 });
    const release = (): Promise<void> => Promise.resolve();
    const options = { store: counting, clock, emit: () => undefined, signal, release, pools, nonce: "plain" };
    const solver = createSolver<Handle>(options);
    const vertexOf = createPlainVertices(life, limits, () => solver);
    const edges = roots.map(spec => ({ vertex: vertexOf(spec), index: 0 }));
    const results = await clock.run(solver.solve(edges, signal));
    for (const [i, { value, source }] of results.entries()) {
      const root = roots[i] ?? roots[0];
      assert.ok(root !== undefined);
      const given = source === undefined ? value : valueOfSource(facts, source);
      assert.deepEqual(
        given,
        oracle(root, 0),
        `a build without faults has a wrong result of step ${root.id}`,
      );
    }
    if (limits.warm && intact)
      assert.ok(loads <= new Set(roots).size, "a fully cached build loads more than its roots");
    await solver[Symbol.asyncDispose]();
    if (limits.warm) life.marks.add("fully cached");
  }
}

/** Vertices whose ops take no time. `warm` ones must not execute, nor be read when the store is intact. */
function createPlainVertices(
  { facts }: Life,
  { warm, intact }: { readonly warm: boolean; readonly intact: boolean },
  solverOf: () => Solver<Handle>,
): (spec: Spec) => Vertex<Handle> {
  const digests = createDigests(facts);
  const known = new Map<Spec, Vertex<Handle>>();
  const readHandle = ({ value, source }: Handle) =>
    source === undefined ? (value ?? { a: "", b: "" }) : valueOfSource(facts, source);
  const vertexOf = (spec: Spec): Vertex<Handle> => {
    const old = known.get(spec);
    if (old !== undefined) return old;
    const op: Op<Handle> = {
      pool: spec.nested.length > 0 ? "free" : "cpu",
      cacheMap: () =>
        Promise.resolve({
          parts: partsOf(facts, spec, digests),
          volatile: spec.volatile,
          inputs: spec.inputs.map(({ reads, byContent }) => {
            const selector = reads === "all" ? {} : { selector: reads };
            if (!byContent) return selector;
            const contentKey = (handle: Handle): Promise<{ digest: Digest }> => {
              assert.ok(!(warm && intact), "a fully cached build reads content");
              return Promise.resolve({ digest: digestOf(fieldsOf(readHandle(handle), reads)) });
            };
            return { ...selector, contentKey };
          }),
        }),
      async exec(inputs, { signal }) {
        assert.ok(!warm, "a fully cached build executes");
        const edges = spec.nested.map(inner => ({ vertex: vertexOf(inner.spec), index: inner.output }));
        const within = edges.length === 0 ? [] : await solverOf().solve(edges, signal, digests(spec));
        const seen = [...inputs, ...within].map(readHandle);
        return Array.from({ length: spec.outputs }, (_, output) =>
          spec.volatile
            ? { value: undefined, source: spec, released: 0 }
            : { value: valueOf(facts, spec, output, seen), source: undefined, released: 0 },
        );
      },
    };
    const inputs = spec.inputs.map(input => ({ vertex: vertexOf(input.spec), index: input.output }));
    const vertex = { digest: digests(spec), name: `step ${spec.id}`, inputs, op };
    known.set(spec, vertex);
    return vertex;
  };
  return vertexOf;
}
