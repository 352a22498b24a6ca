// The world of a simulation: a random graph of steps whose results are known exactly, and a naive evaluator that says
// what they are. Results have two fields; a step that reads an input "by content" sees field `a` alone.
import { digestOf, type Digest } from "../../src/oci/digest.ts";
import type { Pool } from "../../src/solver/op.ts";
import type { Random } from "./random.ts";

export interface Value {
  readonly a: string;
  readonly b: string;
}

export interface Spec {
  readonly id: number;
  /** Equal for twins: steps that differ in their digest only. */
  readonly work: number;
  readonly inputs: readonly { readonly spec: Spec; readonly output: number; readonly byContent: boolean }[];
  readonly outputs: number;
  /** A directory that changes under us; its results are read in place. */
  readonly volatile: boolean;
  /** Gives a new result each time it is forced to execute. */
  readonly impure: boolean;
  /** Field `a` has few values, so different definitions often have equal content. */
  readonly collapses: boolean;
  readonly pool: Pool;
  readonly delay: number;
}

/** What may change between runs. */
export interface Facts {
  /** Edits of the definition, by `work`. */
  readonly revision: Map<number, number>;
  /** Versions of the fields of volatile sources, by spec. */
  readonly versionA: Map<number, number>;
  readonly versionB: Map<number, number>;
  /** Forced executions by what was executed: forcing a step says nothing about the same step on other inputs. */
  readonly epoch: Map<string, number>;
}

export interface WorldOptions {
  readonly size: number;
  readonly twins: boolean;
  readonly contents: boolean;
  readonly volatile: boolean;
  readonly impure: boolean;
  readonly collapses: boolean;
}

const POOLS: readonly Pool[] = ["cpu", "cpu", "cpu", "network", "free"];

export function createSpecs(random: Random, options: WorldOptions): readonly Spec[] {
  const specs: Spec[] = [];
  const users = new Set<number>();
  for (let id = 0; id < options.size; id++) {
    const twin = options.twins && specs.length > 0 && random.chance(0.15) ? random.pick(specs) : undefined;
    if (twin !== undefined && !twin.impure && !twin.volatile) {
      // Half of the twins differ in definition too, and are equal only if what they read is.
      const others = random.chance(0.5) ? specs.filter(spec => spec.collapses && spec.outputs === 1) : [];
      const inputs = twin.inputs.map(input =>
        input.byContent && others.length > 0 ? { ...input, spec: random.pick(others), output: 0 } : input,
      );
      const same = inputs.every((input, i) => input === twin.inputs[i]);
      specs.push({
        ...twin,
        id,
        inputs: same ? twin.inputs : inputs,
        delay: random.below(20),
        pool: random.pick(POOLS),
      });
      continue;
    }
    const volatile = options.volatile && random.chance(0.15);
    const count =
      specs.length === 0 ? 0 : volatile ? random.below(2) : Math.min(specs.length, random.below(4));
    const inputs = Array.from({ length: count }, () => {
      // Near ones more often: deep graphs; and those without users, so that most of the graph is reachable.
      const lonely = specs.filter(spec => !users.has(spec.id));
      const near = specs.slice(-6);
      const spec = random.pick(
        lonely.length > 0 && random.chance(0.4) ? lonely : random.chance(0.7) ? near : specs,
      );
      users.add(spec.id);
      const byContent = options.contents && random.chance(spec.volatile ? 0.8 : 0.3);
      return { spec, output: random.below(spec.outputs), byContent };
    });
    const pool = random.pick(POOLS);
    specs.push({
      id,
      work: id,
      inputs,
      outputs: random.chance(0.2) ? 2 : 1,
      volatile,
      impure: !volatile && options.impure && random.chance(0.2),
      collapses: options.collapses && random.chance(0.4),
      pool,
      delay: pool === "free" ? 0 : 1 + random.below(20),
    });
  }
  return specs;
}

export function createFacts(): Facts {
  return { revision: new Map(), versionA: new Map(), versionB: new Map(), epoch: new Map() };
}

export function bump<K>(counts: Map<K, number>, id: K): void {
  counts.set(id, (counts.get(id) ?? 0) + 1);
}

/** The naive evaluator: what a clean build gives, recursively, with no cache and one step at a time. */
export function createOracle(facts: Facts): (spec: Spec, output: number) => Value {
  const known = new Map<string, Value>();
  const evaluate = (spec: Spec, output: number): Value => {
    const name = `${spec.id}/${output}`;
    let value = known.get(name);
    if (value === undefined) {
      value = spec.volatile
        ? valueOfSource(facts, spec)
        : valueOf(
            facts,
            spec,
            output,
            spec.inputs.map(input => evaluate(input.spec, input.output)),
          );
      known.set(name, value);
    }
    return value;
  };
  return evaluate;
}

export function valueOfSource({ versionA, versionB }: Facts, { id }: Spec): Value {
  return { a: `a${id}.${versionA.get(id) ?? 0}`, b: `b${id}.${versionB.get(id) ?? 0}` };
}

export function valueOf(facts: Facts, spec: Spec, output: number, inputs: readonly Value[]): Value {
  const execution = executionOf(facts, spec, inputs);
  const epoch = spec.impure ? (facts.epoch.get(execution) ?? 0) : 0;
  const digest = digestOf(JSON.stringify([execution, epoch, output])).slice(7, 23);
  return { a: spec.collapses ? `c${parseInt(digest.slice(0, 4), 16) % 2}` : digest, b: digest };
}

/** What a step does, with what it sees of its inputs. */
export function executionOf({ revision }: Facts, spec: Spec, inputs: readonly Value[]): string {
  const seen = spec.inputs.map((input, i) =>
    input.byContent ? inputs[i]?.a : `${inputs[i]?.a}+${inputs[i]?.b}`,
  );
  return JSON.stringify([spec.work, revision.get(spec.work) ?? 0, seen]);
}

/** As LLB has it: over the definition of the step and the digests of its inputs. */
export function createDigests({ revision }: Facts): (spec: Spec) => Digest {
  const known = new Map<number, Digest>();
  const digestOfSpec = (spec: Spec): Digest => {
    let digest = known.get(spec.id);
    if (digest === undefined) {
      const inputs = spec.inputs.map(input => [digestOfSpec(input.spec), input.output, input.byContent]);
      digest = digestOf(JSON.stringify([spec.id, revision.get(spec.work) ?? 0, inputs]));
      known.set(spec.id, digest);
    }
    return digest;
  };
  return digestOfSpec;
}

/** The specs below roots, roots included, and those that their equals may stand in for. */
export function closure(roots: readonly Spec[], specs: readonly Spec[] = []): ReadonlySet<Spec> {
  const found = new Set<Spec>();
  const stack = [...roots];
  for (let spec = stack.pop(); spec !== undefined; spec = stack.pop()) {
    if (found.has(spec)) continue;
    found.add(spec);
    const { work, inputs } = spec;
    for (const input of inputs) stack.push(input.spec);
    for (const other of specs) if (other.work === work) stack.push(other);
  }
  return found;
}
