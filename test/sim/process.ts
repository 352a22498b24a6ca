// One process of a simulated run: the shipped solver with ops whose results are known, and clients that ask, leave and are
// told. Every promise of the solver is checked where it could be broken.
import assert from "node:assert/strict";
import { digestOf } from "../../src/oci/digest.ts";
import type { ProgressEvent } from "../../src/progress/event.ts";
import type { Edge, Op, OpContext, Vertex } from "../../src/solver/op.ts";
import { createPools } from "../../src/solver/pools.ts";
import { createSolver, type Outcome, type Solver } from "../../src/solver/scheduler.ts";
import { faultyStore } from "./faultystore.ts";
import type { Handle, Life, RunState } from "./life.ts";
import type { Mark } from "./marks.ts";
import { reachOf, type JobPlan } from "./scenario.ts";
import {
  bump,
  closure,
  createDigests,
  createOracle,
  executionOf,
  fieldsOf,
  partsOf,
  valueOf,
  valueOfSource,
  type Spec,
  type Value,
} from "./world.ts";

export interface Process {
  live(): Promise<void>;
  /** Stops everything it does. */
  abort(): void;
  /** How many steps it runs now. */
  running(): number;
  /** The steps that it has executed. */
  executions(): readonly number[];
}

interface SimJob {
  readonly plan: JobPlan;
  readonly abort: AbortController;
  readonly reach: ReadonlySet<Spec>;
  canceled: boolean;
  active: boolean;
}

export function createProcess(life: Life, state: RunState, index: number): Process {
  const { run } = state;
  const { random, clock, facts, specs, swarm, marks } = life;
  const handles: Handle[] = [];
  const running = new Map<Spec, number>();
  const inPool = { cpu: 0, network: 0, free: 0 };
  const finished = new Map<Spec, 1>();
  const aborted = new Set<Spec>();
  const executions: number[] = [];
  const events: ProgressEvent[] = [];
  const digests = createDigests(facts);
  const specOf = new Map(specs.map(spec => [digests(spec) as string, spec]));
  const vertices = new Map<Spec, Vertex<Handle>>();
  const jobs: readonly SimJob[] = (run.jobs[index] ?? []).map(plan => ({
    plan,
    abort: new AbortController(),
    reach: reachOf(plan, specs),
    canceled: false,
    active: false,
  }));
  /** What was given for a root, by its name. */
  const answers = new Map<string, Handle>();
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
        return {
          parts: partsOf(facts, spec, digests),
          volatile: spec.volatile,
          inputs: spec.inputs.map((input, i) => {
            const selector = input.reads === "all" ? {} : { selector: input.reads };
            if (!input.byContent) return selector;
            return {
              ...selector,
              async contentKey(handle: Handle, context: OpContext) {
                assert.ok(!disposed, "content is asked for after the end");
                await clock.sleep(swarm.ideal ? 0 : random.below(4), context.signal);
                if (run.failing.get(spec) === "content") throw new Error(`content ${spec.id}`);
                const seen = fieldsOf(readHandle(handle), input.reads);
                const before = contentSeen.get(i);
                if (before !== undefined && run.failing.get(spec) === "again") {
                  marks.add("could not be read again");
                  throw new Error(`content ${spec.id}`);
                }
                if (before !== undefined && before !== seen) marks.add("input changed while used");
                contentSeen.set(i, seen);
                const label = `file of ${input.spec.id}`;
                return { digest: digestOf(seen), parts: [{ label, value: seen }] };
              },
            };
          }),
        };
      },
      async exec(inputs, { signal }) {
        assert.ok(!disposed, "a step starts after the end");
        assert.ok(!signal.aborted, "a step starts although it is aborted");
        assert.ok(!running.has(spec), `step ${spec.id} runs twice at once`);
        // It may have failed in the moment it was given up: nobody heard of that.
        const unheard = events.some(event => event.type === "canceled" && event.id === digests(spec));
        assert.ok(
          !finished.has(spec) || (run.failing.get(spec) === "exec" && unheard),
          `step ${spec.id} runs a second time`,
        );
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
          seen.push(...(await solveWithin(spec, signal)));
          await clock.sleep(spec.delay - early, signal);
          if (run.failing.get(spec) === "exec") {
            finished.set(spec, 1);
            throw new Error(`exec ${spec.id}`);
          }
          finished.set(spec, 1);
          if (run.forced.has(spec)) bump(facts.epoch, executionOf(facts, spec, seen));
          life.executed++;
          executions.push(spec.id);
          if (spec.volatile) return Array.from({ length: spec.outputs }, () => give(undefined, spec));
          return Array.from({ length: spec.outputs }, (_, output) =>
            give(valueOf(facts, spec, output, seen), undefined),
          );
        } finally {
          const stopped = isAborted(signal);
          if (stopped) {
            aborted.add(spec);
            marks.add("canceled while running");
            if (spec.nested.length > 0) marks.add("canceled within a step");
            if (run.failing.get(spec) === "hang") marks.add("hung until aborted");
            if (!run.hasCancels && run.failing.size === 0) marks.add("ahead of time in vain");
          }
          log(`exec ${spec.id} ends${stopped ? ", aborted" : ""}`);
          running.delete(spec);
          inPool[spec.pool]--;
        }
      },
    };
  }

  async function solveWithin(spec: Spec, signal: AbortSignal): Promise<readonly Value[]> {
    if (spec.nested.length === 0) return [];
    const edges = spec.nested.map(inner => ({ vertex: vertexOf(inner.spec), index: inner.output }));
    const results = await solver.solve(edges, signal, digests(spec));
    marks.add("solved within a step");
    if ([...closure(spec.nested.map(inner => inner.spec))].some(inner => inner.volatile))
      marks.add("not kept for what it solved within");
    return results.map(readHandle);
  }

  const store = faultyStore(life, state, index, handle => void handles.push(handle), log);
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
    without: life.without,
  });
  if (life.without.size > 0) marks.add("an optimisation off");
  if (run.number > 0 && life.marks.has("killed")) marks.add("went on after a kill");

  async function liveJob(job: SimJob): Promise<void> {
    await clock.sleep(job.plan.at);
    if ([...running.keys()].some(spec => job.reach.has(spec))) marks.add("joined late");
    job.active = true;
    const edges: Edge<Handle>[] = job.plan.roots.map(({ spec, output }) => ({
      vertex: vertexOf(spec),
      index: output,
    }));
    log(
      `job ${jobs.indexOf(job)} wants ${job.plan.roots.map(root => `${root.spec.id}/${root.output}`).join(" ")}`,
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
      const root = job.plan.roots[i];
      assert.ok(root !== undefined);
      if (outcome.tag === "solved") {
        const value = readHandle(outcome.result);
        if (mustFail(root.spec)) assert.fail(`root ${root.spec.id} is solved although a step below it fails`);
        if (!state.mutated)
          assert.deepEqual(value, oracle(root.spec, root.output), `root ${root.spec.id} has a wrong result`);
        const name = `${root.spec.id}/${root.output}`;
        const given = answers.get(name) ?? outcome.result;
        assert.equal(outcome.result, given, `two jobs were given different results of ${name}`);
        answers.set(name, given);
        if (failures > 0 && swarm.keepGoing) marks.add("kept going past a failure");
      } else if (outcome.tag === "failed") {
        const culprit = specOf.get(outcome.failure.vertex);
        assert.ok(
          culprit !== undefined && [...closure([culprit], specs)].some(spec => run.failing.has(spec)),
          `root ${root.spec.id} failed without a cause: ${String(outcome.failure.error)}`,
        );
        assert.match(String(outcome.failure.error), / \d+$/, "the error is not the one of the step");
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
    if (run.number > 0 || run.jobs.length > 1 || specs.some(spec => spec.work !== spec.id)) return false;
    return [...closure([root])].some(spec =>
      ["exec", "hang", "cacheMap"].includes(run.failing.get(spec) ?? ""),
    );
  }

  async function live(): Promise<void> {
    const start = clock.now();
    const later = (at: number | undefined, work: () => void): void => {
      if (at === undefined) return;
      clock.at(start + at, () => {
        if (!state.over) work();
      });
    };
    later(run.abortAt, () => {
      log("everything is aborted");
      abort();
    });
    for (const job of jobs)
      later(job.plan.cancelAt, () => {
        if (job.active) log(`job ${jobs.indexOf(job)} is canceled`);
        job.canceled = true;
        job.abort.abort(new DOMException("stop", "AbortError"));
      });
    await Promise.all(jobs.map(liveJob));
    const end = clock.now();
    assert.equal(running.size, 0, "a step still runs after the last job");
    await solver[Symbol.asyncDispose]();
    disposed = true;
    for (const handle of handles)
      assert.equal(handle.released, 1, `a result was released ${handle.released} times`);
    checkEvents();
    markReasons(solver);
    checkKeptGoing();
    if (swarm.ideal && run.number === 0 && run.failing.size === 0) checkCriticalPath(end - start);
  }

  function abort(): void {
    whole.abort(new DOMException("stop", "AbortError"));
  }

  /** With free slots and an instant store, a cold build takes as long as its longest chain: nothing waits in vain. */
  function checkCriticalPath(took: number): void {
    const times = new Map<Spec, number>();
    for (const spec of specs)
      times.set(spec, spec.delay + Math.max(0, ...spec.inputs.map(input => times.get(input.spec) ?? 0)));
    const roots = jobs.flatMap(job => job.plan.roots);
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
      } else if (event.type === "cached") {
        // One whose result was lost meanwhile is told again.
        if (counts.started === counts.ended) counts.cached++;
        else {
          // It waited for another process, and did not run.
          counts.started--;
          counts.cached = 1;
          marks.add("found what another made");
        }
      } else if (event.type === "canceled") counts.started--;
      else if (event.type === "done") counts.ended++;
      else if (event.type === "failed" && counts.started > counts.ended) counts.ended++;
    }
    for (const [id, { started, ended, cached }] of seen) {
      const name = specOf.get(id)?.id;
      assert.equal(started, ended, `step ${name} never ends`);
      assert.ok(cached <= 1, `step ${name} is cached twice`);
      if ([swarm.evictions, swarm.storeErrors, swarm.corrupt].every(rate => rate === 0) && !run.hasCancels)
        assert.ok(cached + started <= 1, `step ${name} is cached and executed`);
      const spec = specOf.get(id);
      if (spec === undefined || cached === 0) continue;
      const twin = specs.some(
        other =>
          other !== spec && other.work === spec.work && other.inputs === spec.inputs && finished.has(other),
      );
      if (twin) marks.add("merged by definition");
      else if (run.number === 0 && run.jobs.length === 1) marks.add("merged by content");
    }
  }

  /**
   * With keepGoing, whatever does not depend on a failed step is done. For cold builds without equal steps, in which
   * all keys are known before anything fails; what is asked for later may fail at once.
   */
  function checkKeptGoing(): void {
    if (!swarm.keepGoing || run.hasCancels || run.number > 0 || run.jobs.length > 1) return;
    if ([...run.failing.values()].some(fault => fault !== "exec")) return;
    if (specs.some(({ id, work, nested, volatile }) => work !== id || nested.length > 0 || volatile)) return;
    if (specs.some(({ inputs }) => inputs.some(input => input.byContent))) return;
    const first = Math.min(...jobs.map(job => job.plan.at));
    const asked = jobs.filter(job => job.plan.at === first).flatMap(job => job.plan.roots);
    for (const spec of closure(asked.map(root => root.spec))) {
      const fails = [...closure([spec])].some(below => run.failing.has(below));
      assert.ok(fails || finished.has(spec), `step ${spec.id} was left out although nothing below it fails`);
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

  return { live, abort, running: () => running.size, executions: () => executions };
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
