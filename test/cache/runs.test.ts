// Goal: the last run of a target can be read again, whatever else lies in the folder.
import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { findEarlier } from "../../src/cache/earlier.ts";
import { openRunHistory, type RunRecord } from "../../src/cache/runs.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { openStateDir } from "../rig/statedir.ts";

const run: RunRecord = {
  target: "app",
  endedAt: 1_700_000_000_000,
  succeeded: true,
  steps: [
    { id: digestOf("a"), name: "[1/2] COPY . .", verdict: { tag: "ran", reason: 'file "a" changed' } },
    { id: digestOf("b"), name: "[2/2] RUN make", verdict: { tag: "unknown", until: "[1/2] COPY . ." } },
    { id: digestOf("c"), name: "context", verdict: { tag: "read" } },
  ],
  caches: ["c1"],
};

test("a run is remembered by definition and target, the newest of each", async t => {
  const { root, owner } = await openStateDir(t);
  const history = openRunHistory(root, owner);
  assert.equal(await history.read("bake.hcl", "app"), undefined);
  await history.write("bake.hcl", { ...run, succeeded: false });
  await history.write("bake.hcl", run);
  await history.write("other.hcl", { ...run, steps: [] });
  assert.deepEqual(await history.read("bake.hcl", "app"), run);
  assert.deepEqual((await history.read("other.hcl", "app"))?.steps, []);
  assert.equal(await history.read("bake.hcl", "web"), undefined);
});

test("a damaged record is one that does not exist, and is replaced", async t => {
  const { root, owner } = await openStateDir(t);
  const history = openRunHistory(root, owner);
  await history.write("bake.hcl", run);
  const [name = ""] = readdirSync(join(root.path, "runs"));
  for (const text of [
    "",
    "{",
    "null",
    '{"target":"app","endedAt":1,"succeeded":true,"steps":[{"id":"x"}]}',
  ]) {
    writeFileSync(join(root.path, "runs", name), text);
    assert.equal(await history.read("bake.hcl", "app"), undefined, text);
  }
  await history.write("bake.hcl", run);
  assert.deepEqual(await history.read("bake.hcl", "app"), run);
});

test("a history that cannot be written fails nothing", async t => {
  const { root, owner } = await openStateDir(t);
  writeFileSync(join(root.path, "runs"), "not a folder");
  const history = openRunHistory(root, owner);
  await history.write("bake.hcl", run);
  assert.equal(await history.read("bake.hcl", "app"), undefined);
});

test("a step continues the one of its name, of its text, or at its place", () => {
  const names = ["[base 1/2] COPY a .", "[base 2/2] RUN make", "[build 1/2] RUN make", "[2/3] RUN test"];
  const steps = names.map(name => ({ id: digestOf(name), name, verdict: { tag: "cached" } as const }));
  const continued = (name: string): string | undefined => {
    return findEarlier(steps, { id: digestOf(`new ${name}`), name })?.name;
  };
  assert.equal(continued("[build 1/2] RUN make"), "[build 1/2] RUN make");
  assert.equal(continued("[base 3/3] RUN make"), "[base 2/2] RUN make", "moved");
  assert.equal(continued("[base 2/2] RUN make all"), "[base 2/2] RUN make", "changed");
  assert.equal(continued("[2/4] RUN true"), "[2/3] RUN test", "a stage without a name");
  assert.equal(continued("[base 1/2] RUN make all"), undefined, "another instruction is at its place");
  assert.equal(continued("[other 1/2] RUN make all"), undefined);
  assert.equal(continued("merge (a, b)"), undefined);
});
