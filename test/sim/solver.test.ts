// Simulates the shipped solver: random graphs, faults and cancellation under a virtual clock, each seed replayable; and
// all small graphs with a fault at every position. SIM_SEEDS sets the number of seeds, SIM_STEPS the size of small graphs.
// Longer: node --import tsx test/sim/run.ts --seed 1 --seeds 100000, and --small 4
import assert from "node:assert/strict";
import { test } from "node:test";
import { MARKS } from "./marks.ts";
import { simulate } from "./simulate.ts";
import { simulateSmallWorlds } from "./smallworld.ts";

const SEEDS = Number(process.env["SIM_SEEDS"] ?? 2000);
const STEPS = Number(process.env["SIM_STEPS"] ?? 2);

test("bk#2303, bk#4818, bk#4559, dg#10222, just#3138: the solver keeps its promises in every simulated life", async () => {
  const reached = new Set<string>();
  for (let seed = 1; seed <= SEEDS; seed++) {
    for (const mark of (await simulate(seed)).marks) reached.add(mark);
  }
  const missed = MARKS.filter(mark => !reached.has(mark));
  assert.deepEqual(missed, [], "rare branches that no seed reached");
});

test("the solver keeps its promises in all small worlds, whatever goes wrong at whatever point", async () => {
  assert.ok((await simulateSmallWorlds(STEPS)).worlds > 0);
});

test("a seed replays step by step", async () => {
  for (const seed of [7, 99, 191, 451])
    assert.deepEqual((await simulate(seed)).trace, (await simulate(seed)).trace);
});
