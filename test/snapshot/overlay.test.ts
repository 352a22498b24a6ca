// Goal: overlays keep the promises of snapshots, at any depth.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openOwner } from "../../src/content/lease.ts";
import { openStateRoot } from "../../src/content/root.ts";
import { openSnapshotter } from "../../src/snapshot/open.ts";
import type { SnapshotId } from "../../src/snapshot/snapshotter.ts";
import { mountsBelow } from "../rig/mounts.ts";
import { containerProblem, openStateDir } from "../rig/statedir.ts";
import { snapshotterContract } from "./contract.ts";

const skip = containerProblem() ?? false;

snapshotterContract("overlay", skip);

test(
  "a chain of 210 snapshots mounts, whatever the length of the options, and the working directory stays",
  { skip },
  async t => {
    const { root, owner } = await openStateDir(t);
    const snapshots = await openSnapshotter(root, owner);
    const before = process.cwd();
    let id: SnapshotId | undefined;
    for (let i = 0; i < 210; i++) {
      await using active = await snapshots.prepare(id);
      writeFileSync(join(active.root, `f${i}`), String(i));
      id = await active.commit({ name: `layer ${i}` });
    }
    assert.ok(id !== undefined);
    {
      await using view = await snapshots.view(id);
      assert.equal(readdirSync(view.root).length, 210);
      assert.equal(readFileSync(join(view.root, "f0"), "utf8"), "0");
    }
    assert.equal((await snapshots.chain(id)).length, 210);
    assert.equal(process.cwd(), before);
    assert.deepEqual(mountsBelow(root.path), []);
  },
);

test("a state directory with commas, colons and backslashes in its path works", { skip }, async () => {
  const path = mkdtempSync(join(tmpdir(), "llbake, a:b\\c "));
  try {
    const root = await openStateRoot(path);
    await using owner = await openOwner(root);
    const snapshots = await openSnapshotter(root, owner);
    assert.equal(snapshots.kind, "overlay");
    await using first = await snapshots.prepare(undefined);
    writeFileSync(join(first.root, "f"), "");
    await using second = await snapshots.prepare(await first.commit());
    assert.deepEqual(readdirSync(second.root), ["f"]);
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
});
