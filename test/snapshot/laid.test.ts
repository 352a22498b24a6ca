// Goal: whatever two trees are, the difference laid over the lower one is the upper one: at once, by way of a snapshot
// of its own, and as the tar of a layer. Method: random trees, on both ways of keeping snapshots.
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { applyLayer } from "../../src/layer/apply.ts";
import { packLayer } from "../../src/layer/pack.ts";
import { openSnapshots } from "../../src/snapshot/open.ts";
import type { SnapshotId, Snapshotter } from "../../src/snapshot/snapshotter.ts";
import { mountsBelow } from "../rig/mounts.ts";
import { containerProblem, inTheMaking, openStateDir } from "../rig/statedir.ts";
import { describeTree, isRoot, makeTree, tempDir, type Tree } from "../rig/tree.ts";
import { treeArbitrary } from "../rig/treearbitrary.ts";

const RUNS = Number(process.env["LLBAKE_LAID_RUNS"] ?? 20);
const { signal } = new AbortController();

/** Which names are of one file is left out: of files that did not change it is what it was. */
async function described(root: string): Promise<readonly string[]> {
  return (await describeTree(root)).map(line => line.replace(/ = .*$/, ""));
}

for (const kind of ["overlay", "native"] as const) {
  const skip = kind === "overlay" ? (containerProblem() ?? false) : !isRoot && "needs root for owners";
  test(`${kind}: a difference laid over the lower tree is the upper tree`, { skip }, async t => {
    const state = await openStateDir(t);
    const { snapshotter: s } = await openSnapshots(state.root, state.owner, { kind });
    const from = async (parent: SnapshotId | undefined, tree: Tree): Promise<SnapshotId> => {
      await using active = await s.prepare(parent);
      for (const name of readdirSync(active.root)) rmSync(join(active.root, name), { recursive: true });
      await makeTree(active.root, tree);
      return await active.commit();
    };
    const seen = async (id: SnapshotId): Promise<readonly string[]> => {
      await using view = await s.view(id);
      return await described(view.root);
    };
    const laidOver = async (
      base: SnapshotId | undefined,
      changes: ReturnType<Snapshotter["changes"]>,
    ): Promise<SnapshotId> => {
      await using given = await changes;
      return await s.lay(base, given, signal);
    };
    await fc.assert(
      fc.asyncProperty(treeArbitrary, treeArbitrary, treeArbitrary, async (before, after, other) => {
        const lower = await from(undefined, before);
        const upper = await from(undefined, after);
        const wanted = await seen(upper);
        assert.deepEqual(await seen(await laidOver(lower, s.difference(lower, upper))), wanted);

        const alone = await laidOver(undefined, s.difference(lower, upper));
        const again = await laidOver(await from(undefined, other), s.changes(alone));
        assert.deepEqual(await seen(await laidOver(lower, s.changes(again))), wanted);

        // The same as a layer, made of the lower tree.
        const child = await from(lower, after);
        assert.deepEqual(await seen(await laidOver(lower, s.changes(child))), wanted);

        for (const id of [alone, again, child]) {
          using unpacked = tempDir();
          const root = join(unpacked.path, "root");
          mkdirSync(root);
          await makeTree(root, before);
          await using changes = await s.changes(id);
          await applyLayer(packLayer({ root: changes.root, changes: changes.changes }), root);
          assert.deepEqual(await described(root), wanted);
        }
      }),
      { numRuns: RUNS },
    );
    assert.deepEqual(mountsBelow(state.root.path), []);
    assert.deepEqual(inTheMaking(state.owner, "active"), []);
  });
}
