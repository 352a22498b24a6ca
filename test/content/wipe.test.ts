// Goal: a state directory without results is emptied to the last byte, and nobody who enters at that moment notices.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openOwner } from "../../src/content/lease.ts";
import { openStateRoot } from "../../src/content/root.ts";
import { wipeStateRoot } from "../../src/content/wipe.ts";
import { temporaryFolder } from "../rig/statedir.ts";

test("records go, and the folder is empty", async t => {
  const root = await openStateRoot(join(temporaryFolder(t), "state"));
  writeFileSync(join(root.journals, "cache.log"), "x");
  writeFileSync(join(root.facts, "stats"), "x");
  await wipeStateRoot(root);
  assert.deepEqual(readdirSync(root.path), []);
});

test("a directory with results, or with somebody in it, stays", async t => {
  const root = await openStateRoot(join(temporaryFolder(t), "state"));
  mkdirSync(join(root.snapshots, "x"));
  await wipeStateRoot(root);
  assert.ok(existsSync(join(root.snapshots, "x")) && existsSync(join(root.path, "version")));
  const other = await openStateRoot(join(temporaryFolder(t), "state"));
  await using owner = await openOwner(other);
  await wipeStateRoot(other);
  assert.ok(existsSync(owner.path) && existsSync(join(other.path, "version")));
});

test("who opened the directory before it was taken down enters all the same", async t => {
  const root = await openStateRoot(join(temporaryFolder(t), "state"));
  await wipeStateRoot(root);
  await using owner = await openOwner(root);
  assert.ok(existsSync(owner.path) && existsSync(join(root.path, "version")) && existsSync(root.journals));
});

test("opening, entering and taking down at once never fails", async t => {
  const path = join(temporaryFolder(t), "state");
  const enter = async (): Promise<void> => {
    for (let round = 0; round < 15; round++) {
      const root = await openStateRoot(path);
      await using owner = await openOwner(root);
      owner.lease("blob", "x");
      assert.ok(existsSync(owner.path));
    }
  };
  const wipe = async (): Promise<void> => {
    for (let round = 0; round < 60; round++) await wipeStateRoot(await openStateRoot(path));
  };
  await Promise.all([enter(), enter(), enter(), wipe(), wipe()]);
  await wipeStateRoot(await openStateRoot(path));
  assert.deepEqual(readdirSync(path), []);
});
