// Goal: sharing files with an earlier copy changes nothing about what a copy is, and never reaches the source.
// Method: files that are older than what counts as "just now", by a clock that is ahead.
import assert from "node:assert/strict";
import {
  chmodSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { copyInto } from "../../src/layer/copytree.ts";
import { StatTable } from "../../src/layer/stattable.ts";
import { later } from "../rig/clock.ts";
import { describeTree, isRoot, makeTree, tempDir, type TempDir, type Tree } from "../rig/tree.ts";
import { treeArbitrary } from "../rig/treearbitrary.ts";

const flags = {
  followSymlink: false,
  dirCopyContents: true,
  createDestPath: true,
  allowWildcard: false,
  allowEmptyWildcard: false,
};

/** Versions of a copy, each shared with the one before. */
class Versions {
  readonly #dir: TempDir;
  #count = 0;
  #earlier: { readonly root: string; readonly sources: StatTable } | undefined;

  constructor(dir: TempDir) {
    this.#dir = dir;
    mkdirSync(join(dir.path, "src"));
  }

  get source(): string {
    return join(this.#dir.path, "src");
  }

  /** Copies the source; the record goes through its stored form. */
  async copy(src = "/"): Promise<string> {
    const destRoot = join(this.#dir.path, `v${this.#count++}`);
    mkdirSync(destRoot);
    const sources = new StatTable(0);
    const earlier = this.#earlier && { ...this.#earlier, mayStay: false };
    const sharing = { earlier, sources };
    const allowWildcard = src !== "/";
    await copyInto({ ...flags, allowWildcard, srcRoot: this.source, src, destRoot, dest: "/", sharing });
    const stored = StatTable.decode(sources.encode(), 0);
    assert.ok(stored);
    this.#earlier = { root: destRoot, sources: stored };
    return destRoot;
  }
}

const inode = (...path: string[]): number => lstatSync(join(...path)).ino;

test("files that did not change are one with the earlier copy, others are not", async () => {
  using dir = tempDir();
  const versions = new Versions(dir);
  await makeTree(versions.source, { "d/same": "same", "d/edit": "one", touched: "t", mode: "m", gone: "g" });
  await later(async () => {
    const first = await versions.copy();
    writeFileSync(join(versions.source, "d/edit"), "two");
    utimesSync(join(versions.source, "touched"), 1, 1);
    chmodSync(join(versions.source, "mode"), 0o600);
    rmSync(join(versions.source, "gone"));
    const second = await versions.copy();
    assert.equal(inode(first, "d/same"), inode(second, "d/same"));
    for (const name of ["d/edit", "touched", "mode"])
      assert.notEqual(inode(first, name), inode(second, name), name);
    assert.equal(readFileSync(join(first, "d/edit"), "utf8"), "one");
    assert.equal(readFileSync(join(second, "d/edit"), "utf8"), "two");
    assert.equal(statSync(join(second, "touched")).mtimeMs, 1000);
  });
});

test("what lay over a file in the earlier copy is not taken for that file", async () => {
  const kinds: Readonly<Record<string, (path: string) => void>> = {
    "a file": path => writeFileSync(path, "inner"),
    "a file that counts as just changed": path => {
      writeFileSync(path, "inner");
      utimesSync(path, 4e9, 4e9);
    },
    "a symlink": path => symlinkSync("elsewhere", path),
  };
  for (const [kind, make] of Object.entries(kinds)) {
    using dir = tempDir();
    const versions = new Versions(dir);
    await makeTree(versions.source, { b: "top", "d/other": "" });
    make(join(versions.source, "d/b"));
    await later(async () => {
      await versions.copy("*");
      rmSync(join(versions.source, "d/b"));
      assert.equal(readFileSync(join(await versions.copy("*"), "b"), "utf8"), "top", kind);
    });
  }
});

test("a copy is never linked to its source: edits in place stay there", async () => {
  using dir = tempDir();
  const versions = new Versions(dir);
  const file = join(versions.source, "f");
  writeFileSync(file, "before");
  await later(async () => {
    const first = await versions.copy();
    const second = await versions.copy();
    assert.equal(lstatSync(file).nlink, 1);
    assert.equal(lstatSync(join(second, "f")).nlink, 2);
    const fd = openSync(file, "r+");
    writeSync(fd, "AFTER!");
    closeSync(fd);
    assert.equal(readFileSync(join(first, "f"), "utf8"), "before");
    assert.equal(readFileSync(join(await versions.copy(), "f"), "utf8"), "AFTER!");
    assert.equal(readFileSync(join(second, "f"), "utf8"), "before");
  });
});

test("what changed just now is copied again the next time", async () => {
  using dir = tempDir();
  const versions = new Versions(dir);
  writeFileSync(join(versions.source, "f"), "1");
  const first = await versions.copy();
  assert.notEqual(inode(first, "f"), inode(await versions.copy(), "f"));
});

test("a shared file that is gone, or has as many names as it may, is copied", async () => {
  using dir = tempDir();
  const versions = new Versions(dir);
  writeFileSync(join(versions.source, "f"), "1");
  await later(async () => {
    rmSync(join(await versions.copy(), "f"));
    assert.equal(readFileSync(join(await versions.copy(), "f"), "utf8"), "1");
  });
});

test(
  "law: a shared copy is what a plain copy is, after any change",
  { skip: !isRoot && "needs root" },
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(treeArbitrary, { minLength: 2, maxLength: 3 }), async trees => {
        using dir = tempDir();
        const versions = new Versions(dir);
        await later(async () => {
          for (const tree of trees) {
            await grow(versions.source, tree);
            const shared = await versions.copy();
            const plain = join(dir.path, "plain");
            mkdirSync(plain);
            await copyInto({ ...flags, srcRoot: versions.source, src: "/", destRoot: plain, dest: "/" });
            assert.deepEqual(
              await describeTree(shared, { times: true }),
              await describeTree(plain, { times: true }),
            );
            rmSync(plain, { recursive: true });
          }
        });
      }),
      { numRuns: Number(process.env["LAW_RUNS"] ?? 40) },
    );
  },
);

/** Adds a tree to what is there, where nothing of another kind is in the way. */
async function grow(root: string, tree: Tree): Promise<void> {
  for (const [path, node] of Object.entries(tree)) {
    try {
      const existing = lstatSync(join(root, path), { throwIfNoEntry: false });
      // Writing to a fifo would wait for a reader.
      if (existing?.isFile() === false && !existing.isDirectory()) rmSync(join(root, path));
      await makeTree(root, { [path]: node });
    } catch {
      // Another kind of entry is there; the others change enough.
    }
  }
}

test("sparse files stay sparse", async t => {
  using dir = tempDir();
  const versions = new Versions(dir);
  const file = join(versions.source, "sparse");
  const fd = openSync(file, "w");
  writeSync(fd, "head", 0);
  writeSync(fd, "middle", 8 * 1024 * 1024);
  writeSync(fd, "end", 64 * 1024 * 1024);
  closeSync(fd);
  if (lstatSync(file).blocks * 512 > 1024 * 1024) return t.skip("the file system has no sparse files");
  const copy = join(await versions.copy(), "sparse");
  assert.ok(lstatSync(copy).blocks * 512 <= 1024 * 1024, `${lstatSync(copy).blocks} blocks`);
  assert.ok(readFileSync(copy).equals(readFileSync(file)));
});

test(
  "of attributes, user's ones come along and access lists do not",
  { skip: !isRoot && "needs root" },
  async () => {
    using dir = tempDir();
    const versions = new Versions(dir);
    await makeTree(versions.source, { f: { kind: "file", data: "", xattrs: { "user.one": "1" } } });
    assert.deepEqual(await describeTree(await versions.copy()), ['f: file 644 "" 0:0 user.one=31']);
  },
);
