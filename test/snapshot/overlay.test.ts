// Goal: overlays keep the promises of snapshots, at any depth.
import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
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

const mountPoints = { folders: ["proc", "dev", "dev/pts"], files: ["etc/hosts"] };

test("mount points are there while a tree is mounted, and in no snapshot", { skip }, async t => {
  const { root, owner } = await openStateDir(t);
  const snapshots = await openSnapshotter(root, owner);
  const base = await snapshots.prepare(undefined);
  writeFileSync(join(base.root, "f"), "");
  let id = await base.commit();
  const step = async (work: (root: string) => void): Promise<readonly string[]> => {
    await using active = await snapshots.prepare(id, mountPoints);
    work(active.root);
    id = await active.commit();
    await using changes = await snapshots.changes(id);
    return changes.changes.map(({ kind, path }) => `${kind} ${path}`);
  };
  const nothing = await step(tree => {
    assert.deepEqual(readdirSync(tree).sort(), ["dev", "etc", "f", "proc"]);
    assert.deepEqual(readdirSync(join(tree, "dev")), ["pts"]);
    assert.equal(readFileSync(join(tree, "etc/hosts"), "utf8"), "");
    // What comes and goes in a folder that is not the step's leaves no folder behind.
    mkdirSync(join(tree, "etc/deeper"));
    writeFileSync(join(tree, "etc/deeper/x"), "");
    writeFileSync(join(tree, "dev/x"), "");
    rmSync(join(tree, "etc/deeper"), { recursive: true });
    rmSync(join(tree, "dev/x"));
  });
  assert.deepEqual(nothing, []);
  {
    await using view = await snapshots.view(id);
    assert.deepEqual(readdirSync(view.root), ["f"]);
  }
  const own = await step(tree => writeFileSync(join(tree, "etc/motd"), "hello"));
  assert.deepEqual(own, ["upsert etc", "upsert etc/motd"]);
  // The step's own folder stays, empty or not.
  assert.deepEqual(await step(tree => rmSync(join(tree, "etc/motd"))), ["delete etc/motd"]);
  assert.deepEqual(await step(() => undefined), []);
  await using view = await snapshots.view(id);
  assert.deepEqual(readdirSync(view.root).sort(), ["etc", "f"]);
  assert.deepEqual(readdirSync(join(view.root, "etc")), []);
});

test("what a tree has in the place of mount points is not hidden by them", { skip }, async t => {
  const { root, owner } = await openStateDir(t);
  const snapshots = await openSnapshotter(root, owner);
  const base = await snapshots.prepare(undefined);
  symlinkSync("usr/etc", join(base.root, "etc"));
  writeFileSync(join(base.root, "proc"), "a file");
  mkdirSync(join(base.root, "dev"));
  writeFileSync(join(base.root, "dev/pts"), "another");
  const first = await base.commit();
  const removing = await snapshots.prepare(first, mountPoints);
  assert.equal(readlinkSync(join(removing.root, "etc")), "usr/etc");
  assert.equal(readFileSync(join(removing.root, "proc"), "utf8"), "a file");
  assert.equal(readFileSync(join(removing.root, "dev/pts"), "utf8"), "another");
  rmSync(join(removing.root, "dev"), { recursive: true });
  rmSync(join(removing.root, "proc"));
  const second = await removing.commit();
  await using after = await snapshots.prepare(second, mountPoints);
  assert.deepEqual(readdirSync(after.root), ["etc"]);
  await using changes = await snapshots.changes(second);
  assert.deepEqual(
    changes.changes.map(({ kind, path }) => `${kind} ${path}`),
    ["delete dev", "delete proc"],
  );
});

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
