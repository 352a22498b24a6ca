// Goal: a solver that may not execute tells what it would do, executes nothing, and keeps no promise it cannot know.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BakeError } from "../../src/diagnostic/error.ts";
import type { Vertex } from "../../src/solver/op.ts";
import type { Verdict } from "../../src/solver/verdict.ts";
import { createWorkshop, edge, type Made, never, type Workshop } from "./workshop.ts";

/** Solves without permission to execute; what became of each step, by name, and the codes of what failed. */
async function plan(shop: Workshop, root: Vertex<Made>) {
  shop.executed.length = 0;
  await using solver = shop.solver({ mayExecute: () => false, keepGoing: true });
  const outcomes = await solver.solveEach([edge(root)], never);
  const verdicts: Record<string, Verdict> = {};
  for (const { name, verdict } of solver.verdicts()) verdicts[name] = verdict;
  const codes = outcomes.flatMap(outcome =>
    outcome.tag === "failed" ? [BakeError.from(outcome.failure.error).code] : [],
  );
  return { verdicts, codes };
}

test("what is cached is cached, and nothing is missing", async () => {
  const shop = createWorkshop();
  const root = (): Vertex<Made> => shop.step("use", { inputs: [shop.step("tool")] });
  await shop.build([root()]);
  const { verdicts, codes } = await plan(shop, root());
  assert.deepEqual(verdicts, { tool: { tag: "cached" }, use: { tag: "cached" } });
  assert.deepEqual(codes, []);
  assert.deepEqual(shop.executed, []);
});

test("a step that would run is refused with its reason, and so is what is built upon it", async () => {
  const shop = createWorkshop();
  const root = (command: string): Vertex<Made> =>
    shop.step("use", { inputs: [shop.step("base"), shop.step("tool", { command })] });
  await shop.build([root("make")]);
  const { verdicts, codes } = await plan(shop, root("make all"));
  assert.deepEqual(verdicts, {
    base: { tag: "cached" },
    tool: { tag: "ran", reason: 'command changed from "make" to "make all"' },
    use: { tag: "ran", reason: 'input "tool" changed' },
  });
  assert.deepEqual(codes, ["cache-miss"]);
  assert.deepEqual(shop.executed, []);
});

test("a step keyed by the result of one that would run is unknown until then", async () => {
  const shop = createWorkshop();
  const root = (command: string): Vertex<Made> =>
    shop.step("last", {
      inputs: [shop.step("copy", { inputs: [shop.step("tool", { command })], reads: [0] })],
    });
  await shop.build([root("make")]);
  const { verdicts } = await plan(shop, root("make all"));
  assert.equal(verdicts["tool"]?.tag, "ran");
  assert.deepEqual(verdicts["copy"], { tag: "unknown", until: "tool" });
  assert.deepEqual(verdicts["last"], { tag: "unknown", until: "copy" });
  assert.deepEqual(shop.executed, []);
});

test("a directory may always be read", async () => {
  const shop = createWorkshop();
  const root = (text: string): Vertex<Made> =>
    shop.step("copy", {
      inputs: [shop.step("local", { volatile: true, run: () => Promise.resolve(text) })],
      reads: [0],
    });
  await shop.build([root("v1")]);
  const same = await plan(shop, root("v1"));
  assert.deepEqual(same.verdicts, { local: { tag: "read" }, copy: { tag: "cached" } });
  const other = await plan(shop, root("v2"));
  assert.deepEqual(other.verdicts["copy"], { tag: "ran", reason: "file a.txt changed" });
  assert.deepEqual(shop.executed, ["local"]);
});

test("a result that was evicted is a miss with that reason", async () => {
  const shop = createWorkshop();
  const root = (): Vertex<Made> => shop.step("tool");
  await shop.build([root()]);
  for (const id of [...shop.store.records.keys()]) shop.store.evict(id);
  const { verdicts, codes } = await plan(shop, root());
  assert.deepEqual(verdicts["tool"], { tag: "ran", reason: "its result is no longer in the cache" });
  assert.deepEqual(codes, ["cache-miss"]);
});
