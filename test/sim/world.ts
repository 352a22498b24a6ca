// The world of a simulation: a random graph of steps whose results are known exactly, and a naive evaluator that says
// what they are. Results have two fields, `a` and `b`; of each input a step sees one of them, or both.
import { digestOf, type Digest } from "../../src/oci/digest.ts";
import type { KeyPart, Pool } from "../../src/solver/op.ts";
import type { Random } from "./random.ts";

export interface Value {
  readonly a: string;
  readonly b: string;
}

export interface Output {
  readonly spec: Spec;
  readonly output: number;
}

export interface Input extends Output {
  /** What the step can see of it: its selector. */
  readonly reads: "a" | "b" | "all";
  /** Whether the step can be keyed by what it sees. */
  readonly byContent: boolean;
}

export interface Spec {
  readonly id: number;
  /** Equal for twins: steps that do the same, be it with other inputs. */
  readonly work: number;
  readonly inputs: readonly Input[];
  /** What it has solved while it executes; it sees everything of it. */
  readonly nested: readonly Output[];
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
  /** How likely a step is a volatile source. */
  readonly volatile: number;
  readonly impure: boolean;
  readonly collapses: boolean;
  readonly nested: boolean;
}

const POOLS: readonly Pool[] = ["cpu", "cpu", "cpu", "network", "free"];

export function createSpecs(random: Random, options: WorldOptions): readonly Spec[] {
  const specs: Spec[] = [];
  const users = new Set<number>();
  for (let id = 0; id < options.size; id++) {
    const twin = options.twins && specs.length > 0 && random.chance(0.15) ? random.pick(specs) : undefined;
    if (twin !== undefined && !twin.impure && !twin.volatile) {
      // Half of the twins differ in definition too, and are equal only if what they read is.
      const other = random.chance(0.5);
      const inputs = other ? twin.inputs.map(input => otherInput(random, input, specs)) : twin.inputs;
      const pool = twin.nested.length > 0 ? "free" : random.pick(POOLS);
      specs.push({ ...twin, id, inputs, delay: random.below(20), pool });
      continue;
    }
    const volatile = random.chance(options.volatile);
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
      const reads = random.pick(READS);
      return { spec, output: random.below(spec.outputs), byContent, reads };
    });
    const nested: Output[] = [];
    if (options.nested && !volatile && specs.length > 0 && random.chance(0.2)) {
      for (let n = 1 + random.below(2); n > 0; n--) {
        const spec = random.pick(specs);
        users.add(spec.id);
        nested.push({ spec, output: random.below(spec.outputs) });
      }
    }
    const pool = nested.length > 0 ? "free" : random.pick(POOLS);
    specs.push({
      id,
      work: id,
      inputs,
      nested,
      outputs: random.chance(0.3) ? 2 : 1,
      volatile,
      impure: !volatile && options.impure && random.chance(0.4),
      collapses: options.collapses && random.chance(0.4),
      pool,
      delay: pool === "free" ? 0 : 1 + random.below(20),
    });
  }
  return specs;
}

const READS = ["a", "a", "b", "all"] as const;

/** An input as a twin may have it: of another step, another output, or seen otherwise. Often only its content is equal. */
function otherInput(random: Random, input: Input, specs: readonly Spec[]): Input {
  const others = specs.filter(spec => spec.collapses && spec.outputs === 1);
  switch (random.below(4)) {
    case 0:
    case 1:
      return input.byContent && others.length > 0
        ? { ...input, reads: "a", spec: random.pick(others), output: 0 }
        : input;
    case 2:
      return { ...input, output: random.below(input.spec.outputs) };
    default:
      return { ...input, reads: random.pick(READS) };
  }
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
            [...spec.inputs, ...spec.nested].map(input => evaluate(input.spec, input.output)),
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

/** `seen`: the values of the inputs, then those of what was solved within. */
export function valueOf(facts: Facts, spec: Spec, output: number, seen: readonly Value[]): Value {
  const execution = executionOf(facts, spec, seen);
  const epoch = spec.impure ? (facts.epoch.get(execution) ?? 0) : 0;
  const digest = digestOf(JSON.stringify([execution, epoch, output])).slice(7, 23);
  return { a: spec.collapses ? `c${parseInt(digest.slice(0, 4), 16) % 2}` : digest, b: digest };
}

/** What a step does, with what it sees of its inputs. */
export function executionOf({ revision }: Facts, spec: Spec, values: readonly Value[]): string {
  const seen = values.map((value, i) => fieldsOf(value, spec.inputs[i]?.reads ?? "all"));
  return JSON.stringify([spec.work, revision.get(spec.work) ?? 0, seen]);
}

export function fieldsOf({ a, b }: Value, reads: Input["reads"]): string {
  return reads === "a" ? a : reads === "b" ? b : `${a}+${b}`;
}

/** As LLB has it: over the definition of the step and the digests of its inputs. */
export function createDigests({ revision }: Facts): (spec: Spec) => Digest {
  const known = new Map<number, Digest>();
  const digestOfSpec = (spec: Spec): Digest => {
    let digest = known.get(spec.id);
    if (digest === undefined) {
      const inputs = spec.inputs.map(input => [
        digestOfSpec(input.spec),
        input.output,
        input.reads,
        input.byContent,
      ]);
      const nested = spec.nested.map(inner => [digestOfSpec(inner.spec), inner.output]);
      digest = digestOf(JSON.stringify([spec.id, revision.get(spec.work) ?? 0, inputs, nested]));
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
    const { work, inputs, nested } = spec;
    for (const input of [...inputs, ...nested]) stack.push(input.spec);
    for (const other of specs) if (other.work === work) stack.push(other);
  }
  return found;
}

/** The parts of a step's key. What it has solved within is part of its definition. */
export function partsOf(facts: Facts, spec: Spec, digests: (spec: Spec) => Digest): readonly KeyPart[] {
  const value = `${spec.work}.${facts.revision.get(spec.work) ?? 0}`;
  const nested = spec.nested.map(inner => `${digests(inner.spec)}/${inner.output}`);
  return [
    { label: "work", value, shown: value },
    ...(nested.length > 0 ? [{ label: "definition", value: nested.join(" ") }] : []),
  ];
}

/** A graph as people can read it, a line for each step. */
export function describeSpecs(specs: readonly Spec[]): readonly string[] {
  return specs.map(spec => {
    const inputs = spec.inputs.map(
      ({ spec: { id }, output, reads, byContent }) =>
        `${id}/${output}${reads === "all" ? "" : `.${reads}`}${byContent ? " by content" : ""}`,
    );
    const nested = spec.nested.map(({ spec: { id }, output }) => `${id}/${output} within`);
    const flags = [
      ...(spec.work === spec.id ? [] : [`works as ${spec.work}`]),
      ...(spec.volatile ? ["volatile"] : []),
      ...(spec.impure ? ["impure"] : []),
      ...(spec.collapses ? ["collapses"] : []),
      ...(spec.outputs > 1 ? [`${spec.outputs} outputs`] : []),
    ];
    return `step ${spec.id} (${[...flags, spec.pool, `${spec.delay} ms`].join(", ")}) of ${[...inputs, ...nested].join(", ") || "nothing"}`;
  });
}
