// Solves that an op asks for while it executes: on the same graph, without deadlocks.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Solver } from "../../src/solver/scheduler.ts";
import { createHold, createWorkshop, edge, type Made, never, type Workshop } from "./workshop.ts";
import type { Vertex } from "../../src/solver/op.ts";

/** A step that has others solved and is made of what they are. */
function nesting(
  shop: Workshop,
  solver: () => Solver<Made>,
  name: string,
  {
    within,
    command = name,
    inputs = [],
  }: {
    readonly within: () => readonly Vertex<Made>[];
    readonly command?: string;
    readonly inputs?: readonly Vertex<Made>[];
  },
): Vertex<Made> {
  const vertex: Vertex<Made> = shop.step(name, {
    command,
    inputs,
    pool: "free",
    run: async (_, { signal }) => {
      const results = await solver().solve(
        within().map(inner => edge(inner)),
        signal,
        vertex.digest,
      );
      return `${name}(${results.map(({ text }) => text).join(", ")})`;
    },
  });
  return vertex;
}

suite("a step that has others solved", () => {
  test("shares them with the rest of the graph", async () => {
    const shop = createWorkshop();
    await using solver = shop.solver({ slots: 1 });
    const inner = shop.step("inner");
    const outer = nesting(shop, () => solver, "outer", { within: () => [inner] });
    const results = await solver.solve([edge(outer), edge(inner)], never);
    assert.deepEqual(
      results.map(({ text }) => text),
      ["outer(inner())", "inner()"],
    );
    assert.deepEqual([...shop.executed].sort(), ["inner", "outer"]);
  });

  test("is aborted with them, and awaited", async () => {
    const shop = createWorkshop();
    const hold = createHold();
    await using solver = shop.solver();
    const inner = shop.step("inner", { run: (_, { signal }) => hold.wait(signal).then(() => "done") });
    const outer = nesting(shop, () => solver, "outer", { within: () => [inner] });
    const leave = new AbortController();
    const solving = solver.solve([edge(outer)], leave.signal);
    await hold.entered;
    leave.abort();
    await assert.rejects(solving, { code: "interrupted" });
    assert.deepEqual(shop.told("inner"), ["step", "started", "canceled"]);
    assert.deepEqual(shop.told("outer"), ["step", "started", "canceled"]);
  });

  test("fails with the error of the one that failed", async () => {
    const shop = createWorkshop();
    await using solver = shop.solver();
    const inner = shop.step("inner", { run: () => Promise.reject(new Error("exit code 1")) });
    const outer = nesting(shop, () => solver, "outer", { within: () => [inner] });
    await assert.rejects(solver.solve([edge(outer)], never), /exit code 1/);
  });

  test("is not recorded when they depend on a directory read in place", async () => {
    const shop = createWorkshop();
    const source = shop.step("source", { volatile: true });
    const user = shop.step("user", { inputs: [source], reads: [0] });
    for (let run = 1; run <= 2; run++) {
      await using solver = shop.solver();
      const outer = nesting(shop, () => solver, "outer", { within: () => [user] });
      await solver.solve([edge(shop.step("top", { inputs: [outer] }))], never);
      assert.equal(shop.executed.filter(name => name === "outer").length, run);
    }
  });

  test("cannot be built upon itself", async () => {
    const shop = createWorkshop();
    await using solver = shop.solver();
    const outer: Vertex<Made> = nesting(shop, () => solver, "outer", {
      within: () => [shop.step("user", { inputs: [outer] })],
    });
    await assert.rejects(solver.solve([edge(outer)], never), /step "outer" is built upon itself/);
  });

  test("cannot be built upon an equal step either: nothing waits in a circle", async () => {
    const shop = createWorkshop();
    await using solver = shop.solver();
    // The twin differs in its digest alone, and has the same solved: a definition that contains itself.
    const twin: Vertex<Made> = nesting(shop, () => solver, "twin", {
      command: "same",
      within: () => [shop.step("user", { inputs: [twin] })],
    });
    const outer = nesting(shop, () => solver, "outer", {
      command: "same",
      within: () => [shop.step("user", { inputs: [twin] })],
    });
    await assert.rejects(solver.solve([edge(outer)], never), /step "twin" is built upon itself/);
  });

  test("has them ranked before its own users, as its inputs are", async () => {
    const shop = createWorkshop();
    await using solver = shop.solver({ slots: 1 });
    const busy = createHold();
    const first = shop.step("first", { run: () => busy.wait().then(() => "first") });
    const inner = shop.step("inner");
    const outer = nesting(shop, () => solver, "outer", { within: () => [inner] });
    const chain = shop.step("last", { inputs: [shop.step("middle", { inputs: [outer] })] });
    const short = shop.step("short");
    const solving = solver.solve([edge(first), edge(short), edge(chain)], never);
    await busy.entered;
    // Until everything that can be queued is.
    await new Promise(resolve => setImmediate(resolve));
    busy.open();
    await solving;
    const cpu = shop.executed.filter(name => ["short", "inner"].includes(name));
    assert.deepEqual(cpu, ["inner", "short"]);
  });
});

test("with keepGoing a step waits for all its inputs before it fails of one", async () => {
  const shop = createWorkshop();
  const late = createHold();
  await using solver = shop.solver({ keepGoing: true });
  const bad = shop.step("bad", { run: () => Promise.reject(new Error("exit code 1")) });
  const good = shop.step("good", { run: (_, { signal }) => late.wait(signal).then(() => "fine") });
  const solving = solver.solveEach([edge(shop.step("both", { inputs: [bad, good] }))], never);
  await late.entered;
  late.open();
  assert.equal((await solving)[0]?.tag, "failed");
  assert.deepEqual(shop.told("good"), ["step", "started", "done"]);
});
