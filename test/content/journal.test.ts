// Goal: a log survives anything that happens to its file, and processes that write at once lose nothing.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { openJournal, type Journal } from "../../src/content/journal.ts";
import { openStateDir, type StateDir } from "../rig/statedir.ts";

const codec = {
  encode: (record: string) => record,
  decode: (value: unknown) => (typeof value === "string" ? value : undefined),
};

async function open(
  t: TestContext,
): Promise<{ state: StateDir; journal: Journal<string>; again: () => Journal<string>; path: string }> {
  const state = await openStateDir(t);
  const again = (): Journal<string> => openJournal(state.root, state.owner, "test", codec);
  return { state, journal: again(), again, path: join(state.root.journals, "test.log") };
}

test("a log that does not exist is empty", async t => {
  const { journal } = await open(t);
  assert.deepEqual(await journal.refresh(), { records: [], restarted: false, damaged: 0 });
});

test("refresh gives what was added since, by this journal or another", async t => {
  const { journal, again } = await open(t);
  await journal.append("a");
  const other = again();
  assert.deepEqual((await other.refresh()).records, ["a"]);
  await other.appendAll(["b\nwith a newline", "ü"]);
  assert.deepEqual((await journal.refresh()).records, ["a", "b\nwith a newline", "ü"]);
  assert.deepEqual((await other.refresh()).records, ["b\nwith a newline", "ü"]);
  assert.deepEqual((await other.refresh()).records, []);
});

test("cut at any byte, the log gives all records before the cut and takes new ones", async t => {
  const { journal, again, path } = await open(t);
  await journal.appendAll(["one", "two"]);
  await journal.append("three");
  const whole = readFileSync(path);
  for (let length = 0; length <= whole.length; length++) {
    writeFileSync(path, whole.subarray(0, length));
    const before = (await again().refresh()).records;
    assert.deepEqual(before, ["one", "two", "three"].slice(0, before.length), `cut at ${length}`);
    await again().append("new");
    const after = (await again().refresh()).records;
    assert.equal(after.at(-1), "new", `cut at ${length}`);
    // The line whose newline alone was cut off is whole again.
    assert.ok(after.length === before.length + 1 || after.length === before.length + 2, `cut at ${length}`);
  }
});

test("any flipped byte costs at most two records, and none is ever wrong", async t => {
  const { journal, again, path } = await open(t);
  const records = ["alpha", "beta", "gamma"];
  await journal.appendAll(records);
  const whole = readFileSync(path);
  for (let at = 0; at < whole.length; at++) {
    const bent = Buffer.from(whole);
    bent[at] = (bent[at] ?? 0) ^ 0x15;
    writeFileSync(path, bent);
    const found = await again().refresh();
    assert.ok(
      found.records.every(record => records.includes(record)),
      `byte ${at}`,
    );
    assert.ok(found.records.length >= records.length - 2, `byte ${at}`);
  }
});

test("compaction keeps what is asked for, and readers start again", async t => {
  const { journal, again } = await open(t);
  const reader = again();
  for (let i = 0; i < 10; i++) await journal.append(`r${i}`);
  assert.equal((await reader.refresh()).records.length, 10);
  await journal.compact(records => records.filter(record => record > "r7"));
  await journal.append("late");
  assert.deepEqual(await reader.refresh(), { records: ["r8", "r9", "late"], restarted: true, damaged: 0 });
});

test("two processes that append while a third compacts lose nothing", async t => {
  const { state, journal } = await open(t);
  const script = fileURLToPath(new URL("./journalwriter.ts", import.meta.url));
  const count = 100;
  const children = ["x", "y"].map(name =>
    spawn(process.execPath, ["--import", "tsx", script, state.root.path, name, String(count)], {
      stdio: "inherit",
    }),
  );
  const ends = children.map(child => once(child, "exit"));
  let running = true;
  const all = Promise.all(ends).then(() => {
    running = false;
  });
  while (running) {
    await journal.compact(records => records);
    await new Promise(resolve => setImmediate(resolve));
  }
  await all;
  assert.deepEqual(
    children.map(child => child.exitCode),
    [0, 0],
  );
  const { records, damaged } = await openJournal(state.root, state.owner, "test", codec).refresh();
  assert.equal(damaged, 0);
  for (const name of ["x", "y"]) {
    const own = records.filter(record => record.startsWith(name));
    assert.deepEqual(
      own,
      Array.from({ length: count }, (_, i) => `${name}${i}`),
    );
  }
});
