// Goal: after any sequence of edits, what the cache gives is what a clean build gives, with whatever makes builds fast
// switched off too.
// Method: random projects are edited at random; after each edit the image of the incremental build is compared with that
// of a build in a new state directory. LAW_RUNS sets the number of sequences, LAW_SEED the seed.
// Longer, on several processors: node --import tsx test/law/run.ts --sequences 2000 --workers 4 [--without all]
import assert from "node:assert/strict";
import { test } from "node:test";
import { ENGINE_OPTIMIZATIONS } from "../../src/engine/without.ts";
import { isRoot } from "../rig/tree.ts";
import { checkTruth } from "./sequence.ts";

const skip = isRoot ? false : "modes that keep out whoever is not root are among what is edited";

const RUNS = Number(process.env["LAW_RUNS"] ?? 10);
const SEED = Number(process.env["LAW_SEED"] ?? Date.now() % 1_000_000);

test("incremental builds give what clean builds give, whatever was edited", { skip }, async () => {
  const compared = await checkTruth({ sequences: RUNS, seed: SEED });
  assert.ok(compared >= RUNS * 2);
});

for (const name of ENGINE_OPTIMIZATIONS)
  test(`incremental builds give what clean builds give without "${name}"`, { skip }, async () => {
    await checkTruth({ sequences: 1, seed: SEED, without: new Set([name]) });
  });
