// Goal: a copy that only makes what changed, laid over the earlier one, is what a copy of everything is: as a tree, and
// as a layer. Method: random folders, edits and bases; the clock is ahead, so that nothing counts as just changed.
import assert from "node:assert/strict";
import { lstatSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { copyInto, type CopyResult } from "../../src/layer/copytree.ts";
import { openSnapshotter } from "../../src/snapshot/open.ts";
import type { SnapshotId, Snapshotter } from "../../src/snapshot/snapshotter.ts";
import { type Copies, openCopies } from "../../src/worker/copies.ts";
import { later } from "../rig/clock.ts";
import { mountsBelow } from "../rig/mounts.ts";
import { containerProblem, openStateDir } from "../rig/statedir.ts";
import { describeTree, makeTree, tempDir, type Tree } from "../rig/tree.ts";
import { treeArbitrary } from "../rig/treearbitrary.ts";

const skip = containerProblem() ?? false;

type Edit =
  | { readonly kind: "add"; readonly tree: Tree }
  | { readonly kind: "remove" | "write" | "folder"; readonly which: number }
  | { readonly kind: "rename"; readonly which: number; readonly to: number };

const which = fc.nat({ max: 50 });
const edit: fc.Arbitrary<Edit> = fc.oneof(
  fc.record({ kind: fc.constant("add" as const), tree: treeArbitrary }),
  fc.record({ kind: fc.constantFrom("remove" as const, "write" as const, "folder" as const), which }),
  fc.record({ kind: fc.constant("rename" as const), which, to: which }),
);
const excluded = fc.constantFrom<readonly string[]>([], [], ["a"], ["**/b"], ["a", "!a/b"]);

test("law: a revision is what a copy of everything is", { skip }, async t => {
  const { root, owner } = await openStateDir(t);
  const snapshots = await openSnapshotter(root, owner);
  let revisions = 0;
  const step = fc.record({ edit, excluded });
  await fc.assert(
    fc.asyncProperty(
      fc.option(treeArbitrary, { nil: undefined }),
      treeArbitrary,
      fc.array(step, { minLength: 1, maxLength: 4 }),
      fc.constantFrom("/", "/a/", "/new/deep/"),
      async (base, first, steps, dest) => {
        using dir = tempDir();
        const copies = openCopies(root, owner, snapshots);
        const source = join(dir.path, "source");
        mkdirSync(source);
        await makeTree(source, first);
        const parent = base && (await made(snapshots, undefined, base));
        for (const { edit: next, excluded: excludePatterns } of [undefined, ...steps].map(
          one => one ?? { edit: undefined, excluded: [] },
        )) {
          if (next !== undefined) await apply(source, next);
          const options = { ...FLAGS, srcRoot: source, dest, filter: { excludePatterns } };
          const outcome = await attempt(() => copyOver(snapshots, parent, options, copies));
          const plain = await attempt(() => copyOver(snapshots, parent, options, undefined));
          if (typeof plain === "string" || typeof outcome === "string") {
            assert.equal(outcome, plain);
            continue;
          }
          if (outcome.isRevision) revisions++;
          assert.deepEqual(await toldOf(snapshots, outcome.id), await toldOf(snapshots, plain.id));
          assert.deepEqual(await snapshots.chain(outcome.id), [...(parent ? [parent] : []), outcome.id]);
        }
        assert.deepEqual(mountsBelow(root.path), []);
      },
    ),
    { numRuns: Number(process.env["LAW_RUNS"] ?? 40) },
  );
  assert.ok(revisions > 10, `only ${revisions} revisions`);
});

const FLAGS = {
  src: "/",
  followSymlink: false,
  dirCopyContents: true,
  createDestPath: true,
  allowWildcard: false,
  allowEmptyWildcard: false,
  resetOwner: true,
} as const;

async function copyOver(
  snapshots: Snapshotter,
  parent: SnapshotId | undefined,
  options: Omit<Parameters<typeof copyInto>[0], "destRoot">,
  copies: Copies | undefined,
): Promise<CopyResult & { readonly id: SnapshotId }> {
  return await later(async () => {
    await using active = await snapshots.prepare(parent);
    const parts = await active.parts();
    assert.ok(parts);
    const shared = await copies?.sharing(options.dest, { parent, isAlone: true });
    const result = await copyInto({
      ...options,
      destRoot: parts.own,
      destBelow: parts.below,
      sharing: shared?.sharing,
    });
    if (result.isRevision) {
      assert.ok(shared?.beside !== undefined);
      return { ...result, id: await active.commit({ revisionOf: shared.beside }) };
    }
    shared?.note(active);
    const id = await active.commit();
    await shared?.remember(id);
    return { ...result, id };
  });
}

async function made(snapshots: Snapshotter, parent: SnapshotId | undefined, tree: Tree): Promise<SnapshotId> {
  await using active = await snapshots.prepare(parent);
  await makeTree(active.root, tree);
  return await active.commit();
}

/** The tree, and what the layer holds. */
async function toldOf(snapshots: Snapshotter, id: SnapshotId): Promise<unknown> {
  await using view = await snapshots.view(id);
  await using found = await snapshots.changes(id);
  const lines = await describeTree(view.root, { times: true });
  // Directories made on the way are as old as the copy.
  return [lines.map(line => line.replace(/^(new: .*)@\d+$/, "$1")), found.changes];
}

async function attempt<T>(body: () => Promise<T>): Promise<T | string> {
  try {
    return await body();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function apply(root: string, change: Edit): Promise<void> {
  const paths = pathsBelow(root, "");
  const at = (place: number): string => join(root, paths[place % paths.length] ?? "none");
  try {
    switch (change.kind) {
      case "add":
        for (const [path, node] of Object.entries(change.tree)) {
          const existing = lstatSync(join(root, path), { throwIfNoEntry: false });
          // Writing to a fifo would wait for a reader.
          if (existing?.isFile() === false && !existing.isDirectory()) rmSync(join(root, path));
          await makeTree(root, { [path]: node });
        }
        return;
      case "remove":
        return rmSync(at(change.which), { recursive: true, force: true });
      case "write":
        if (lstatSync(at(change.which), { throwIfNoEntry: false })?.isFile() === true)
          writeFileSync(at(change.which), `written ${change.which}`);
        return;
      case "folder":
        rmSync(at(change.which), { recursive: true, force: true });
        mkdirSync(at(change.which));
        return;
      case "rename":
        return renameSync(at(change.which), at(change.to));
    }
  } catch {
    // Another kind of entry is in the way; the others change enough.
  }
}

/** Sorted; links are not followed. */
function pathsBelow(root: string, folder: string): readonly string[] {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap(entry => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? [path, ...pathsBelow(root, path)] : [path];
    });
}
