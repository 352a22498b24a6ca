// One simulated life of a state directory: several runs of the shipped solver over a random world, with faults and
// cancellation, everything decided by one seed. See docs/solver.md for what is checked.
//
// Fair faults: any store call fails or takes long; results are evicted and keys forgotten at any time; ops fail, or hang
// until they are aborted; sources change while they are read. Not among them, in worlds with forced steps: writes to
// the store that fail and keys that are forgotten, since then an older result is all a later run can know of.
import assert from "node:assert/strict";
import { digestOf } from "../../src/oci/digest.ts";
import type { Digest } from "../../src/oci/digest.ts";
import type { ProgressEvent } from "../../src/progress/event.ts";
import type { CacheStore, Edge, Op, OpContext, Vertex } from "../../src/solver/op.ts";
import { createPools } from "../../src/solver/pools.ts";
import { createSolver, type Outcome, type Solver } from "../../src/solver/scheduler.ts";
import { createMemoryStore, type MemoryStore } from "../solver/memorystore.ts";
import { createRandom, type Random } from "./random.ts";
import { createVirtualClock, type VirtualClock } from "./virtualclock.ts";
import {
  bump,
  closure,
  createDigests,
  createFacts,
  createOracle,
  createSpecs,
  executionOf,
  valueOf,
  valueOfSource,
} from "./world.ts";
import type { Facts, Spec, Value } from "./world.ts";

/** Rare branches; a series of simulations that never reached one proves nothing about it. */
export const MARKS = [
  "content key hit",
  "merged by definition",
  "merged by content",
  "result lost",
  "cache unreadable",
  "forced",
  "read anew",
  "input changed while used",
  "canceled while running",
  "started again after cancel",
  "joined late",
  "left early, others went on",
  "ahead of time in vain",
  "failed",
  "kept going past a failure",
  "two processes",
  "fully cached",
  "critical path",
  "queued for a slot",
  "saved by another first",
] as const;

export type Mark = (typeof MARKS)[number];

export interface Simulated {
  readonly marks: ReadonlySet<Mark>;
  readonly executed: number;
  readonly trace: readonly string[];
}

interface Swarm {
  readonly ideal: boolean;
  readonly impure: boolean;
  readonly storeErrors: number;
  readonly storeDelay: number;
  readonly evictions: number;
  readonly failures: number;
  readonly cancels: boolean;
  readonly mutate: boolean;
  readonly keepGoing: boolean;
  readonly processes: number;
  readonly slots: number;
}

/** A result: a value, or a volatile source read in place. */
interface Handle {
  readonly value: Value | undefined;
  readonly source: Spec | undefined;
  released: number;
}

interface Life {
  readonly random: Random;
  readonly clock: VirtualClock;
  readonly facts: Facts;
  readonly specs: readonly Spec[];
  readonly swarm: Swarm;
  readonly store: MemoryStore<Handle>;
  readonly marks: Set<Mark>;
  readonly trace: string[];
  executed: number;
}

interface Run {
  readonly number: number;
  /** Ways to fail, by spec. */
  readonly failing: ReadonlyMap<Spec, "exec" | "cacheMap" | "content" | "hang">;
  readonly forced: ReadonlySet<Spec>;
  readonly hasCancels: boolean;
  mutated: boolean;
  over: boolean;
}

/** @throws AssertionError, with the trace in its message, when a promise of the solver is broken */
export async function simulate(seed: number): Promise<Simulated> {
  const random = createRandom(seed);
  const ideal = random.chance(0.15);
  const impure = !ideal && random.chance(0.3);
  const faulty = !ideal && random.chance(0.6);
  const swarm: Swarm = {
    ideal,
    impure,
    storeErrors: faulty && random.chance(0.5) ? 0.1 : 0,
    storeDelay: ideal ? 0 : random.below(3),
    evictions: faulty ? random.below(8) : 0,
    failures: faulty && random.chance(0.5) ? 0.08 : 0,
    cancels: !ideal && random.chance(0.4),
    mutate: !ideal && random.chance(0.4),
    keepGoing: random.chance(0.4),
    processes: !ideal && !impure && random.chance(0.15) ? 2 : 1,
    slots: ideal ? 1000 : 1 + random.below(8),
  };
  const specs = createSpecs(random, {
    size: 1 + random.below(random.chance(0.05) ? 60 : 12),
    twins: !ideal && random.chance(0.5),
    contents: random.chance(0.7),
    volatile: random.chance(0.5),
    impure,
    collapses: !ideal && random.chance(0.5),
  });
  const facts = createFacts();
  const life: Life = {
    random,
    clock: createVirtualClock(),
    facts,
    specs,
    swarm,
    store: createMemoryStore<Handle>({
      keep: handle => ({ ...handle }),
      give: handle => ({ ...handle, released: 0 }),
    }),
    marks: new Set(),
    trace: [],
    executed: 0,
  };
  try {
    const runs = 1 + random.below(6);
    for (let number = 0; number < runs; number++) {
      if (number > 0) changeBetweenRuns(life);
      await simulateRun(life, planRun(life, number));
    }
    if (!impure) await checkFullyCached(life);
  } catch (error) {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    throw new Error(
      `${message}\n  swarm ${JSON.stringify(swarm)}\n  ${life.trace.slice(-400).join("\n  ")}`,
      { cause: error },
    );
  }
  return { marks: life.marks, executed: life.executed, trace: life.trace };
}

/** How many versions a volatile source has; within a run none comes twice, which no one could notice. */
const VERSIONS = 4;

function changeBetweenRuns({ random, facts, specs, swarm, store, trace }: Life): void {
  if (random.chance(0.5)) {
    const { work } = random.pick(specs);
    facts.revision.set(work, random.below(3));
  }
  for (const spec of specs) {
    if (!spec.volatile) continue;
    // Back to an old version too: that is when a result recorded under the wrong key comes to light.
    if (random.chance(0.5)) facts.versionA.set(spec.id, random.below(VERSIONS));
    if (random.chance(0.3)) facts.versionB.set(spec.id, random.below(VERSIONS));
  }
  for (let i = 0; i < swarm.evictions; i++) loseSomething(random, swarm, store);
  trace.push("-- changed");
}

function loseSomething(random: Random, swarm: Swarm, store: MemoryStore<Handle>): void {
  const records = [...store.records.keys()];
  if (records.length > 0) store.evict(random.pick(records));
  const keys = [...store.keys.keys()];
  if (keys.length > 0 && !swarm.impure && random.chance(0.3)) store.forget(random.pick(keys));
}

function planRun({ random, specs, swarm }: Life, number: number): Run {
  const failing = new Map<Spec, "exec" | "cacheMap" | "content" | "hang">();
  for (const spec of specs) {
    if (random.chance(swarm.failures))
      failing.set(spec, random.pick(["exec", "exec", "exec", "cacheMap", "content"]));
  }
  const hasCancels = swarm.cancels && random.chance(0.7);
  const forced = new Set(specs.filter(spec => spec.impure && random.chance(0.4)));
  return { number, failing, forced, hasCancels, mutated: false, over: false };
}

async function simulateRun(life: Life, run: Run): Promise<void> {
  const { random, clock, swarm, specs, facts } = life;
  const processes = Array.from({ length: swarm.processes }, (_, i) => createProcess(life, run, i));
  if (swarm.processes > 1) life.marks.add("two processes");
  const start = clock.now();
  const sources = specs.filter(spec => spec.volatile);
  const changes =
    swarm.mutate && sources.length > 0 && random.chance(0.6) ? 1 + random.below(VERSIONS - 1) : 0;
  for (let i = 0; i < changes; i++) {
    const source = random.pick(sources);
    clock.at(start + random.below(40), () => {
      if (run.over) return;
      life.trace.push(`${clock.now()} source ${source.id} changes`);
      run.mutated = true;
      facts.versionA.set(source.id, ((facts.versionA.get(source.id) ?? 0) + 1) % VERSIONS);
    });
  }
  for (let i = random.below(swarm.evictions + 1); i > 0; i--)
    clock.at(start + random.below(60), () => loseSomething(random, swarm, life.store));
  await clock.run(Promise.all(processes.map(one => one.live())));
  run.over = true;
}

interface Process {
  live(): Promise<void>;
}

interface SimJob {
  readonly roots: readonly { readonly spec: Spec; readonly output: number }[];
  readonly abort: AbortController;
  readonly reach: ReadonlySet<Spec>;
  canceled: boolean;
  active: boolean;
}

function createProcess(life: Life, run: Run, index: number): Process {
  const { random, clock, facts, specs, swarm, marks } = life;
  const handles: Handle[] = [];
  const running = new Map<Spec, number>();
  const inPool = { cpu: 0, network: 0, free: 0 };
  const finished = new Map<Spec, 1>();
  const aborted = new Set<Spec>();
  const events: ProgressEvent[] = [];
  const digests = createDigests(facts);
  const specOf = new Map(specs.map(spec => [digests(spec) as string, spec]));
  const vertices = new Map<Spec, Vertex<Handle>>();
  const jobs: SimJob[] = [];
  const whole = new AbortController();
  const networkSlots = Math.max(1, Math.ceil(swarm.slots / 2));
  let disposed = false;
  const log = (text: string): void => void life.trace.push(`${clock.now()} r${run.number}p${index} ${text}`);

  const give = (value: Value | undefined, source: Spec | undefined): Handle => {
    const handle = { value, source, released: 0 };
    handles.push(handle);
    return handle;
  };
  const readHandle = (handle: Handle): Value => {
    assert.equal(handle.released, 0, "a result is used after its release");
    if (handle.source !== undefined) return valueOfSource(facts, handle.source);
    assert.ok(handle.value !== undefined);
    return handle.value;
  };

  function vertexOf(spec: Spec): Vertex<Handle> {
    let vertex = vertices.get(spec);
    if (vertex === undefined) {
      const inputs = spec.inputs.map(input => ({ vertex: vertexOf(input.spec), index: input.output }));
      const ignoreCache = run.forced.has(spec);
      vertex = { digest: digests(spec), name: `step ${spec.id}`, inputs, op: opOf(spec), ignoreCache };
      vertices.set(spec, vertex);
    }
    return vertex;
  }

  function opOf(spec: Spec): Op<Handle> {
    const contentSeen = new Map<number, string>();
    return {
      pool: spec.pool,
      async cacheMap({ signal }) {
        assert.ok(!disposed, "a cache map is asked for after the end");
        await clock.sleep(swarm.ideal ? 0 : random.below(3), signal);
        if (run.failing.get(spec) === "cacheMap") throw new Error(`map ${spec.id}`);
        const value = `${spec.work}.${facts.revision.get(spec.work) ?? 0}`;
        return {
          parts: [{ label: "work", value, shown: value }],
          volatile: spec.volatile,
          inputs: spec.inputs.map((input, i) => {
            if (!input.byContent) return {};
            return {
              selector: "a",
              async contentKey(handle: Handle, context: OpContext) {
                assert.ok(!disposed, "content is asked for after the end");
                await clock.sleep(swarm.ideal ? 0 : random.below(4), context.signal);
                if (run.failing.get(spec) === "content") throw new Error(`content ${spec.id}`);
                const { a } = readHandle(handle);
                const before = contentSeen.get(i);
                if (before !== undefined && before !== a) marks.add("input changed while used");
                contentSeen.set(i, a);
                return { digest: digestOf(a), parts: [{ label: `file of ${input.spec.id}`, value: a }] };
              },
            };
          }),
        };
      },
      async exec(inputs, { signal }) {
        assert.ok(!disposed, "a step starts after the end");
        assert.ok(!signal.aborted, "a step starts although it is aborted");
        assert.ok(!running.has(spec), `step ${spec.id} runs twice at once`);
        assert.ok(!finished.has(spec), `step ${spec.id} runs a second time`);
        assert.ok(
          jobs.some(job => job.active && job.reach.has(spec)),
          `step ${spec.id} starts and nobody wants it`,
        );
        if (aborted.has(spec)) marks.add("started again after cancel");
        running.set(spec, clock.now());
        inPool[spec.pool]++;
        if (spec.pool !== "free")
          assert.ok(
            inPool[spec.pool] <= (spec.pool === "cpu" ? swarm.slots : networkSlots),
            "too many steps at once",
          );
        if (spec.pool === "cpu" && inPool.cpu === swarm.slots) marks.add("queued for a slot");
        log(`exec ${spec.id}`);
        try {
          const early = Math.floor(spec.delay / 2);
          await clock.sleep(run.failing.get(spec) === "hang" ? Infinity : early, signal);
          const seen = inputs.map(readHandle);
          await clock.sleep(spec.delay - early, signal);
          if (run.failing.get(spec) === "exec") {
            finished.set(spec, 1);
            throw new Error(`exec ${spec.id}`);
          }
          finished.set(spec, 1);
          if (run.forced.has(spec)) bump(facts.epoch, executionOf(facts, spec, seen));
          life.executed++;
          if (spec.volatile) return Array.from({ length: spec.outputs }, () => give(undefined, spec));
          return Array.from({ length: spec.outputs }, (_, output) =>
            give(valueOf(facts, spec, output, seen), undefined),
          );
        } finally {
          const stopped = isAborted(signal);
          if (stopped) {
            aborted.add(spec);
            marks.add("canceled while running");
            if (!run.hasCancels && run.failing.size === 0) marks.add("ahead of time in vain");
          }
          log(`exec ${spec.id} ends${stopped ? ", aborted" : ""}`);
          running.delete(spec);
          inPool[spec.pool]--;
        }
      },
    };
  }

  const store = faultyStore(life, handle => void handles.push(handle), log);
  const solver = createSolver<Handle>({
    store,
    clock,
    emit: event => void events.push(event),
    signal: whole.signal,
    release(handle) {
      handle.released++;
      return Promise.resolve();
    },
    pools: createPools({ cpu: swarm.slots, network: networkSlots }),
    nonce: `${run.number}.${index}`,
    keepGoing: swarm.keepGoing,
  });

  async function liveJob(job: SimJob, delay: number): Promise<void> {
    await clock.sleep(delay);
    if ([...running.keys()].some(spec => job.reach.has(spec))) marks.add("joined late");
    job.active = true;
    const edges: Edge<Handle>[] = job.roots.map(({ spec, output }) => ({
      vertex: vertexOf(spec),
      index: output,
    }));
    log(
      `job ${jobs.indexOf(job)} wants ${job.roots.map(root => `${root.spec.id}/${root.output}`).join(" ")}`,
    );
    const outcomes = await solver.solveEach(edges, job.abort.signal);
    log(`job ${jobs.indexOf(job)}: ${outcomes.map(outcome => outcome.tag).join(" ")}`);
    job.active = false;
    checkOutcomes(job, outcomes);
    const wanted = jobs.filter(other => other.active);
    for (const spec of running.keys()) {
      assert.ok(
        wanted.some(other => other.reach.has(spec)),
        `step ${spec.id} still runs and nobody wants it`,
      );
    }
    if (job.canceled && !whole.signal.aborted && running.size > 0) marks.add("left early, others went on");
  }

  function checkOutcomes(job: SimJob, outcomes: readonly Outcome<Handle>[]): void {
    const stopped = job.canceled || whole.signal.aborted;
    const oracle = createOracle(facts);
    const failures = outcomes.filter(outcome => outcome.tag === "failed").length;
    if (failures > 0) marks.add("failed");
    for (const [i, outcome] of outcomes.entries()) {
      const root = job.roots[i];
      assert.ok(root !== undefined);
      if (outcome.tag === "solved") {
        const value = readHandle(outcome.result);
        if (mustFail(root.spec)) assert.fail(`root ${root.spec.id} is solved although a step below it fails`);
        if (!run.mutated)
          assert.deepEqual(value, oracle(root.spec, root.output), `root ${root.spec.id} has a wrong result`);
        if (failures > 0 && swarm.keepGoing) marks.add("kept going past a failure");
      } else if (outcome.tag === "failed") {
        const culprit = specOf.get(outcome.failure.vertex);
        assert.ok(
          culprit !== undefined && run.failing.has(culprit),
          `root ${root.spec.id} failed without a cause: ${String(outcome.failure.error)}`,
        );
        assert.match(String(outcome.failure.error), / \d+$/, "the error is not the one of the step");
        if (swarm.processes === 1 && life.specs.every(spec => spec.work === spec.id || true))
          assert.ok(
            closure([root.spec], specs).has(culprit),
            `root ${root.spec.id} failed because of ${culprit.id}, which it does not need`,
          );
      } else
        assert.ok(
          stopped || (failures > 0 && !swarm.keepGoing),
          `root ${root.spec.id} was canceled by nobody`,
        );
    }
  }

  /** In a cold build with no equal steps everything below a root executes. */
  function mustFail(root: Spec): boolean {
    if (run.number > 0 || swarm.processes > 1 || specs.some(spec => spec.work !== spec.id)) return false;
    return [...closure([root])].some(spec => ["exec", "cacheMap"].includes(run.failing.get(spec) ?? ""));
  }

  async function live(): Promise<void> {
    const start = clock.now();
    planJobs();
    if (run.hasCancels && random.chance(0.4)) {
      clock.at(start + random.below(60), () => {
        log("everything is aborted");
        whole.abort(new DOMException("stop", "AbortError"));
      });
    }
    for (const job of jobs) {
      if (!run.hasCancels || !random.chance(0.5)) continue;
      clock.at(start + random.below(60), () => {
        if (job.active) log(`job ${jobs.indexOf(job)} is canceled`);
        job.canceled = true;
        job.abort.abort(new DOMException("stop", "AbortError"));
      });
    }
    await Promise.all(jobs.map((job, i) => liveJob(job, swarm.ideal || i === 0 ? 0 : random.below(40))));
    const end = clock.now();
    assert.equal(running.size, 0, "a step still runs after the last job");
    await solver[Symbol.asyncDispose]();
    disposed = true;
    for (const handle of handles)
      assert.equal(handle.released, 1, `a result was released ${handle.released} times`);
    checkEvents();
    markReasons(solver);
    if (swarm.ideal && run.number === 0 && run.failing.size === 0) checkCriticalPath(end - start);
  }

  function planJobs(): void {
    const count = swarm.ideal ? 1 : 1 + random.below(3);
    for (let i = 0; i < count; i++) {
      const roots = Array.from({ length: 1 + random.below(3) }, () => {
        const spec = random.chance(0.5) ? random.pick(specs.slice(-4)) : random.pick(specs);
        return { spec, output: random.below(spec.outputs) };
      });
      jobs.push({
        roots,
        abort: new AbortController(),
        reach: closure(
          roots.map(root => root.spec),
          specs,
        ),
        canceled: false,
        active: false,
      });
    }
  }

  /** With free slots and an instant store, a cold build takes as long as its longest chain: nothing waits in vain. */
  function checkCriticalPath(took: number): void {
    const times = new Map<Spec, number>();
    for (const spec of specs)
      times.set(spec, spec.delay + Math.max(0, ...spec.inputs.map(input => times.get(input.spec) ?? 0)));
    const roots = jobs.flatMap(job => job.roots);
    assert.equal(
      took,
      Math.max(...roots.map(root => times.get(root.spec) ?? 0)),
      "the build took longer than its longest chain",
    );
    for (const spec of closure(roots.map(root => root.spec)))
      assert.equal(finished.get(spec), 1, `step ${spec.id} was left out of a cold build`);
    marks.add("critical path");
  }

  function checkEvents(): void {
    const seen = new Map<string, { started: number; ended: number; cached: number }>();
    for (const event of events) {
      if (event.type === "warning") continue;
      const name = specOf.get(event.id)?.id;
      const counts = seen.get(event.id);
      if (event.type === "step") {
        assert.equal(counts, undefined, `step ${name} is announced twice`);
        for (const input of event.inputs)
          assert.ok(seen.has(input), `step ${name} is announced before its input`);
        seen.set(event.id, { started: 0, ended: 0, cached: 0 });
        continue;
      }
      assert.ok(counts !== undefined, `step ${name} is spoken of before it is announced`);
      if (event.type === "started") {
        assert.equal(counts.started, counts.ended, `step ${name} starts twice`);
        counts.started++;
      } else if (event.type === "cached") counts.cached++;
      else if (event.type === "canceled") counts.started--;
      else if (event.type === "done") counts.ended++;
      else if (event.type === "failed" && counts.started > counts.ended) counts.ended++;
    }
    for (const [id, { started, ended, cached }] of seen) {
      const name = specOf.get(id)?.id;
      assert.equal(started, ended, `step ${name} never ends`);
      assert.ok(cached <= 1, `step ${name} is cached twice`);
      if (swarm.evictions === 0 && swarm.storeErrors === 0 && !run.hasCancels)
        assert.ok(cached + started <= 1, `step ${name} is cached and executed`);
      const spec = specOf.get(id);
      if (spec === undefined || cached === 0) continue;
      const twin = specs.some(
        other =>
          other !== spec && other.work === spec.work && other.inputs === spec.inputs && finished.has(other),
      );
      if (twin) marks.add("merged by definition");
      else if (run.number === 0 && swarm.processes === 1) marks.add("merged by content");
    }
  }

  function markReasons(of: Solver<Handle>): void {
    for (const spec of finished.keys()) {
      const reason = of.reasonOf(digests(spec));
      assert.ok(reason !== undefined, `nobody knows why step ${spec.id} was executed`);
      const mark = REASON_MARKS[reason];
      if (mark !== undefined) marks.add(mark);
    }
  }

  return { live };
}

/** A function, as the type checker does not know that signals change while a promise is awaited. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

const REASON_MARKS: Readonly<Record<string, Mark>> = {
  "its result is no longer in the cache": "result lost",
  "the cache could not be read": "cache unreadable",
  "the cache is switched off for this step": "forced",
  "it depends on something that is read anew in every build": "read anew",
};

/** The shared store as one process sees it: late, unreliable. */
function faultyStore(
  { random, clock, swarm, store, marks }: Life,
  onLoad: (handle: Handle) => void,
  log: (text: string) => void,
): CacheStore<Handle> {
  const meddle = async (what: string, write: boolean): Promise<void> => {
    if (swarm.storeDelay > 0) await clock.sleep(random.below(swarm.storeDelay + 1));
    if (write && swarm.impure) return;
    if (!random.chance(swarm.storeErrors)) return;
    log(`store fails to ${what}`);
    throw new Error(`store cannot ${what}`);
  };
  const saved = new Set<Digest>();
  return {
    async query(key) {
      await meddle("query", false);
      return store.query(key);
    },
    async load(record, index) {
      await meddle("load", false);
      const handle = await store.load(record, index);
      if (handle !== undefined) onLoad(handle);
      return handle;
    },
    async save(keys, vertex, results) {
      await meddle("save", true);
      for (const result of results) {
        if (result === undefined) continue;
        assert.equal(result.source, undefined, "a volatile result is saved");
        assert.equal(result.released, 0, "a released result is saved");
      }
      const before = store.keys.get(keys[0]?.digest ?? ("" as Digest));
      const record = await store.save(keys, vertex, results);
      if (before !== undefined && !saved.has(record.id) && swarm.processes > 1)
        marks.add("saved by another first");
      saved.add(record.id);
      return record;
    },
    async link(key, record) {
      await meddle("link", true);
      if (key.parts.some(part => part.label.startsWith("input")) && !swarm.impure)
        marks.add("content key hit");
      await store.link(key, record);
    },
    async previousParts(vertex) {
      await meddle("explain", false);
      return store.previousParts?.(vertex);
    },
  };
}

/**
 * Built once more, then again with nothing changed: the second time executes nothing and loads the roots alone. Where
 * the store lost or refused keys, content may be read again: users of a step can have a record without it having one.
 */
async function checkFullyCached(life: Life): Promise<void> {
  const { specs, clock, facts, store, random, swarm } = life;
  const intact = swarm.storeErrors === 0 && swarm.evictions === 0;
  const roots = [random.pick(specs), random.pick(specs)];
  if ([...closure(roots)].some(spec => spec.volatile)) return;
  const oracle = createOracle(facts);
  const { signal } = new AbortController();
  for (const warm of [false, true]) {
    let loads = 0;
    const counting: CacheStore<Handle> = {
      ...store,
      load(record, index) {
        loads++;
        return store.load(record, index);
      },
    };
    const vertexOf = createPlainVertices(facts, warm, intact);
    const pools = createPools({ cpu: 2, network: 2 });
    const release = (): Promise<void> => Promise.resolve();
    const options = { store: counting, clock, emit: () => undefined, signal, release, pools, nonce: "plain" };
    const solver = createSolver<Handle>(options);
    const edges = roots.map(spec => ({ vertex: vertexOf(spec), index: 0 }));
    const results = await clock.run(solver.solve(edges, signal));
    assert.deepEqual(
      results.map(result => result.value),
      roots.map(spec => oracle(spec, 0)),
    );
    if (warm && intact)
      assert.ok(loads <= new Set(roots).size, "a fully cached build loads more than its roots");
    await solver[Symbol.asyncDispose]();
  }
  life.marks.add("fully cached");
}

/** Vertices whose ops take no time. `warm` ones must not execute, nor be read when the store is intact. */
function createPlainVertices(facts: Facts, warm: boolean, intact: boolean): (spec: Spec) => Vertex<Handle> {
  const digests = createDigests(facts);
  const known = new Map<Spec, Vertex<Handle>>();
  const vertexOf = (spec: Spec): Vertex<Handle> => {
    const old = known.get(spec);
    if (old !== undefined) return old;
    const value = `${spec.work}.${facts.revision.get(spec.work) ?? 0}`;
    const contentKey = (handle: Handle): Promise<{ digest: Digest }> => {
      assert.ok(!(warm && intact), "a fully cached build reads content");
      return Promise.resolve({ digest: digestOf(handle.value?.a ?? "") });
    };
    const op: Op<Handle> = {
      cacheMap: () =>
        Promise.resolve({
          parts: [{ label: "work", value, shown: value }],
          inputs: spec.inputs.map(input => (input.byContent ? { selector: "a", contentKey } : {})),
        }),
      exec(inputs) {
        assert.ok(!warm, "a fully cached build executes");
        const seen = inputs.map(input => input.value ?? { a: "", b: "" });
        const outputs = Array.from({ length: spec.outputs }, (_, output) =>
          valueOf(facts, spec, output, seen),
        );
        return Promise.resolve(outputs.map(output => ({ value: output, source: undefined, released: 0 })));
      },
    };
    const inputs = spec.inputs.map(input => ({ vertex: vertexOf(input.spec), index: input.output }));
    const vertex = { digest: digests(spec), name: `step ${spec.id}`, inputs, op };
    known.set(spec, vertex);
    return vertex;
  };
  return vertexOf;
}
