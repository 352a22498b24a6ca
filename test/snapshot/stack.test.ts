// Goal: what is read of a snapshot's folders without a mount is what a mount of them shows.
// Method: random trees, each made in place of part of the one before; the kernel's overlay is the witness.
import assert from "node:assert/strict";
import { lstatSync, readdirSync, readlinkSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { SeenFolders, walkStack } from "../../src/layer/stack.ts";
import { createTreeView } from "../../src/layer/view.ts";
import { type WalkEntry, walkTree } from "../../src/layer/walk.ts";
import { isPortableXattr, loadXattrs } from "../../src/layer/xattr.ts";
import { openSnapshots } from "../../src/snapshot/open.ts";
import type { SnapshotId } from "../../src/snapshot/snapshotter.ts";
import { containerProblem, openStateDir } from "../rig/statedir.ts";
import { isRoot, makeTree, type Tree } from "../rig/tree.ts";
import { treeArbitrary } from "../rig/treearbitrary.ts";

const RUNS = Number(process.env["LLBAKE_STACK_RUNS"] ?? 40);

async function described(
  entries: AsyncIterable<WalkEntry> | Iterable<WalkEntry>,
): Promise<readonly unknown[]> {
  const xattrs = await loadXattrs();
  const lines = [];
  for await (const { path, absolute, kind, stats, link, isPlain } of entries) {
    const attributes = xattrs.read(absolute, isPortableXattr);
    if (isPlain !== undefined) assert.equal(isPlain, attributes.length === 0);
    const { mode, uid, gid, mtimeNs, rdev, nlink } = stats;
    lines.push({
      ...{ path, kind, mode, uid, gid, mtimeNs, rdev },
      // Overlayfs counts the links of directories in its own way.
      ...(kind !== "directory" && { nlink }),
      content:
        kind === "file"
          ? readFileSync(absolute, "latin1")
          : kind === "symlink" && (link ?? readlinkSync(absolute)),
      xattrs: attributes,
    });
  }
  return lines;
}

/** Only what does not meet anything that is there already. */
function fitting(tree: Tree, taken: ReadonlySet<string>): Tree {
  const isFree = (path: string): boolean => !taken.has(path.split("/")[0] ?? "");
  const free = Object.entries(tree).filter(([path]) => isFree(path));
  const isLost = (node: Tree[string]): boolean =>
    typeof node !== "string" && node.kind === "link" && !isFree(node.to);
  return Object.fromEntries(free.filter(([, node]) => !isLost(node)));
}

for (const kind of ["overlay", "native"] as const) {
  const skip = kind === "overlay" ? (containerProblem() ?? false) : !isRoot && "needs root for owners";
  test(
    `${kind}: the folders of a snapshot read as one tree are what a view of it shows`,
    { skip },
    async t => {
      const state = await openStateDir(t);
      const { snapshotter: s } = await openSnapshots(state.root, state.owner, { kind });
      const version = fc.record({
        tree: treeArbitrary,
        removed: fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(version, { minLength: 2, maxLength: 4 }), async versions => {
          let id: SnapshotId | undefined;
          const seen = new SeenFolders({ isShared: true });
          for (const { tree, removed } of versions) {
            await using active = await s.prepare(id);
            for (const [index, name] of readdirSync(active.root).entries()) {
              const path = join(active.root, name);
              if (removed[index % removed.length] === true) rmSync(path, { recursive: true });
              // Of the others what is inside goes, so that directories are merged of several folders.
              else for (const inner of innerNames(path)) rmSync(join(path, inner), { recursive: true });
            }
            await makeTree(active.root, fitting(tree, new Set(readdirSync(active.root))));
            id = await active.commit();
            await using view = await s.view(id);
            const wanted = await described(walkTree(createTreeView(view.root)));
            const stack = await s.stack(id);
            assert.deepEqual(await described(await walkStack(stack)), wanted);
            // Snapshots stay as they are: what was seen of those below holds.
            assert.deepEqual(await described(await walkStack(stack, seen)), wanted);
          }
        }),
        { numRuns: RUNS },
      );
    },
  );
}

function innerNames(path: string): readonly string[] {
  return lstatSync(path).isDirectory() ? readdirSync(path).slice(0, 1) : [];
}
