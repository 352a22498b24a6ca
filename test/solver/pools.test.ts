import assert from "node:assert/strict";
import { test } from "node:test";
import { createPools } from "../../src/solver/pools.ts";
import { createHold, never } from "./workshop.ts";

test("a pool runs no more than its slots at once, the most urgent first", async () => {
  const pools = createPools({ cpu: 1, network: 1 });
  const hold = createHold();
  const order: string[] = [];
  const add = (name: string, priority: number): Promise<void> =>
    pools.run("cpu", () => Promise.resolve(void order.push(name)), { signal: never, priority });
  const first = pools.run("cpu", () => hold.wait(), { signal: never, priority: 0 });
  const rest = [add("low", 1), add("high", 5), add("low too", 1)];
  hold.open();
  await Promise.all([first, ...rest]);
  assert.deepEqual(order, ["high", "low", "low too"]);
});

test("work that waits is dropped at once on abort; work that runs keeps its slot until it has stopped", async () => {
  const pools = createPools({ cpu: 1, network: 1 });
  const [running, stop] = [createHold(), new AbortController()];
  const held = pools.run("cpu", () => running.wait(), { signal: stop.signal, priority: 0 });
  const waiting = pools.run("cpu", () => Promise.reject(new Error("ran")), {
    signal: stop.signal,
    priority: 0,
  });
  await running.entered;
  let next = false;
  stop.abort();
  const after = pools.run("cpu", () => Promise.resolve(void (next = true)), { signal: never, priority: 0 });
  await assert.rejects(waiting, { name: "AbortError" });
  await new Promise(resolve => setImmediate(resolve));
  assert.equal(next, false);
  running.open();
  await Promise.all([held, after]);
  assert.equal(next, true);
});

test("an error of the work reaches the caller and frees the slot", async () => {
  const pools = createPools({ cpu: 1, network: 1 });
  await assert.rejects(
    pools.run("cpu", () => Promise.reject(new Error("no")), { signal: never, priority: 0 }),
    /no/,
  );
  assert.equal(await pools.run("cpu", () => Promise.resolve(1), { signal: never, priority: 0 }), 1);
});
