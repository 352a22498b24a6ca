// Goal: however many variables are set, a state lists them as a plain map would. Law, against that map.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { withEnv } from "../../../src/llb/builder/environment.ts";

test("variables are listed in the order they were last set, and earlier states keep theirs", () => {
  const name = fc.nat(700).map(number => `N${number}`);
  fc.assert(
    fc.property(fc.array(fc.tuple(name, fc.string()), { maxLength: 1500, size: "max" }), changes => {
      const plain = new Map<string, string>();
      const kept: (readonly [ReadonlyMap<string, string>, string])[] = [];
      let env: ReadonlyMap<string, string> = new Map();
      for (const [index, [key, value]] of changes.entries()) {
        env = withEnv(env, { [key]: value });
        plain.delete(key);
        plain.set(key, value);
        assert.equal(env.get(key), value);
        if (index % 300 === 0) kept.push([env, JSON.stringify([...plain])]);
      }
      kept.push([env, JSON.stringify([...plain])]);
      for (const [state, expected] of kept) {
        assert.equal(JSON.stringify([...state]), expected);
        assert.equal(state.size, [...state.keys()].length);
        assert.ok([...state.keys()].every(key => state.has(key)));
      }
    }),
    { numRuns: 30 },
  );
});

test("setting many variables takes time in proportion", () => {
  const count = 50_000;
  let env: ReadonlyMap<string, string> = new Map();
  // Of the processor: others may be busy too.
  const start = process.cpuUsage();
  for (let i = 0; i < count; i++) env = withEnv(env, { [`N${i}`]: "" });
  assert.equal(env.size, count);
  // Copying the whole map each time took minutes.
  const { user, system } = process.cpuUsage(start);
  assert.ok(user + system < 20_000_000, `took ${user + system} µs`);
});
