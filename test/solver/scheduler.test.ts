// The solver's promises one by one, with in-memory ops held by promises; test/sim covers their combinations.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { BakeError } from "../../src/diagnostic/error.ts";
import type { Vertex } from "../../src/solver/op.ts";
import { createHold, createWorkshop, edge, never, type Made } from "./workshop.ts";

describe("one graph", () => {
  test("a vertex shared by targets executes once, and equal digests are one vertex", async () => {
    const shop = createWorkshop();
    const base = (): Vertex<Made> => shop.step("base");
    const texts = await shop.build([
      shop.step("a", { inputs: [base()] }),
      shop.step("b", { inputs: [base()] }),
    ]);
    assert.deepEqual(texts, ["a(base())", "b(base())"]);
    assert.deepEqual([...shop.executed].sort(), ["a", "b", "base"]);
  });

  test("independent vertices run at the same time", async () => {
    const shop = createWorkshop();
    const [left, right] = [createHold(), createHold()];
    const held = (hold: typeof left) => ({
      run: (_: unknown, { signal }: { signal: AbortSignal }) => hold.wait(signal).then(() => "done"),
    });
    const build = shop.build([
      shop.step("top", { inputs: [shop.step("l", held(left)), shop.step("r", held(right))] }),
    ]);
    await Promise.all([left.entered, right.entered]);
    left.open();
    right.open();
    assert.deepEqual(await build, ["top(done,done)"]);
  });

  test("stages run at the same time although a later step is keyed by the content of one", async () => {
    const shop = createWorkshop();
    const [left, right] = [createHold(), createHold()];
    const l = shop.step("l", { run: async (_, { signal }) => (await left.wait(signal), "l") });
    const r = shop.step("r", { run: async (_, { signal }) => (await right.wait(signal), "r") });
    const copyL = shop.step("copy l", { inputs: [l], reads: [0] });
    const build = shop.build([shop.step("copy r", { inputs: [copyL, r], reads: [1] })]);
    await Promise.all([left.entered, right.entered]);
    left.open();
    right.open();
    assert.deepEqual(await build, ["copy r(copy l(l),r)"]);
  });

  test("a later solve of the session shares what is known", async () => {
    const shop = createWorkshop();
    await using solver = shop.solver();
    const base = shop.step("base");
    const [first] = await solver.solve([edge(base)], never);
    const [again, user] = await solver.solve(
      [edge(base), edge(shop.step("user", { inputs: [base] }))],
      never,
    );
    assert.equal(first, again);
    assert.equal(user?.text, "user(base())");
    assert.deepEqual(shop.executed, ["base", "user"]);
    assert.deepEqual(shop.told("base"), ["step", "started", "done"]);
  });

  test("different definitions with the same key execute once", async () => {
    const shop = createWorkshop();
    const texts = await shop.build([
      shop.step("one", { command: "make" }),
      shop.step("two", { command: "make" }),
    ]);
    assert.deepEqual(texts, ["make()", "make()"]);
    assert.equal(shop.executed.length, 1);
    assert.deepEqual([shop.told("one").at(-1), shop.told("two").at(-1)].sort(), ["cached", "done"]);
  });

  test("different inputs with the same content execute their user once, and both keys find it next time", async () => {
    const shop = createWorkshop();
    const roots = (): Vertex<Made>[] =>
      ["x", "y"].map(name =>
        shop.step(`copy ${name}`, {
          command: "copy",
          reads: [0],
          inputs: [shop.step(name, { run: () => Promise.resolve("same") })],
        }),
      );
    assert.deepEqual(await shop.build(roots()), ["copy(same)", "copy(same)"]);
    assert.equal(shop.executed.filter(name => name.startsWith("copy")).length, 1);
    await shop.build(roots());
    assert.deepEqual([shop.executed, shop.contentReads], [[], []]);
  });

  test("an output that does not exist is an error that names the step", async () => {
    const shop = createWorkshop();
    await using solver = shop.solver();
    await assert.rejects(solver.solve([edge(shop.step("small"), 3)], never), /step "small" has no output 3/);
  });

  test("bk#6008: a chain and a web of 10,000 vertices are solved in seconds", async () => {
    const shop = createWorkshop();
    const vertices: Vertex<Made>[] = [];
    for (let i = 0; i < 10_000; i++) {
      const inputs = [i - 1, i >> 1, Math.floor(i / 3)].filter(
        (at, k, all) => at >= 0 && at < i && all.indexOf(at) === k,
      );
      vertices.push(
        shop.step(`v${i}`, {
          inputs: inputs.flatMap(at => vertices[at] ?? []),
          run: () => Promise.resolve(`r${i}`),
        }),
      );
    }
    const wide = shop.step("wide", {
      inputs: vertices,
      run: inputs => Promise.resolve(String(inputs.length)),
    });
    // Of the processor: others may be busy too.
    const start = process.cpuUsage();
    assert.deepEqual(await shop.build([wide]), ["10000"]);
    await shop.build([wide]);
    assert.deepEqual([shop.executed.length, shop.loads.length], [0, 1]);
    const { user, system } = process.cpuUsage(start);
    assert.ok(user + system < 8_000_000, `took ${user + system} µs`);
  });
});

describe("the cache", () => {
  test("a fully cached build executes nothing, loads the root alone and shows the whole chain as cached", async () => {
    const shop = createWorkshop();
    const root = (): Vertex<Made> =>
      shop.step("c", { inputs: [shop.step("b", { inputs: [shop.step("a")] })] });
    await shop.build([root()]);
    assert.deepEqual(await shop.build([root()]), ["c(b(a()))"]);
    assert.deepEqual(shop.executed, []);
    assert.equal(shop.loads.length, 1);
    for (const name of ["a", "b", "c"]) assert.deepEqual(shop.told(name), ["step", "cached"], name);
  });

  test("a change rebuilds what depends on it, and says why", async () => {
    const shop = createWorkshop();
    const root = (command: string): Vertex<Made> =>
      shop.step("use", { inputs: [shop.step("base"), shop.step("tool", { command })] });
    await shop.build([root("make v1")]);
    assert.equal(shop.reasons.get("tool"), "it was not built before");
    await shop.build([root("make v2")]);
    assert.deepEqual(shop.executed, ["tool", "use"]);
    assert.equal(shop.reasons.get("tool"), 'command changed from "make v1" to "make v2"');
    assert.equal(shop.reasons.get("use"), 'input "tool" changed');
    assert.deepEqual(shop.told("base"), ["step", "cached"]);
  });

  test("a user of a local directory is keyed by content: cached while it is equal, and the changed file is named", async () => {
    const shop = createWorkshop();
    const root = (text: string): Vertex<Made> =>
      shop.step("run", {
        inputs: [
          shop.step("copy", {
            inputs: [shop.step("local", { volatile: true, run: () => Promise.resolve(text) })],
            reads: [0],
          }),
        ],
      });
    await shop.build([root("v1")]);
    await shop.build([root("v1")]);
    assert.deepEqual(shop.executed, ["local"]);
    assert.deepEqual(shop.told("copy"), ["step", "cached"]);
    assert.deepEqual(await shop.build([root("v2")]), ["run(copy(v2))"]);
    assert.equal(shop.reasons.get("copy"), "file a.txt changed");
  });

  test("what depends on a directory it cannot read by content is never cached", async () => {
    const shop = createWorkshop();
    const root = (): Vertex<Made> => shop.step("user", { inputs: [shop.step("local", { volatile: true })] });
    await shop.build([root()]);
    await shop.build([root()]);
    assert.deepEqual(shop.executed, ["local", "user"]);
    assert.equal(shop.store.keys.size, 0);
    assert.equal(shop.reasons.get("user"), "it depends on something that is read anew in every build");
  });

  test("content is read only after the definition key has missed", async () => {
    const shop = createWorkshop();
    const root = (command: string): Vertex<Made> =>
      shop.step("copy", {
        inputs: [shop.step("image", { command, run: () => Promise.resolve("same") })],
        reads: [0],
      });
    await shop.build([root("tag 1")]);
    await shop.build([root("tag 1")]);
    assert.deepEqual(shop.contentReads, []);
    await shop.build([root("tag 2")]);
    assert.deepEqual([shop.executed, shop.contentReads], [["image"], ["copy"]]);
    await shop.build([root("tag 2")]);
    assert.deepEqual(shop.contentReads, []);
  });

  test("a result that is gone is made again, with the inputs it needs", async () => {
    const shop = createWorkshop();
    const root = (): Vertex<Made> => shop.step("b", { inputs: [shop.step("a")] });
    await shop.build([root()]);
    for (const id of [...shop.store.records.keys()]) shop.store.evict(id);
    assert.deepEqual(await shop.build([root()]), ["b(a())"]);
    assert.equal(shop.reasons.get("b"), "its result is no longer in the cache");
    await shop.build([root()]);
    assert.deepEqual(shop.executed, []);
  });

  test("a store that always fails costs time, never the build", async () => {
    const shop = createWorkshop();
    const broken = (): Promise<never> => Promise.reject(new Error("disk on fire"));
    const store = { query: broken, load: broken, save: broken, link: broken, previousParts: broken };
    const root = shop.step("b", { inputs: [shop.step("a")], reads: [0] });
    assert.deepEqual(await shop.build([root], { store }), ["b(a())"]);
    assert.equal(shop.reasons.get("a"), "the cache could not be read");
  });

  test("a forced step executes, its users do not get older results, and later builds use the new ones", async () => {
    const shop = createWorkshop();
    let version = 1;
    const root = (ignoreCache: boolean): Vertex<Made> =>
      shop.step("user", {
        inputs: [shop.step("fetch", { ignoreCache, run: () => Promise.resolve(`v${version}`) })],
      });
    assert.deepEqual(await shop.build([root(false)]), ["user(v1)"]);
    version = 2;
    assert.deepEqual(await shop.build([root(false)]), ["user(v1)"]);
    assert.deepEqual(await shop.build([root(true)]), ["user(v2)"]);
    assert.equal(shop.reasons.get("fetch"), "the cache is switched off for this step");
    version = 3;
    assert.deepEqual(await shop.build([root(false)]), ["user(v2)"]);
    assert.deepEqual(shop.executed, []);
  });

  test("an input that changes while a step runs: the result is used but not recorded", async () => {
    const shop = createWorkshop();
    const directory = { text: "v1" };
    const root = (change: boolean): Vertex<Made> => {
      // In place: the same object is read again after the step.
      const local = shop.step("local", { volatile: true });
      const inPlace: Vertex<Made> = {
        ...local,
        op: { ...local.op, exec: () => Promise.resolve([directory]) },
      };
      const run = ([seen]: readonly Made[]): Promise<string> => {
        if (change) directory.text = "v2";
        return Promise.resolve(`saw ${seen?.text}`);
      };
      return shop.step("user", { inputs: [shop.step("copy", { inputs: [inPlace], reads: [0], run })] });
    };
    assert.deepEqual(await shop.build([root(true)]), ["user(saw v2)"]);
    assert.equal(shop.store.keys.size, 0);
    directory.text = "v1";
    assert.deepEqual(await shop.build([root(false)]), ["user(saw v1)"]);
  });

  test("a failure is not saved", async () => {
    const shop = createWorkshop();
    const failing = shop.step("flaky", { run: () => Promise.reject(new Error("no network")) });
    await assert.rejects(shop.build([failing]), /no network/);
    assert.equal(shop.store.keys.size, 0);
  });
});

describe("failure and cancellation", () => {
  test("a failure reaches the caller with its code, and what else runs is aborted and awaited", async () => {
    const shop = createWorkshop();
    const hold = createHold();
    let unwound = false;
    const other = shop.step("other", {
      run: async (_, { signal }) => {
        await hold.wait(signal).catch(() => undefined);
        await Promise.resolve();
        unwound = true;
        throw new Error("stopped");
      },
    });
    const failing = shop.step("bad", {
      run: async () => {
        await hold.entered;
        throw new BakeError("step-failed", "exit code 1");
      },
    });
    const root = shop.step("top", { inputs: [shop.step("middle", { inputs: [failing] }), other] });
    await assert.rejects(shop.build([root]), { code: "step-failed", message: "exit code 1" });
    assert.ok(unwound);
    assert.deepEqual(shop.told("bad").at(-1), "failed");
    assert.deepEqual(shop.told("other").at(-1), "canceled");
    assert.deepEqual(shop.told("top"), ["step"]);
  });

  test("with keepGoing independent targets finish", async () => {
    const shop = createWorkshop();
    const failed = createHold();
    await using solver = shop.solver({ keepGoing: true });
    const bad = shop.step("bad", {
      run: () => {
        failed.open();
        return Promise.reject(new BakeError("step-failed", "exit code 1"));
      },
    });
    const late = shop.step("late", { run: () => failed.wait().then(() => "fine") });
    const outcomes = await solver.solveEach(
      [edge(shop.step("top", { inputs: [bad] })), edge(shop.step("good", { inputs: [late] }))],
      never,
    );
    assert.deepEqual(
      outcomes.map(outcome => outcome.tag),
      ["failed", "solved"],
    );
    assert.equal(outcomes[0]?.tag === "failed" && outcomes[0].failure.name, "bad");
  });

  test("one of two requesters may leave; when both have left the step is aborted", async () => {
    const shop = createWorkshop();
    for (const both of [false, true]) {
      const hold = createHold();
      await using solver = shop.solver();
      let aborted = false;
      const step = shop.step(`shared ${both}`, {
        run: async (_, { signal }) => {
          signal.addEventListener("abort", () => (aborted = true));
          await hold.wait(signal);
          return "done";
        },
      });
      const [one, two] = [new AbortController(), new AbortController()];
      const first = solver.solve([edge(step)], one.signal);
      const second = solver.solve([edge(step)], two.signal);
      await hold.entered;
      one.abort();
      if (both) two.abort();
      else hold.open();
      await assert.rejects(first, { code: "interrupted" });
      if (both) await assert.rejects(second, { code: "interrupted" });
      else assert.equal((await second)[0]?.text, "done");
      assert.equal(aborted, both);
    }
  });

  test("a step that was given up starts again when it is wanted again", async () => {
    const shop = createWorkshop();
    const [first, second, stopping] = [createHold(), createHold(), createHold()];
    let attempts = 0;
    await using solver = shop.solver();
    const step = shop.step("slow", {
      run: async (_, { signal }) => {
        if (attempts++ > 0) return second.wait(signal).then(() => "done");
        await first.wait(signal).catch(() => stopping.wait());
        throw new Error("stopped");
      },
    });
    const gone = new AbortController();
    const one = solver.solve([edge(step)], gone.signal);
    await first.entered;
    gone.abort();
    await stopping.entered;
    const two = solver.solve([edge(step)], never);
    stopping.open();
    await assert.rejects(one, { code: "interrupted" });
    second.open();
    assert.equal((await two)[0]?.text, "done");
    assert.deepEqual(shop.told("slow"), ["step", "started", "canceled", "started", "done"]);
  });

  test("after an abort nothing starts, running steps are awaited, and every result is released once", async () => {
    const shop = createWorkshop();
    const hold = createHold();
    const stop = new AbortController();
    const made = shop.step("made");
    const running = shop.step("running", {
      inputs: [made],
      run: async (_, { signal }) => {
        await hold.wait(signal);
        return "never";
      },
    });
    const solver = shop.solver({ signal: stop.signal, slots: 1 });
    const solving = solver.solve([edge(shop.step("after", { inputs: [running] }))], never);
    await hold.entered;
    const queued = solver.solve([edge(shop.step("queued", { inputs: [made] }))], never);
    stop.abort();
    await assert.rejects(solving, { code: "interrupted" });
    await assert.rejects(queued, { code: "interrupted" });
    assert.deepEqual(shop.executed, ["made", "running"]);
    await assert.rejects(solver.solve([edge(made)], never), { code: "interrupted" });
    await solver[Symbol.asyncDispose]();
    await solver[Symbol.asyncDispose]();
    assert.equal(shop.released.length, 1);
  });

  test("an error in cacheMap or a contentKey fails the step", async () => {
    const shop = createWorkshop();
    const bad = shop.step("bad", {
      cacheMap: () => Promise.reject(new BakeError("registry-missing", "no such image")),
    });
    await assert.rejects(shop.build([shop.step("user", { inputs: [bad] })]), { code: "registry-missing" });
    assert.deepEqual(shop.told("bad"), ["step", "failed"]);
  });

  test("many solves on one signal do not add listeners to it", async () => {
    const shop = createWorkshop();
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on("warning", onWarning);
    const { signal } = new AbortController();
    await using solver = shop.solver();
    await Promise.all(Array.from({ length: 50 }, (_, i) => solver.solve([edge(shop.step(`s${i}`))], signal)));
    await new Promise(resolve => setImmediate(resolve));
    process.off("warning", onWarning);
    assert.deepEqual(warnings, []);
  });
});

describe("slots", () => {
  test("with one slot the longest remaining path goes first", async () => {
    const shop = createWorkshop();
    const short = shop.step("short");
    const long = shop.step("long 3", { inputs: [shop.step("long 2", { inputs: [shop.step("long 1")] })] });
    const hold = createHold();
    const first = shop.step("first", { run: () => hold.wait().then(() => "first") });
    const solver = shop.solver({ slots: 1 });
    const one = solver.solve([edge(first)], never);
    await hold.entered;
    const two = solver.solve([edge(shop.step("top", { inputs: [short, long] }))], never);
    await new Promise(resolve => setImmediate(resolve));
    hold.open();
    await Promise.all([one, two]);
    assert.deepEqual(shop.executed.slice(0, 3), ["first", "long 1", "short"]);
    await solver[Symbol.asyncDispose]();
  });

  test("network and free steps do not wait for a computing one", async () => {
    const shop = createWorkshop();
    const hold = createHold();
    const solver = shop.solver({ slots: 1 });
    const busy = solver.solve([edge(shop.step("busy", { run: () => hold.wait().then(() => "") }))], never);
    await hold.entered;
    await solver.solve(
      [edge(shop.step("pull", { pool: "network" })), edge(shop.step("merge", { pool: "free" }))],
      never,
    );
    hold.open();
    await busy;
    await solver[Symbol.asyncDispose]();
  });

  test("a canceled call does not wait for the slot it was queued for", async () => {
    const shop = createWorkshop();
    const hold = createHold();
    const solver = shop.solver({ slots: 1 });
    const busy = solver.solve([edge(shop.step("busy", { run: () => hold.wait().then(() => "") }))], never);
    await hold.entered;
    const stop = new AbortController();
    const queued = solver.solve([edge(shop.step("queued"))], stop.signal);
    await new Promise(resolve => setImmediate(resolve));
    stop.abort();
    await assert.rejects(queued, { code: "interrupted" });
    hold.open();
    await busy;
    await solver[Symbol.asyncDispose]();
    assert.deepEqual(shop.executed, ["busy"]);
  });
});
