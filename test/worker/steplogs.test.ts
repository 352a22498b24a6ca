// Goal: the whole output of every step is found on disk, and old logs do not pile up.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { openOwner } from "../../src/content/lease.ts";
import { openStateRoot } from "../../src/content/root.ts";
import { openStepLogs } from "../../src/worker/steplogs.ts";
import { tempDir } from "../rig/tree.ts";

test("every step has a file of its own with all of its bytes; a silent one has none", async () => {
  using dir = tempDir();
  const root = await openStateRoot(dir.path);
  await using owner = await openOwner(root);
  const logs = openStepLogs(root, owner, { now: () => Date.UTC(2030, 0, 2, 3, 4, 5) });
  const [loud, silent, other] = [logs.open("make -j4 all"), logs.open("true"), logs.open("/bin/x")];
  loud.write(Buffer.from([0xff, 0x00]));
  other.write(Buffer.from("b"));
  loud.write(Buffer.from("a\n"));
  assert.equal(silent.close(), undefined);
  const file = loud.close();
  assert.equal(
    file,
    path.join(dir.path, "logs", `2030-01-02T03-04-05.${process.pid}`, "001-make-j4-all.log"),
  );
  assert.deepEqual(readFileSync(file), Buffer.from([0xff, 0x00, 0x61, 0x0a]));
  assert.match(other.close() ?? "", /002-bin-x\.log$/);
});

test("logs of the latest runs are kept, and those of living processes", async () => {
  using dir = tempDir();
  const root = await openStateRoot(dir.path);
  await using owner = await openOwner(root);
  const folder = path.join(dir.path, "logs");
  const ended = Array.from({ length: 30 }, (_, index) => `2020-01-01T00-00-${10 + index}.99999999`);
  const alive = `2019-01-01T00-00-00.${process.pid}`;
  for (const name of [...ended, alive]) mkdirSync(path.join(folder, name), { recursive: true });
  const log = openStepLogs(root, owner, { now: () => Date.UTC(2030, 0, 1) }).open("x");
  log.write(Buffer.from("x"));
  log.close();
  assert.deepEqual(
    readdirSync(folder).sort(),
    [alive, ...ended.slice(-19), `2030-01-01T00-00-00.${process.pid}`].sort(),
  );
});

test("a log that cannot be written is no failure of the step", async () => {
  using dir = tempDir();
  const root = await openStateRoot(dir.path);
  await using owner = await openOwner(root);
  const gone = { ...root, path: path.join(dir.path, "version") };
  const log = openStepLogs(gone, owner, { now: Date.now }).open("x");
  log.write(Buffer.from("x"));
  assert.equal(log.close(), undefined);
  assert.ok(!existsSync(path.join(dir.path, "logs")));
});
