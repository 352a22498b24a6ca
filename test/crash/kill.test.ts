// Goal: `kill -9` at any moment costs nothing but time. Method: a few rounds of kill.ts, which see for hundreds.
import assert from "node:assert/strict";
import { test } from "node:test";
import { skipWithoutContainers } from "../rig/engine.ts";
import { skipWithoutRegistry } from "../rig/registry.ts";
import { killInRounds } from "./kill.ts";

test(
  "killed at random moments of builds, exports and prunes: the next start is clean, its result right, nothing left",
  { skip: skipWithoutContainers || skipWithoutRegistry },
  async () => {
    const seed = Math.floor(Date.now() / 86_400_000);
    const lines: string[] = [];
    const { failures, killed } = await killInRounds({
      rounds: 4,
      seed,
      workers: 2,
      log: line => lines.push(line),
    });
    assert.deepEqual(failures, [], `seed ${seed}`);
    assert.ok(killed >= 4);
  },
);
