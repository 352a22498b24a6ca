// Goal: a copy into the upper directory of an overlay gives the tree that a copy into the whole tree gives.
// Method: random sources and trees to copy into; the same copies into a whole tree, and into an upper directory that is
// then mounted over the other.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { loadLibc } from "../../src/content/libc.ts";
import { copyInto } from "../../src/layer/copytree.ts";
import { mountOverlay, unmount } from "../../src/snapshot/mount.ts";
import { describeTree, isRoot, makeTree, tempDir, type Tree } from "../rig/tree.ts";
import { treeArbitrary } from "../rig/treearbitrary.ts";

const flags = {
  followSymlink: true,
  dirCopyContents: true,
  createDestPath: true,
  allowWildcard: true,
  allowEmptyWildcard: true,
};

const copies = fc.array(
  fc.record({
    src: fc.constantFrom("/", "a", "b", "*", "c/*"),
    dest: fc.constantFrom("/", "/a", "/a/", "/b/c/", "/c"),
    owner: fc.option(fc.constant({ uid: 3, gid: 4 }), { nil: undefined }),
    mode: fc.option(fc.constant(0o710), { nil: undefined, freq: 4 }),
  }),
  { minLength: 1, maxLength: 3 },
);

test(
  "law: copying into a layer and into a tree is the same",
  { skip: !isRoot && "needs the right to mount" },
  async () => {
    const libc = await loadLibc();
    await fc.assert(
      fc.asyncProperty(treeArbitrary, treeArbitrary, copies, async (source, below, actions) => {
        using dir = tempDir();
        const at = (name: string): string => join(dir.path, name);
        for (const name of ["src", "below", "whole", "upper", "work", "merged"]) mkdirSync(at(name));
        await fill(at("src"), source);
        await fill(at("below"), below);
        await fill(at("whole"), below);
        const copyAll = async (place: { destRoot: string; destBelow?: string }): Promise<string> => {
          try {
            for (const action of actions)
              await copyInto({ ...flags, srcRoot: at("src"), ...place, ...action });
            return "copied";
          } catch (thrown) {
            return thrown instanceof Error ? thrown.message : "failed";
          }
        };
        const outcome = await copyAll({ destRoot: at("whole") });
        assert.equal(await copyAll({ destRoot: at("upper"), destBelow: at("below") }), outcome);
        if (outcome !== "copied") return;
        const layers = `lowerdir=${at("below")},upperdir=${at("upper")},workdir=${at("work")}`;
        mountOverlay(libc, at("merged"), `${layers},index=off`);
        try {
          assert.deepEqual(await describe(at("merged")), await describe(at("whole")));
        } finally {
          unmount(libc, at("merged"));
        }
      }),
      { numRuns: Number(process.env["LAW_RUNS"] ?? 60) },
    );
  },
);

async function fill(root: string, tree: Tree): Promise<void> {
  await makeTree(root, tree);
}

/** Names of the same file are told apart: copying up breaks hard links of the tree below, as overlays do. */
async function describe(root: string): Promise<readonly string[]> {
  return (await describeTree(root)).map(line => line.replace(/ = \S+$/, ""));
}
