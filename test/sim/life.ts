// One simulated life of a state directory: several runs of the shipped solver, with everything a scenario holds in store
// for them. See docs/solver.md for what is checked.
import assert from "node:assert/strict";
import type { Digest } from "../../src/oci/digest.ts";
import { createMemoryStore, type MemoryStore } from "../solver/memorystore.ts";
import { checkAfterFaults } from "./afterfaults.ts";
import type { Mark } from "./marks.ts";
import { createProcess } from "./process.ts";
import { loseSomething, type Run, type Scenario } from "./scenario.ts";
import { createVirtualClock, type VirtualClock } from "./virtualclock.ts";
import { describeSpecs, type Spec, type Value } from "./world.ts";

/** A result: a value, or a volatile source read in place. */
export interface Handle {
  readonly value: Value | undefined;
  readonly source: Spec | undefined;
  released: number;
}

export interface Life extends Scenario<Handle> {
  readonly clock: VirtualClock;
  readonly store: MemoryStore<Handle>;
  readonly marks: Set<Mark>;
  readonly trace: string[];
  executed: number;
}

/** What a run has come to. */
export interface RunState {
  readonly run: Run;
  /** A source has changed, so nobody knows which version a step has seen. */
  mutated: boolean;
  /** Processes that have died, by their index. */
  readonly dead: Set<number>;
  /** Who has claimed what, with those who wait for it: all of the machine. */
  readonly claims: Map<Digest, { readonly process: number; readonly over: (() => void)[] }>;
  over: boolean;
  /** Calls of the store so far. */
  storeCalls: number;
}

export interface Simulated {
  readonly marks: ReadonlySet<Mark>;
  readonly executed: number;
  readonly trace: readonly string[];
  /** How many calls of the store the first run made. */
  readonly storeCalls: number;
}

/** @throws Error, with the graph and the trace in its message, when a promise of the solver is broken */
export async function live(scenario: Scenario<Handle>): Promise<Simulated> {
  const life: Life = {
    ...scenario,
    clock: createVirtualClock(),
    store: createMemoryStore<Handle>({
      keep: handle => ({ ...handle }),
      give: handle => ({ ...handle, released: 0 }),
    }),
    marks: new Set(),
    trace: [],
    executed: 0,
  };
  let storeCalls = 0;
  try {
    for (let number = 0; number < life.runs; number++) {
      life.prepare(number, life.store);
      const state = await simulateRun(life, life.plan(number));
      if (number === 0) ({ storeCalls } = state);
    }
    await checkAfterFaults(life);
  } catch (error) {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const swarm = JSON.stringify({ ...life.swarm, without: [...life.without] });
    const lines = [message, swarm, ...describeSpecs(life.specs), ...life.trace.slice(-400)];
    throw new Error(lines.join("\n  "), { cause: error });
  }
  return { marks: life.marks, executed: life.executed, trace: life.trace, storeCalls };
}

async function simulateRun(life: Life, run: Run): Promise<RunState> {
  const { random, clock, swarm, facts, trace } = life;
  const state: RunState = {
    run,
    mutated: false,
    dead: new Set(),
    claims: new Map(),
    over: false,
    storeCalls: 0,
  };
  const processes = run.jobs.map((_, index) => createProcess(life, state, index));
  if (processes.length > 1) life.marks.add("two processes");
  const forced = [...run.forced].map(spec => spec.id);
  trace.push(`-- run ${run.number}${forced.length > 0 ? `, forced ${forced.join(" ")}` : ""}`);
  const start = clock.now();
  const later = (at: number, work: () => void): void =>
    clock.at(start + at, () => {
      if (!state.over) work();
    });
  for (const { at, source } of run.changes)
    later(at, () => {
      trace.push(`${clock.now()} source ${source.id} changes`);
      state.mutated = true;
      const versions = random.chance(0.7) ? facts.versionA : facts.versionB;
      versions.set(source.id, ((versions.get(source.id) ?? 0) + 1) % swarm.versions);
    });
  for (const at of run.evictAt) later(at, () => loseSomething(random, swarm, life.store));
  if (run.killAt !== undefined)
    later(run.killAt, () => {
      for (const [index, one] of processes.entries()) {
        if (run.survivor === index) continue;
        trace.push(`${clock.now()} process ${index} dies`);
        life.marks.add("killed");
        state.dead.add(index);
        one.abort();
        for (const [key, claim] of state.claims) {
          if (claim.process !== index) continue;
          if (claim.over.length > 0 && run.survivor !== undefined) life.marks.add("took over from the dead");
          dropClaim(state, key);
        }
      }
    });
  await clock.run(Promise.all(processes.map(one => one.live())));
  state.over = true;
  assert.equal(state.claims.size, 0, "a claim outlives its run");
  if (isPeaceful(life, run)) {
    const all = processes.flatMap(one => one.executions());
    assert.equal(new Set(all).size, all.length, "two processes executed the same step");
    if (all.length > 0) life.marks.add("shared by two in peace");
  }
  assert.equal(
    processes.reduce((sum, one) => sum + one.running(), 0),
    0,
    "a step outlives its run",
  );
  return state;
}

/** Takes a claim away and wakes those who wait for it. */
export function dropClaim({ claims }: RunState, key: Digest): void {
  const claim = claims.get(key);
  claims.delete(key);
  for (const wake of claim?.over ?? []) wake();
}

/** Whether nothing makes two processes execute the same step: all have keys, and nothing goes wrong. */
function isPeaceful({ swarm, without, specs }: Life, run: Run): boolean {
  const faults = [swarm.storeErrors, swarm.evictions, swarm.corrupt, run.failing.size, run.changes.length];
  return (
    run.jobs.length > 1 &&
    faults.every(count => count === 0) &&
    !run.hasCancels &&
    without.size === 0 &&
    specs.every(spec => spec.pool !== "free" && !spec.volatile)
  );
}
