// All small worlds: every graph of a few steps, with each kind of input at each place, and in each of them one fault at
// every position: each step failing in each way, each call of the store failing, every moment to abort or to die at, each
// record evicted, each key forgotten, each step forced, each moment for a source to change. Then an edit, the edit
// taken back, and builds without faults.
import type { MemoryStore } from "../solver/memorystore.ts";
import { live, type Handle } from "./life.ts";
import { createRandom } from "./random.ts";
import type { Fault, Run, Scenario, Swarm } from "./scenario.ts";
import { createFacts, type Facts, type Input, type Spec } from "./world.ts";

/** What the steps of a world are like. */
const KINDS = ["plain", "volatile", "twins", "equal", "nested", "impure", "outputs"] as const;
type Kind = (typeof KINDS)[number];

const EDGES = ["none", "definition", "content"] as const;

/** One fault of a life, and the run it is in. */
type Mishap =
  | { readonly what: "nothing" }
  | { readonly what: "step"; readonly at: number; readonly fault: Fault }
  | { readonly what: "force"; readonly at: number }
  | { readonly what: "store call"; readonly at: number; readonly run: number }
  | { readonly what: "abort" | "kill" | "change"; readonly at: number; readonly run: number }
  | { readonly what: "evict" | "forget"; readonly at: number }
  /** Something is evicted while the last run is under way, and one of those who ask leaves. */
  | { readonly what: "lose and leave"; readonly at: number; readonly leaveAt: number };

/** Faults in time: every moment up to here, in which all small worlds are done. */
const MOMENTS = 8;

export interface SmallOptions {
  /** The name of one world. */
  readonly only?: string | undefined;
  /** One of `count` parts that together are all worlds, counted from 0. */
  readonly part?: { readonly index: number; readonly count: number } | undefined;
}

/**
 * Simulates all worlds of up to `steps` steps, a part of them, or one.
 * @throws Error, with the world's name and a replay command in its message, when a promise is broken
 */
export async function simulateSmallWorlds(
  steps: number,
  { only, part = { index: 0, count: 1 } }: SmallOptions = {},
): Promise<{ readonly worlds: number }> {
  let worlds = 0;
  for (let size = 1; size <= steps; size++)
    for (const kind of KINDS)
      for (let graph = 0; graph < EDGES.length ** ((size * (size - 1)) / 2); graph++) {
        if (graph % part.count !== part.index) continue;
        const specs = createSmallSpecs(size, graph, kind);
        if (specs === undefined) continue;
        let storeCalls = 0;
        for (let mishap = 0; ; mishap++) {
          const chosen = mishapsOf(size, kind, storeCalls)[mishap];
          if (chosen === undefined) break;
          const name = `${size}.${kind}.${graph}.${mishap}`;
          if (only !== undefined && name !== only && mishap > 0) continue;
          try {
            const result = await live(createScenario(specs, kind, chosen));
            if (mishap === 0) ({ storeCalls } = result);
            if (name === only) console.log(result.trace.join("\n"));
          } catch (error) {
            const message = error instanceof Error ? error.message : String(error);
            const replay = `node --import tsx test/sim/run.ts --small ${size} --only ${name}`;
            throw new Error(`${message}\nmishap: ${JSON.stringify(chosen)}\nreplay: ${replay}`, {
              cause: error,
            });
          }
          worlds++;
        }
      }
  return { worlds };
}

/** `graph` names what lies between each pair of steps. Undefined when the world is not of its kind, or another one too. */
function createSmallSpecs(size: number, graph: number, kind: Kind): readonly Spec[] | undefined {
  const specs: Spec[] = [];
  let code = graph;
  let contents = 0;
  for (let id = 0; id < size; id++) {
    const inputs: Input[] = [];
    for (const spec of specs) {
      const edge = EDGES[code % EDGES.length];
      code = Math.floor(code / EDGES.length);
      if (edge === "none") continue;
      if (edge === "content") contents++;
      inputs.push({
        spec,
        output: 0,
        reads: edge === "content" ? "a" : "all",
        byContent: edge === "content",
      });
    }
    const nested = kind === "nested" && id === size - 1 ? inputs.splice(0, 1) : [];
    const signature = (spec: { readonly inputs: readonly Input[] }, byWho: boolean): string =>
      JSON.stringify(spec.inputs.map(input => [byWho ? input.spec.work : 0, input.reads]));
    const equal = specs.find(
      other =>
        (kind === "twins" || kind === "equal") &&
        signature(other, kind === "twins") === signature({ inputs }, kind === "twins"),
    );
    specs.push({
      id,
      work: equal?.work ?? id,
      inputs,
      nested,
      outputs: kind === "outputs" ? 2 : 1,
      volatile: kind === "volatile" && id === 0,
      impure: kind === "impure",
      collapses: kind === "equal",
      pool: nested.length > 0 ? "free" : "cpu",
      delay: 1,
    });
  }
  if (kind === "nested" && specs.at(-1)?.nested.length === 0) return undefined;
  if ((kind === "twins" || kind === "equal") && specs.every(({ id, work }) => id === work)) return undefined;
  if (kind === "equal" && contents === 0) return undefined;
  return specs;
}

function mishapsOf(size: number, kind: Kind, storeCalls: number): readonly Mishap[] {
  const all: Mishap[] = [{ what: "nothing" }];
  const each = (count: number, from: (at: number) => readonly Mishap[]): void => {
    for (let at = 0; at < count; at++) all.push(...from(at));
  };
  const faults = ["exec", "cacheMap", "content"] as const;
  each(size, at => faults.map(fault => ({ what: "step", at, fault })));
  each(size, at => [{ what: "evict", at }]);
  each(MOMENTS, at => [0, 1].map(run => ({ what: "abort", at, run })));
  if (kind === "impure") {
    each(size, at => [{ what: "force", at }]);
    return all;
  }
  each(storeCalls, at => [0, 1].map(run => ({ what: "store call", at: at + 1, run })));
  if (kind === "outputs")
    each(MOMENTS, at =>
      Array.from({ length: MOMENTS }, (_, leaveAt) => ({ what: "lose and leave", at, leaveAt })),
    );
  each(2 * size, at => [{ what: "forget", at }]);
  each(MOMENTS, at => [0, 1].map(run => ({ what: "kill", at, run })));
  if (kind === "volatile") each(MOMENTS, at => [0, 1].map(run => ({ what: "change", at, run })));
  return all;
}

function createScenario(specs: readonly Spec[], kind: Kind, mishap: Mishap): Scenario<Handle> {
  const unhurt = ["nothing", "step", "force", "abort", "change"].includes(mishap.what);
  const swarm: Swarm = {
    ideal: false,
    impure: kind === "impure",
    storeErrors: 0,
    storeDelay: 0,
    corrupt: 0,
    // Nothing is evicted by chance; but what was lost may have to be done again.
    evictions: unhurt ? 0 : 1,
    failures: 0,
    cancels: mishap.what === "abort",
    kills: mishap.what === "kill",
    mutate: mishap.what === "change",
    versions: 4,
    keepGoing: false,
    processes: 1,
    slots: 2,
  };
  const facts = createFacts();
  return {
    random: createRandom(1),
    specs,
    facts,
    swarm,
    without: new Set(),
    runs: 3,
    prepare: (number, store) => prepare(specs, facts, mishap, number, store),
    plan: number => planRun(specs, mishap, number),
  };
}

/** The middle run sees the first step edited, or the source. */
function prepare(
  [first]: readonly Spec[],
  { revision, versionA }: Facts,
  mishap: Mishap,
  number: number,
  store: MemoryStore<Handle>,
): void {
  if (first === undefined) return;
  if (first.volatile) versionA.set(first.id, number % 2);
  else if (mishap.what !== "force") revision.set(first.work, number % 2);
  if (number !== 1) return;
  if (mishap.what === "kill" && mishap.run === 0) store.loseLast(mishap.at % 3);
  if (mishap.what === "evict") {
    const record = [...store.records.keys()][mishap.at];
    if (record !== undefined) store.evict(record);
  }
  if (mishap.what === "forget") {
    const key = [...store.keys.keys()][mishap.at];
    if (key !== undefined) store.forget(key);
  }
}

function planRun(specs: readonly Spec[], mishap: Mishap, number: number): Run {
  const failing = new Map<Spec, Fault>();
  const at = specs["at" in mishap ? mishap.at : 0];
  if (mishap.what === "step" && number === 0 && at !== undefined) failing.set(at, mishap.fault);
  const forced = new Set(mishap.what === "force" && number === 1 && at !== undefined ? [at] : []);
  const used = new Set(specs.flatMap(spec => [...spec.inputs, ...spec.nested].map(input => input.spec)));
  const leave = mishap.what === "lose and leave" && number === 2 ? mishap : undefined;
  const roots = specs.filter(spec => !used.has(spec));
  // Outputs are asked for one after the other, and the first once more.
  const jobs = roots.some(spec => spec.outputs > 1)
    ? [0, 1, 0].map((output, i) => ({
        roots: roots.map(spec => ({ spec, output })),
        at: 3 * i,
        ...(i === 1 && leave && { cancelAt: leave.leaveAt }),
      }))
    : [{ roots: roots.map(spec => ({ spec, output: 0 })), at: 0 }];
  const now = "run" in mishap && mishap.run === number;
  return {
    number,
    failing,
    forced,
    hasCancels: mishap.what === "abort" || mishap.what === "kill" || leave !== undefined,
    jobs: [jobs],
    ...(mishap.what === "abort" && now && { abortAt: mishap.at }),
    ...(mishap.what === "kill" && now && { killAt: mishap.at }),
    ...(mishap.what === "store call" && now && { failStoreCall: mishap.at }),
    changes: mishap.what === "change" && now && specs[0] ? [{ at: mishap.at, source: specs[0] }] : [],
    evictAt: leave ? [leave.at] : [],
  };
}
