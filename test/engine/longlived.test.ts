// Goal: an engine that builds again and again, as under --watch, keeps nothing of what it has built.
// Method: rebuilds with an edit before each and a step that writes much; the heap after collection and the open files are
// compared between an early and a late moment. LONG_RUNS sets the number of rebuilds (200 for closing runs).
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { copy, local } from "../../src/llb/mod.ts";
import { busyboxBase, engineRig, skipWithoutContainers } from "../rig/engine.ts";

const RUNS = Number(process.env["LONG_RUNS"] ?? 40);
/** When everything that is made once has been made. */
const WARM = Math.floor(RUNS / 2);
/** What compiled code and the tables of the journal may take meanwhile; the output of three steps is more. */
const GROWTH_BYTES = 2_000_000;
const SETTLED_BYTES = 50_000;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

test(
  "bk#3655, bk#7181, bk#1726, bx#1606: rebuilds in one session leave neither memory nor open files behind",
  { skip: skipWithoutContainers },
  async () => {
    await using rig = await engineRig();
    const context = join(rig.dir.path, "context");
    mkdirSync(context);
    rig.locals.set("context", context);
    const base = busyboxBase();
    const rebuild = async (round: number): Promise<void> => {
      writeFileSync(join(context, "file"), `${round}`);
      const state = base
        .file(copy(local("context", { uniqueId: "c" }), "file", "/file"))
        .run({ args: ["sh", "-c", "yes | head -c 1000000"] })
        .root();
      // Its events are the test's own to forget.
      rig.forgetEvents();
      await rig.solve(state, [{ type: "cacheonly", attrs: {} }]);
    };
    const look = async (): Promise<{ readonly heap: number; readonly files: number }> => {
      // What a collection finds free may hold more, which the next one finds.
      for (let heap = Infinity; ;) {
        collect();
        await setImmediate();
        const { heapUsed, external } = process.memoryUsage();
        if (heapUsed + external > heap - SETTLED_BYTES)
          return { heap: heapUsed + external, files: readdirSync("/proc/self/fd").length };
        heap = heapUsed + external;
      }
    };
    for (let round = 0; round < WARM; round++) await rebuild(round);
    const early = await look();
    for (let round = WARM; round < RUNS; round++) await rebuild(round);
    const late = await look();
    assert.ok(late.files <= early.files + 2, `${early.files} open files became ${late.files}`);
    const growth = late.heap - early.heap;
    assert.ok(growth < GROWTH_BYTES, `${RUNS - WARM} rebuilds left ${growth} bytes of memory`);
  },
);
