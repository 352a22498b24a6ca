// Goal: a copy of what was seen makes just that, and looking again at what it read tells whether it still is so.
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { hashPaths, isAsListed, type ListedMatch } from "../../src/layer/contenthash.ts";
import { copyInto, type CopyResult } from "../../src/layer/copytree.ts";
import type { CopySharing } from "../../src/layer/filecopy.ts";
import { StatTable } from "../../src/layer/stattable.ts";
import { atOnce, later } from "../rig/clock.ts";
import { describeTree, makeTree, type TempDir, tempDir } from "../rig/tree.ts";

const flags = {
  src: "/",
  dest: "/",
  followSymlink: false,
  dirCopyContents: true,
  createDestPath: true,
  allowWildcard: false,
  allowEmptyWildcard: false,
};

async function look(root: string): Promise<ListedMatch> {
  const selector = { path: "/", wildcard: false, followSymlink: false };
  const { listed } = await hashPaths(root, [selector], undefined, { list: true });
  const match = listed[0]?.[0];
  assert.ok(match);
  return match;
}

/** A source that is old enough, by a clock that is ahead. */
async function withSource(body: (dir: TempDir, source: string) => Promise<void>): Promise<void> {
  using dir = tempDir();
  const source = join(dir.path, "source");
  mkdirSync(source);
  await makeTree(source, {
    a: "1",
    b: "1",
    "d/c": "1",
    "d/link": { kind: "symlink", target: "c" },
    other: { kind: "link", to: "a" },
  });
  await later(() => body(dir, source));
}

function copyOf(
  srcRoot: string,
  destRoot: string,
  seen: ListedMatch,
  sharing?: CopySharing,
): Promise<CopyResult> {
  mkdirSync(destRoot);
  return copyInto({ ...flags, srcRoot, destRoot, listed: [seen], sharing });
}

test("a copy of what was seen is what a copy is, and is not looked for elsewhere", async () => {
  await withSource(async ({ path }, source) => {
    const seen = await look(source);
    writeFileSync(join(source, "new"), "");
    await copyOf(source, join(path, "copy"), seen);
    // Its directory was read and is another now: only another walk can tell what that means.
    assert.equal(await isAsListed(seen), false);
    rmSync(join(source, "new"));
    assert.deepEqual(await describeTree(join(path, "copy")), await describeTree(source));
  });
});

test("only what was read is looked at again: the rest is as it was keyed", async () => {
  await withSource(async ({ path }, source) => {
    const sources = new StatTable(0);
    const first = join(path, "first");
    await copyOf(source, first, await look(source), { earlier: undefined, sources });
    const earlier = { root: first, sources, mayStay: true };
    writeFileSync(join(source, "b"), "2");
    const seen = await look(source);
    writeFileSync(join(source, "d/c"), "later");
    const second = join(path, "second");
    const result = await copyOf(source, second, seen, { earlier, sources: new StatTable(0) });
    assert.ok(result.isRevision);
    assert.deepEqual(readdirSync(second), ["b"]);
    assert.equal(readFileSync(join(second, "b"), "utf8"), "2");
    assert.ok(await isAsListed(seen));
  });
});

test("what changed since it was seen is noticed", async () => {
  const changes: readonly ((source: string) => void)[] = [
    source => writeFileSync(join(source, "b"), "2"),
    source => chmodSync(join(source, "b"), 0o600),
    source => rmSync(join(source, "d"), { recursive: true }),
    source => {
      rmSync(join(source, "d"), { recursive: true });
      writeFileSync(join(source, "d"), "");
    },
  ];
  for (const change of changes)
    await withSource(async ({ path }, source) => {
      const seen = await look(source);
      await copyOf(source, join(path, "copy"), seen);
      assert.ok(await isAsListed(seen));
      change(source);
      assert.equal(await isAsListed(seen), false);
    });
});

test("files that had just changed are read again", async () => {
  using dir = tempDir();
  const source = join(dir.path, "source");
  mkdirSync(source);
  const seen = await atOnce(async () => {
    await makeTree(source, { file: "new" });
    return await look(source);
  });
  await copyOf(source, join(dir.path, "copy"), seen);
  assert.ok(await isAsListed(seen));
  // As if the times had not moved with another edit.
  const doubtful = new Map([...seen.doubtful].map(([at]) => [at, "digest of other bytes"]));
  assert.ok(doubtful.size > 0);
  assert.equal(await isAsListed({ ...seen, doubtful }), false);
});
