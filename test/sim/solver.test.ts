// Simulates the shipped solver: random graphs, faults and cancellation under a virtual clock, each seed replayable.
// Longer: node --import tsx test/sim/run.ts --seed 1 --seeds 20000
import assert from "node:assert/strict";
import { test } from "node:test";
import { MARKS, simulate } from "./simulate.ts";

const SEEDS = 1500;

test("the solver keeps its promises in every simulated life", async () => {
  const reached = new Set<string>();
  for (let seed = 1; seed <= SEEDS; seed++) {
    try {
      for (const mark of (await simulate(seed)).marks) reached.add(mark);
    } catch (error) {
      throw new Error(`seed ${seed}; replay: node --import tsx test/sim/run.ts --seed ${seed} --seeds 1`, {
        cause: error,
      });
    }
  }
  const missed = MARKS.filter(mark => !reached.has(mark));
  assert.deepEqual(missed, [], "rare branches that no seed reached");
});

test("a seed replays step by step", async () => {
  for (const seed of [7, 99, 191, 451])
    assert.deepEqual((await simulate(seed)).trace, (await simulate(seed)).trace);
});
