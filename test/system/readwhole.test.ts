// Goal: what is read whole is read, whatever kind of file it is, and waiting for a pipe can be given up.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { readWhole } from "../../src/system/readwhole.ts";
import { temporaryFolder } from "../rig/statedir.ts";

test("a file's bytes are read; what is none is the system's error", async t => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, "f"), "text\n");
  mkdirSync(join(folder, "d"));
  assert.equal((await readWhole(join(folder, "f"))).toString(), "text\n");
  assert.match((await readWhole("/proc/self/status")).toString(), /^Name:/);
  await assert.rejects(readWhole(join(folder, "none")), { code: "ENOENT" });
  await assert.rejects(readWhole(join(folder, "f", "x")), { code: "ENOTDIR" });
  await assert.rejects(readWhole(join(folder, "d")), { code: "EISDIR" });
  await assert.rejects(readWhole(join(folder, "f"), { signal: AbortSignal.abort() }), { name: "AbortError" });
});

test("a pipe is waited for, while everything else goes on", async t => {
  const fifo = join(temporaryFolder(t), "fifo");
  execFileSync("mkfifo", [fifo]);
  const reading = readWhole(fifo);
  const writer = await open(fifo, "w");
  await writer.write("late");
  await writer.close();
  assert.equal((await reading).toString(), "late");
});
