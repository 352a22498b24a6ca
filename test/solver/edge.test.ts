// The transition function alone: paths through the drawing in src/solver/edge.ts, and a law over random events.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { digestOf } from "../../src/oci/digest.ts";
import { definitionKey, saltedKey } from "../../src/solver/cachekey.ts";
import {
  identityOf,
  isIdle,
  resultsOf,
  step,
  type EdgeEvent,
  type EdgeRequest,
  type EdgeState,
  type Step,
} from "../../src/solver/edge.ts";
import type { CacheMap } from "../../src/solver/op.ts";

const id = digestOf("input");
const inputs = [{ identity: id, index: 0 }];
const plain: CacheMap<string> = { parts: [{ label: "command", value: "make" }], inputs: [{}] };
const content = { digest: digestOf("content") };
const reading: CacheMap<string> = { ...plain, inputs: [{ contentKey: () => Promise.resolve(content) }] };
const record = { id: digestOf("record") };
const outputs = new Map([[0, "result"]]);

function walk(
  events: readonly EdgeEvent<string>[],
  forced = false,
): { state: EdgeState<string>; requests: readonly EdgeRequest[] } {
  let state: EdgeState<string> = { tag: "initial" };
  let requests: readonly EdgeRequest[] = [];
  for (const event of events) ({ state, requests } = step({ forced, nonce: "n" }, state, event));
  return { state, requests };
}

const asked: readonly EdgeEvent<string>[] = [
  { type: "want" },
  { type: "mapped", map: plain },
  { type: "identified", inputs },
];
const askedReading: readonly EdgeEvent<string>[] = [
  { type: "want" },
  { type: "identified", inputs },
  { type: "mapped", map: reading },
];
const types = (requests: readonly EdgeRequest[]): readonly string[] => requests.map(request => request.type);

describe("a vertex", () => {
  test("is keyed when map and identities are there, in either order, and asks the store", () => {
    for (const events of [asked, [asked[0], asked[2], asked[1]].flatMap(event => event ?? [])]) {
      const { state, requests } = walk(events);
      assert.equal(state.tag, "querying");
      assert.deepEqual(requests, [{ type: "query", key: definitionKey(plain, inputs), ask: true }]);
    }
  });

  test("with a record is known by it and loads only what is wanted", () => {
    const hit = walk([...asked, { type: "queried", record }]);
    assert.equal(identityOf(hit.state), record.id);
    assert.deepEqual(hit.requests, []);
    const wanted = walk([...asked, { type: "queried", record }, { type: "want", index: 1 }]);
    assert.deepEqual(wanted.requests, [{ type: "load", record, index: 1 }]);
  });

  test("without one is known by its key, and executes only when a result is wanted", () => {
    const missed = walk([...asked, { type: "queried", record: undefined }]);
    assert.equal(identityOf(missed.state), definitionKey(plain, inputs)?.digest);
    assert.deepEqual(missed.requests, []);
    assert.deepEqual(
      types(walk([...asked, { type: "queried", record: undefined }, { type: "want", index: 0 }]).requests),
      ["gather"],
    );
  });

  test("reads content after a miss; a hit by content gives the definition key to that record", () => {
    const missed: readonly EdgeEvent<string>[] = [...askedReading, { type: "queried", record: undefined }];
    assert.deepEqual(walk(missed).requests, [{ type: "read", inputs: [0] }]);
    const found = walk([
      ...missed,
      { type: "read", contents: [content], inputs },
      { type: "queried", record },
    ]);
    assert.deepEqual(found.requests, [{ type: "link", key: definitionKey(reading, inputs), record }]);
    assert.equal(identityOf(found.state), record.id);
  });

  test("saves under its definition and content keys", () => {
    const { state, requests } = walk([
      ...askedReading,
      { type: "queried", record: undefined },
      { type: "read", contents: [content], inputs },
      { type: "queried", record: undefined },
      { type: "want", index: 0 },
      { type: "gathered" },
      { type: "executed", outputs, inputs },
    ]);
    assert.equal(state.tag, "saving");
    const [save] = requests;
    assert.ok(save?.type === "save");
    assert.equal(save.keys.length, 2);
    assert.equal(save.keys[0]?.digest, definitionKey(reading, inputs)?.digest);
  });

  test("that the store could not answer for is known by a name nothing older can match", () => {
    const { state } = walk([...asked, { type: "queried", record: undefined, doubt: true }]);
    const key = definitionKey(plain, inputs);
    assert.ok(key !== undefined);
    assert.equal(identityOf(state), saltedKey(key, "n").digest);
  });

  test("that is forced asks no store, saves under a salted key and renames the plain one", () => {
    const key = definitionKey(plain, inputs);
    assert.ok(key !== undefined);
    const queried = walk(asked, true);
    assert.deepEqual(queried.requests, [{ type: "query", key: saltedKey(key, "n"), ask: false }]);
    const events: readonly EdgeEvent<string>[] = [
      ...asked,
      { type: "queried", record: undefined },
      { type: "want", index: 0 },
      { type: "gathered" },
      { type: "executed", outputs, inputs },
    ];
    assert.deepEqual(walk(events, true).requests, [
      { type: "save", keys: [saltedKey(key, "n")], names: [key] },
    ]);
  });

  test("that is forced renames its content key too, so that no equal content finds an older record", () => {
    const read = walk(askedReading, true);
    assert.deepEqual(read.requests, [{ type: "read", inputs: [0] }]);
    const events: readonly EdgeEvent<string>[] = [
      ...askedReading,
      { type: "read", contents: [content], inputs },
      { type: "queried", record: undefined },
      { type: "want", index: 0 },
      { type: "gathered" },
      { type: "executed", outputs, inputs },
    ];
    const [save] = walk(events, true).requests;
    assert.ok(save?.type === "save");
    assert.deepEqual([save.keys.length, save.names.length], [1, 2]);
  });

  test("whose volatile input changed under it completes without being saved", () => {
    const moving = [{ identity: "volatile" as const, index: 0 }];
    const executed: readonly EdgeEvent<string>[] = [
      { type: "want" },
      { type: "mapped", map: reading },
      { type: "identified", inputs: moving },
      { type: "read", contents: [content], inputs: moving },
      { type: "queried", record: undefined },
      { type: "want", index: 0 },
      { type: "gathered" },
      { type: "executed", outputs, inputs: moving },
    ];
    assert.deepEqual(walk(executed).requests, [{ type: "check", inputs: [0] }]);
    const changed = walk([...executed, { type: "checked", same: false, inputs: moving }]);
    assert.equal(changed.state.tag, "complete");
    assert.equal(identityOf(changed.state), "volatile");
    assert.deepEqual(changed.requests, []);
    assert.deepEqual(types(walk([...executed, { type: "checked", same: true, inputs: moving }]).requests), [
      "save",
    ]);
  });

  test("whose input took an older record's identity is saved under both names; withdrawn identities name nothing", () => {
    const upTo: readonly EdgeEvent<string>[] = [
      ...asked,
      { type: "queried", record: undefined },
      { type: "want", index: 0 },
      { type: "gathered" },
    ];
    const renamed = walk([
      ...upTo,
      { type: "executed", outputs, inputs: [{ identity: record.id, index: 0 }] },
    ]);
    assert.ok(renamed.requests[0]?.type === "save");
    assert.equal(renamed.requests[0].keys.length, 2);
    const withdrawn = walk([
      ...upTo,
      { type: "executed", outputs, inputs: [{ identity: "volatile", index: 0 }] },
    ]);
    assert.deepEqual(withdrawn.requests, []);
    assert.equal(identityOf(withdrawn.state), "volatile");
  });

  test("keeps a result that users hold when another output turns out to be lost", () => {
    const { state, requests } = walk([
      ...asked,
      { type: "queried", record },
      { type: "want", index: 0 },
      { type: "want", index: 1 },
      { type: "loaded", index: 0, result: "loaded" },
      { type: "loaded", index: 1, result: undefined },
    ]);
    assert.deepEqual(types(requests), ["gather"]);
    assert.equal(resultsOf(state).get(0), "loaded");
    const done = step(
      { forced: false, nonce: "n" },
      step({ forced: false, nonce: "n" }, state, { type: "gathered" }).state,
      {
        type: "executed",
        outputs: new Map([
          [0, "new"],
          [1, "new"],
        ]),
        inputs,
      },
    );
    assert.equal(done.state.tag === "saving" && done.state.outputs.get(0), "loaded");
    const failed = step({ forced: false, nonce: "n" }, state, { type: "failed", error: new Error("exec") });
    assert.equal(resultsOf(failed.state).get(0), "loaded");
  });

  test("given up before it is known starts over; after that it keeps its name", () => {
    assert.equal(walk([...asked, { type: "abandoned" }]).state.tag, "initial");
    const running: readonly EdgeEvent<string>[] = [
      ...asked,
      { type: "queried", record: undefined },
      { type: "want", index: 0 },
      { type: "gathered" },
    ];
    const { state } = walk([...running, { type: "abandoned" }]);
    assert.equal(state.tag, "known");
    assert.equal(identityOf(state), identityOf(walk(running).state));
  });

  test("law: any order of events leaves a state whose name and results, once given, stay until it is over", () => {
    const event = fc.constantFrom<EdgeEvent<string>>(
      { type: "want" },
      { type: "want", index: 0 },
      { type: "want", index: 1 },
      { type: "mapped", map: reading },
      { type: "identified", inputs },
      { type: "queried", record: undefined },
      { type: "queried", record },
      { type: "merged", key: id },
      { type: "read", contents: [content], inputs },
      { type: "loaded", index: 0, result: "a" },
      { type: "loaded", index: 1, result: undefined },
      { type: "gathered" },
      { type: "executed", outputs, inputs },
      { type: "saved", record: undefined },
      { type: "failed", error: new Error("exec") },
      { type: "abandoned" },
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), fc.boolean(), (events, forced) => {
        let state: EdgeState<string> = { tag: "initial" };
        for (const one of events) {
          const before: EdgeState<string> = state;
          const next: Step<string> = step({ forced, nonce: "n" }, before, one);
          state = next.state;
          const name: string | undefined = identityOf(before);
          if (name !== undefined && state.tag !== "failed") assert.equal(identityOf(state), name);
          for (const index of resultsOf(before).keys()) assert.ok(resultsOf(state).has(index));
          if (isIdle(state) && state.tag !== "known") assert.deepEqual(next.requests, []);
        }
      }),
      { numRuns: 500 },
    );
  });
});
