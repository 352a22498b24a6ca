// What a simulated life consists of, as data: the graph, the faults, and what happens in each of its runs. A seed gives
// one of them; smallworld.ts lists all small ones.
//
// Fair faults: any store call fails or takes long, or answers with a record that is not there; results are evicted and
// keys forgotten at any time; a process dies, and the store loses its last writes; ops fail, or hang until they are
// aborted; sources change while they are read. Not among them, in worlds with forced steps: writes to the store that
// fail or are lost, keys that are forgotten, and sources that change under a step, which then is not recorded: an older
// result is all a later run can know of.
import type { Optimization } from "../../src/solver/optimization.ts";
import { OPTIMIZATIONS } from "../../src/solver/optimization.ts";
import type { MemoryStore } from "../solver/memorystore.ts";
import { createRandom, type Random } from "./random.ts";
import { closure, createFacts, createSpecs, type Facts, type Output, type Spec } from "./world.ts";

export interface Swarm {
  /** No faults, an instant store and a slot for every step: how long a cold build takes is known. */
  readonly ideal: boolean;
  readonly impure: boolean;
  readonly storeErrors: number;
  readonly storeDelay: number;
  readonly corrupt: number;
  readonly evictions: number;
  readonly failures: number;
  readonly cancels: boolean;
  readonly kills: boolean;
  readonly mutate: boolean;
  /** How many versions a volatile source has; within a run none comes twice, which no one could notice. */
  readonly versions: number;
  readonly keepGoing: boolean;
  readonly processes: number;
  readonly slots: number;
}

/** "again": its inputs cannot be read a second time, which fails nothing. */
export type Fault = "exec" | "cacheMap" | "content" | "again" | "hang";

/** One run: what fails in it, and what is asked for. Times are milliseconds since its start. */
export interface Run {
  readonly number: number;
  readonly failing: ReadonlyMap<Spec, Fault>;
  readonly forced: ReadonlySet<Spec>;
  readonly hasCancels: boolean;
  /** By process. */
  readonly jobs: readonly (readonly JobPlan[])[];
  readonly abortAt?: number;
  /** When the processes die: from then on they cannot write. */
  readonly killAt?: number;
  /** The process that does not. */
  readonly survivor?: number;
  /** Changes of volatile sources. */
  readonly changes: readonly { readonly at: number; readonly source: Spec }[];
  /** When something is evicted. */
  readonly evictAt: readonly number[];
  /** Which call of the store fails, counted from 1. */
  readonly failStoreCall?: number;
}

export interface JobPlan {
  readonly roots: readonly Output[];
  readonly at: number;
  readonly cancelAt?: number;
}

export interface Scenario<R> {
  readonly random: Random;
  readonly specs: readonly Spec[];
  readonly facts: Facts;
  readonly swarm: Swarm;
  readonly without: ReadonlySet<Optimization>;
  readonly runs: number;
  /** Edits and losses before a run. */
  prepare(number: number, store: MemoryStore<R>): void;
  plan(number: number): Run;
}

/** Smaller worlds of the same seed, to find out what a failure needs. */
export interface Limits {
  readonly size?: number;
  readonly runs?: number;
  /** Members of the swarm that are switched off, or parts of the world. */
  readonly not?: readonly string[];
}

const CALM: Swarm = {
  ideal: false,
  impure: false,
  storeErrors: 0,
  storeDelay: 0,
  corrupt: 0,
  evictions: 0,
  failures: 0,
  cancels: false,
  kills: false,
  mutate: false,
  versions: 4,
  keepGoing: false,
  processes: 1,
  slots: 8,
};

/** What can be left out of a world by `Limits.not`. */
export const FEATURES = [
  ...["storeErrors", "storeDelay", "corrupt", "evictions", "failures", "cancels", "kills", "mutate"],
  ...["keepGoing", "processes", "without", "impure"],
] as const;

export function randomScenario<R>(seed: number, { size, runs, not = [] }: Limits = {}): Scenario<R> {
  const random = createRandom(seed);
  const ideal = random.chance(0.15);
  const impure = !ideal && random.chance(0.3);
  const faulty = !ideal && random.chance(0.6);
  const mutate = !ideal && !impure && random.chance(0.4);
  const drawn: Swarm = {
    ideal,
    impure,
    storeErrors: faulty && random.chance(0.5) ? random.pick([0.05, 0.3]) : 0,
    storeDelay: ideal ? 0 : random.below(3),
    corrupt: faulty && !impure && random.chance(0.3) ? 0.1 : 0,
    evictions: faulty ? random.below(8) : 0,
    failures: faulty && random.chance(0.5) ? 0.08 : 0,
    cancels: !ideal && random.chance(0.4),
    kills: faulty && !impure && random.chance(0.3),
    mutate,
    versions: mutate ? 2 + random.below(2) : 4,
    keepGoing: random.chance(0.4),
    processes: !ideal && !impure && random.chance(0.2) ? 2 : 1,
    slots: ideal ? 1000 : 1 + random.below(8),
  };
  const off = Object.entries(CALM).filter(([name]) => not.includes(name));
  const swarm: Swarm = { ...drawn, ...Object.fromEntries(off) };
  const left = !ideal && random.chance(0.25) ? OPTIMIZATIONS.filter(() => random.chance(0.4)) : [];
  const drawnSize = 1 + random.below(random.chance(0.05) ? 60 : mutate ? 8 : 12);
  const specs = createSpecs(random, {
    size: Math.min(size ?? drawnSize, drawnSize),
    twins: !ideal && random.chance(0.5),
    contents: mutate || random.chance(0.7),
    volatile: mutate ? 0.3 : random.chance(0.5) ? 0.15 : 0,
    impure: swarm.impure,
    collapses: !ideal && random.chance(impure ? 0.8 : 0.5),
    nested: !ideal && !swarm.impure && random.chance(0.3),
  });
  const facts = createFacts();
  const drawnRuns = 1 + random.below(6);
  return {
    random,
    specs,
    facts,
    swarm,
    without: new Set(not.includes("without") ? [] : left),
    runs: Math.min(runs ?? drawnRuns, drawnRuns),
    prepare: (number, store) => number > 0 && prepare(random, specs, facts, swarm, store),
    plan: number => planRun(random, specs, swarm, number),
  };
}

function prepare<R>(
  random: Random,
  specs: readonly Spec[],
  facts: Facts,
  swarm: Swarm,
  store: MemoryStore<R>,
): void {
  // What is cached is not looked at while sources change.
  for (let edits = random.chance(0.5) ? random.below(5) : 0; edits > 0; edits--) {
    const { work } = random.pick(specs);
    // A step that does something else each time did it for the older definition, too, and that result is right again
    // when the definition is, whatever a forced execution of the newer one made of the same inputs.
    const before = swarm.impure ? (facts.revision.get(work) ?? 0) : 0;
    facts.revision.set(work, before + random.below(3));
  }
  for (const spec of specs) {
    if (!spec.volatile) continue;
    // Back to an old version too: that is when a result recorded under the wrong key comes to light.
    if (random.chance(0.5)) facts.versionA.set(spec.id, random.below(swarm.versions));
    if (random.chance(0.3)) facts.versionB.set(spec.id, random.below(swarm.versions));
  }
  if (swarm.kills && random.chance(0.5)) store.loseLast(random.below(6));
  if (swarm.evictions > 0 && random.chance(0.4)) {
    for (const id of [...store.records.keys()]) if (random.chance(0.4)) store.evict(id);
  } else for (let i = 0; i < swarm.evictions; i++) loseSomething(random, swarm, store);
}

/** Evicts some record, and sometimes forgets some key. */
export function loseSomething<R>(random: Random, swarm: Swarm, store: MemoryStore<R>): void {
  const records = [...store.records.keys()];
  if (records.length > 0) store.evict(random.pick(records));
  const keys = [...store.keys.keys()];
  if (keys.length > 0 && !swarm.impure && random.chance(0.3)) store.forget(random.pick(keys));
}

function planRun(random: Random, specs: readonly Spec[], swarm: Swarm, number: number): Run {
  const failing = new Map<Spec, Fault>();
  for (const spec of specs) {
    if (random.chance(swarm.failures))
      failing.set(spec, random.pick(["exec", "exec", "exec", "cacheMap", "content", "again", "hang"]));
  }
  const sources = specs.filter(spec => spec.volatile);
  const changes =
    swarm.mutate && sources.length > 0 && random.chance(0.7) ? 1 + random.below(swarm.versions - 1) : 0;
  if (changes > 0 && random.chance(0.5))
    for (const spec of specs)
      if (spec.inputs.some(input => input.byContent) && random.chance(0.7)) failing.set(spec, "again");
  const hangs = [...failing.values()].includes("hang");
  const hasCancels = hangs || (swarm.cancels && random.chance(0.7));
  const killed = swarm.kills && random.chance(0.3);
  return {
    number,
    failing,
    forced: new Set(specs.filter(spec => spec.impure && random.chance(0.4))),
    hasCancels: hasCancels || killed,
    jobs: Array.from({ length: swarm.processes }, () => planJobs(random, specs, swarm, hasCancels)),
    ...(hangs && { abortAt: 100 + random.below(60) }),
    ...(hasCancels && !hangs && random.chance(0.4) && { abortAt: random.below(60) }),
    ...(killed && { killAt: random.below(60) }),
    ...(killed && swarm.processes > 1 && { survivor: random.below(3) }),
    changes: Array.from({ length: changes }, () => ({
      source: random.pick(sources),
      at: random.below(random.pick([10, 40])),
    })),
    evictAt: Array.from({ length: random.below(swarm.evictions + 1) }, () => random.below(60)),
  };
}

function planJobs(
  random: Random,
  specs: readonly Spec[],
  { ideal }: Swarm,
  hasCancels: boolean,
): readonly JobPlan[] {
  return Array.from({ length: ideal ? 1 : 1 + random.below(3) }, (_, i) => ({
    roots: Array.from({ length: 1 + random.below(3) }, () => {
      const spec = random.chance(0.5) ? random.pick(specs.slice(-4)) : random.pick(specs);
      return { spec, output: random.below(spec.outputs) };
    }),
    at: ideal || i === 0 ? 0 : random.below(40),
    ...(hasCancels && random.chance(0.5) && { cancelAt: random.below(60) }),
  }));
}

export function reachOf(job: JobPlan, specs: readonly Spec[]): ReadonlySet<Spec> {
  return closure(
    job.roots.map(root => root.spec),
    specs,
  );
}
