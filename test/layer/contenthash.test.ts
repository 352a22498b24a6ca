// A content digest changes when and only when what a copy would see changes.
import assert from "node:assert/strict";
import {
  chmodSync,
  lchownSync,
  linkSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { hashPaths, type PathSelector } from "../../src/layer/contenthash.ts";
import type { KnownFile, StatCache } from "../../src/layer/filehash.ts";
import type { FileIdentity } from "../../src/layer/stattable.ts";
import type { TreeFilter } from "../../src/layer/view.ts";
import { loadXattrs } from "../../src/layer/xattr.ts";
import { atOnce, later } from "../rig/clock.ts";
import { describeTree, isRoot, makeTree, tempDir, type Tree } from "../rig/tree.ts";
import { withoutRights } from "../rig/user.ts";
import { treeArbitrary } from "../rig/treearbitrary.ts";

const all: PathSelector = { path: "/", wildcard: false, followSymlink: false };

function only(path: string, more: Partial<PathSelector> = {}): PathSelector {
  return { path, wildcard: false, followSymlink: true, ...more };
}

async function digest(
  tree: Tree,
  selectors: readonly PathSelector[] = [all],
  filter?: TreeFilter,
): Promise<string> {
  using dir = tempDir();
  await makeTree(dir.path, tree);
  return (await hashPaths(dir.path, selectors, filter)).digest;
}

function memoryCache(): StatCache & { readonly entries: Map<string, KnownFile>; hits: number } {
  const entries = new Map<string, KnownFile>();
  const key = (absolute: string, { dev, ino, size, mtimeNs, ctimeNs }: FileIdentity): string =>
    [absolute, dev, ino, size, mtimeNs, ctimeNs].join(" ");
  return {
    entries,
    hits: 0,
    get(absolute, stats) {
      const value = entries.get(key(absolute, stats));
      if (value !== undefined) this.hits++;
      return value;
    },
    set: (absolute, stats, value) => entries.set(key(absolute, stats), value),
  };
}

test("each change that a copy would see changes the digest; a change of time does not", async () => {
  using dir = tempDir();
  const root = dir.path;
  await makeTree(root, {
    "a/f": "one",
    "a/g": "two",
    link: { kind: "symlink", target: "a/f" },
    big: "b".repeat(200_000),
  });
  const seen = new Set<string>();
  const expectNew = async (what: string): Promise<void> => {
    const { digest } = await hashPaths(root, [all], undefined);
    assert.ok(!seen.has(digest), `${what} went unnoticed`);
    seen.add(digest);
    for (const path of ["a", "a/f", "big"]) utimesSync(join(root, path), 1, 1);
    assert.equal((await hashPaths(root, [all], undefined)).digest, digest, `times matter after ${what}`);
  };
  await expectNew("the beginning");
  writeFileSync(join(root, "a/f"), "onf");
  await expectNew("content");
  writeFileSync(join(root, "big"), `${"b".repeat(199_999)}c`);
  await expectNew("content of a large file");
  chmodSync(join(root, "a/f"), 0o755);
  await expectNew("mode");
  chmodSync(join(root, "a"), 0o700);
  await expectNew("a directory's mode");
  renameSync(join(root, "a/g"), join(root, "a/h"));
  await expectNew("a name");
  rmSync(join(root, "link"));
  symlinkSync("a/h", join(root, "link"));
  await expectNew("a link's target");
  mkdirSync(join(root, "empty"));
  await expectNew("an empty directory");
  if (isRoot) {
    lchownSync(join(root, "link"), 5, 6);
    await expectNew("an owner");
  }
  (await loadXattrs()).set(join(root, "a/f"), "user.note", Buffer.from("x"));
  await expectNew("an attribute");
});

test("local directories have no owners", { skip: isRoot ? false : "needs root" }, async () => {
  using dir = tempDir();
  await makeTree(dir.path, { f: "x" });
  const before = await hashPaths(dir.path, [all], undefined, { resetOwner: true });
  lchownSync(join(dir.path, "f"), 1000, 1000);
  assert.equal((await hashPaths(dir.path, [all], undefined, { resetOwner: true })).digest, before.digest);
});

test("only what is selected counts", async () => {
  const tree = {
    "src/a.c": "a",
    "src/b.h": "b",
    "src/sub/c.c": "c",
    other: "x",
    abs: { kind: "symlink", target: "/src" },
  } as const;
  const selected = [only("src/*.c", { wildcard: true })];
  const base = await digest(tree, selected);
  assert.equal(
    await digest({ ...tree, "src/b.h": "changed", "src/sub/c.c": "changed", other: "y" }, selected),
    base,
  );
  assert.notEqual(await digest({ ...tree, "src/a.c": "changed" }, selected), base);
  assert.notEqual(await digest({ ...tree, "src/d.c": "new" }, selected), base);
  const filtered = [only("src", { includePatterns: ["**/*.c"], excludePatterns: ["sub"] })];
  assert.equal(
    await digest({ ...tree, "src/b.h": "changed", "src/sub/c.c": "changed" }, filtered),
    await digest(tree, filtered),
  );
  assert.notEqual(await digest({ ...tree, "src/a.c": "changed" }, filtered), await digest(tree, filtered));
  assert.equal(await digest(tree, [only("abs")]), await digest(tree, [only("src")]));
  assert.equal(await digest(tree, [only("abs/a.c")]), await digest(tree, [only("src/a.c")]));
  assert.notEqual(
    await digest(tree, [only("abs", { followSymlink: false })]),
    await digest(tree, [only("src")]),
  );
});

test("ignored files do not count, those taken back do", async () => {
  const tree = { "a/keep": "1", "a/drop": "2", "b/x": "3", ".git/HEAD": "ref" } as const;
  const filter = { excludePatterns: [".git", "a", "!a/keep"] };
  const base = await digest(tree, [all], filter);
  assert.equal(await digest({ ...tree, "a/drop": "changed", ".git/HEAD": "changed" }, [all], filter), base);
  assert.equal(base, await digest({ "a/keep": "1", "b/x": "3" }));
  assert.notEqual(await digest({ ...tree, "a/keep": "changed" }, [all], filter), base);
  await assert.rejects(digest(tree, [only("a/drop")], filter), {
    code: "file-operation",
    message: '"a/drop" does not exist',
  });
  await assert.rejects(digest(tree, [only(".git/HEAD")], filter), { code: "file-operation" });
});

test("followed paths bring what their symlinks point to", async () => {
  const tree = {
    "real/data": "1",
    "real/other": "2",
    link: { kind: "symlink", target: "hop" },
    hop: { kind: "symlink", target: "/real" },
    unrelated: "3",
  } as const;
  const filter = { followPaths: ["link/data"] };
  assert.equal(
    await digest({ ...tree, unrelated: "changed", "real/other": "changed" }, [all], filter),
    await digest(tree, [all], filter),
  );
  assert.equal(await digest(tree, [only("link/data")], filter), await digest(tree, [only("real/data")]));
  assert.notEqual(
    await digest({ ...tree, "real/data": "changed" }, [all], filter),
    await digest(tree, [all], filter),
  );
});

test("a missing path is an error, a pattern without a match is not", async () => {
  await assert.rejects(digest({ a: "1" }, [only("b")]), {
    code: "file-operation",
    message: '"b" does not exist',
  });
  await assert.rejects(digest({ a: "1" }, [only("b", { wildcard: true })]), {
    message: '"b" does not exist',
  });
  await assert.rejects(digest({ a: "1" }, [only("a/b")]), { message: '"a/b" does not exist' });
  assert.equal(
    await digest({ a: "1" }, [only("b*", { wildcard: true })]),
    await digest({ c: "1" }, [only("b*", { wildcard: true })]),
  );
});

test("remembered digests are used, and same size and time with other bytes is noticed", async () => {
  using dir = tempDir();
  const file = join(dir.path, "f");
  const large = join(dir.path, "large");
  const cache = memoryCache();
  await atOnce(async () => {
    writeFileSync(file, "one");
    writeFileSync(large, "l".repeat(100_000));
    // Fresh files are not trusted: another write might not move their times.
    await hashPaths(dir.path, [all], undefined, { statCache: cache });
  });
  assert.equal(cache.entries.size, 0);

  // As if hashed three seconds later.
  await later(async () => {
    const first = await hashPaths(dir.path, [all], undefined, { statCache: cache });
    assert.equal(cache.entries.size, 2);
    assert.equal((await hashPaths(dir.path, [all], undefined, { statCache: cache })).digest, first.digest);
    assert.equal(cache.hits, 2);
    const { atime, mtime } = statSync(file);
    writeFileSync(file, "two");
    utimesSync(file, atime, mtime);
    const second = await hashPaths(dir.path, [all], undefined, { statCache: cache });
    assert.notEqual(second.digest, first.digest);
    assert.equal(cache.hits, 3);
  });
});

test("the parts name what differs, and stay few", async () => {
  using dir = tempDir();
  await makeTree(dir.path, { "a/f": "1", "a/g": "2" });
  const before = await hashPaths(dir.path, [all], undefined);
  assert.deepEqual(
    before.parts.flatMap(part => (part.isMode === true ? [] : part.label)),
    ["/", "a", "a/f", "a/g"],
  );
  writeFileSync(join(dir.path, "a/g"), "3");
  const after = await hashPaths(dir.path, [all], undefined);
  assert.deepEqual(
    after.parts.filter((part, index) => part.value !== before.parts[index]?.value).map(part => part.label),
    ["a/g"],
  );
  await makeTree(
    dir.path,
    Object.fromEntries(Array.from({ length: 600 }, (_, i) => [`many/d${i % 20}/f${i}`, "x"])),
  );
  const many = await hashPaths(dir.path, [all], undefined);
  assert.ok(many.parts.length <= 256);
  assert.ok(
    many.parts.some(part => part.label === "many/d7/"),
    many.parts.map(part => part.label).join(" "),
  );
});

test("one path selected many times makes few parts", async () => {
  using dir = tempDir();
  await makeTree(dir.path, { f: "x" });
  const { parts } = await hashPaths(
    dir.path,
    Array.from({ length: 300 }, () => only("f")),
    undefined,
  );
  assert.deepEqual(
    parts.map(part => part.label),
    ["f"],
  );
});

test("an unreadable file is named", async () => {
  await withoutRights(() =>
    assert.rejects(digest({ f: { kind: "file", data: "x", mode: 0 } }), {
      code: "file-operation",
      message: 'cannot read "f": permission denied',
    }),
  );
});

test("what is replaced or removed between being found and being read is told as that", async () => {
  for (const replace of [
    (file: string) => unlinkSync(file),
    (file: string) => {
      unlinkSync(file);
      symlinkSync("elsewhere", file);
    },
    (file: string) => {
      unlinkSync(file);
      mkdirSync(file);
    },
  ]) {
    using dir = tempDir();
    await makeTree(dir.path, { "d/f": "x" });
    // It is asked for what is known of a file just before that is read.
    const statCache: StatCache = {
      get: absolute => {
        replace(absolute);
        return undefined;
      },
      set: () => undefined,
    };
    await assert.rejects(hashPaths(dir.path, [all], undefined, { statCache }), {
      code: "file-operation",
      message: 'cannot read "d/f": it was replaced or removed meanwhile',
    });
  }
});

test("an aborted walk stops", async () => {
  using dir = tempDir();
  await makeTree(
    dir.path,
    Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`f${i}`, "x".repeat(100_000)])),
  );
  await assert.rejects(hashPaths(dir.path, [all], undefined, { signal: AbortSignal.abort() }), {
    name: "AbortError",
  });
});

test("law: digests are equal exactly when trees are", async () => {
  await fc.assert(
    fc.asyncProperty(treeArbitrary, treeArbitrary, async (one, two) => {
      using a = tempDir();
      using b = tempDir();
      await makeTree(a.path, one);
      await makeTree(b.path, two);
      // Which names share an inode is not content.
      const linesA = (await describeTree(a.path)).map(line => line.replace(/ = .*$/, ""));
      const linesB = (await describeTree(b.path)).map(line => line.replace(/ = .*$/, ""));
      const isEqual = JSON.stringify(linesA) === JSON.stringify(linesB);
      const [hashA, hashB] = [
        await hashPaths(a.path, [all], undefined),
        await hashPaths(b.path, [all], undefined),
      ];
      assert.equal(hashA.digest === hashB.digest, isEqual);
      // And a copy of the same tree elsewhere has the same digest.
      using c = tempDir();
      await makeTree(c.path, one);
      assert.equal((await hashPaths(c.path, [all], undefined)).digest, hashA.digest);
    }),
    { numRuns: 150 },
  );
});

test("that two names are of one file counts, as a copy keeps it; whatever else is linked does not", async () => {
  using dir = tempDir();
  writeFileSync(join(dir.path, "a"), "x");
  linkSync(join(dir.path, "a"), join(dir.path, "b"));
  chmodSync(join(dir.path, "a"), 0o644);
  const { digest: linked } = await hashPaths(dir.path, [all], undefined);
  assert.notEqual(linked, await digest({ a: "x", b: "x" }));
  assert.equal(
    (await hashPaths(dir.path, [only("a")], undefined)).digest,
    await digest({ a: "x" }, [only("a")]),
  );
});
