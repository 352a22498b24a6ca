// Copies behave as COPY and ADD do, and never leave their roots.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { lstatSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { copyInto, type CopyOptions } from "../../src/layer/copytree.ts";
import { hashPaths } from "../../src/layer/contenthash.ts";
import { describeTree, isRoot, makeTree, tempDir, type Tree } from "../rig/tree.ts";
import { treeArbitrary } from "../rig/treearbitrary.ts";

type Settings = Partial<CopyOptions> & { readonly src: string; readonly dest: string };

/** The flags that COPY sets. */
const asCopy = {
  followSymlink: true,
  dirCopyContents: true,
  createDestPath: true,
  allowWildcard: true,
  allowEmptyWildcard: true,
};

async function copy(source: Tree, settings: Settings, before: Tree = {}): Promise<string[]> {
  using dir = tempDir();
  const [srcRoot, destRoot] = [join(dir.path, "src"), join(dir.path, "dest")];
  mkdirSync(srcRoot);
  mkdirSync(destRoot);
  writeFileSync(join(dir.path, "outside"), "untouched");
  await makeTree(srcRoot, source);
  await makeTree(destRoot, before);
  try {
    await copyInto({ ...asCopy, srcRoot, destRoot, ...settings });
    return await describeTree(destRoot, { owners: false });
  } finally {
    assert.deepEqual(readdirSync(dir.path).sort(), ["dest", "outside", "src"]);
    assert.equal(readFileSync(join(dir.path, "outside"), "utf8"), "untouched");
  }
}

const source: Tree = {
  "app/main.c": { kind: "file", data: "c", mode: 0o640 },
  "app/sub/deep.h": "h",
  "app/link": { kind: "symlink", target: "main.c" },
  app2: "file",
  tolink: { kind: "symlink", target: "/app" },
};

test("a file goes to a name, or into a directory that exists or is meant", async () => {
  assert.deepEqual(await copy(source, { src: "app2", dest: "/new" }), ['new: file 644 "file"']);
  assert.deepEqual(await copy(source, { src: "app2", dest: "/new/" }), [
    "new: dir 755",
    'new/app2: file 644 "file"',
  ]);
  assert.deepEqual(await copy(source, { src: "app2", dest: "/x/y" }), ["x: dir 755", 'x/y: file 644 "file"']);
  assert.deepEqual(
    await copy(source, { src: "app2", dest: "/have" }, { have: { kind: "dir", mode: 0o700 } }),
    ["have: dir 700", 'have/app2: file 644 "file"'],
  );
  assert.deepEqual(await copy(source, { src: "app2", dest: "/." }), ['app2: file 644 "file"']);
  assert.deepEqual(await copy(source, { src: "app2", dest: "/have" }, { have: "old" }), [
    'have: file 644 "file"',
  ]);
});

test("a directory's content is copied; the directory itself only when asked", async () => {
  const inner = [
    "link: symlink -> main.c",
    'main.c: file 640 "c"',
    "sub: dir 755",
    'sub/deep.h: file 644 "h"',
  ];
  assert.deepEqual(await copy(source, { src: "app", dest: "/" }), inner);
  assert.deepEqual(await copy(source, { src: "app", dest: "/d" }), [
    "d: dir 755",
    ...inner.map(line => `d/${line}`),
  ]);
  assert.deepEqual(
    await copy(source, { src: "app", dest: "/d", dirCopyContents: false }, { d: { kind: "dir" } }),
    ["d: dir 755", "d/app: dir 755", ...inner.map(line => `d/app/${line}`)],
  );
  assert.deepEqual(await copy(source, { src: "tolink", dest: "/" }), inner);
  assert.deepEqual(await copy(source, { src: "tolink", dest: "/", followSymlink: false }), [
    "tolink: symlink -> /app",
  ]);
});

test("directories merge, files replace, kinds clash", async () => {
  assert.deepEqual(
    await copy(
      source,
      { src: "app", dest: "/" },
      { "sub/old": "o", "main.c": { kind: "symlink", target: "../outside" } },
    ),
    [
      "link: symlink -> main.c",
      'main.c: file 640 "c"',
      "sub: dir 755",
      'sub/deep.h: file 644 "h"',
      'sub/old: file 644 "o"',
    ],
  );
  await assert.rejects(copy(source, { src: "app", dest: "/" }, { "main.c/x": "" }), {
    code: "file-operation",
    message: /copy "app\/main.c" to "\/main.c": a directory is in the way/,
  });
  await assert.rejects(copy(source, { src: "app", dest: "/" }, { sub: "" }), {
    code: "file-operation",
    message: /copy "app\/sub" to "\/sub": a file is in the way/,
  });
  await assert.rejects(copy(source, { src: "app", dest: "/" }, { sub: { kind: "symlink", target: ".." } }), {
    code: "file-operation",
  });
  assert.ok(
    (
      await copy(source, { src: "app", dest: "/", alwaysReplace: true }, { sub: "", "main.c/x": "" })
    ).includes('sub/deep.h: file 644 "h"'),
  );
});

test("destinations through symlinks stay inside the root", async () => {
  assert.deepEqual(
    await copy(source, { src: "app2", dest: "/d/" }, { d: { kind: "symlink", target: "../../.." } }),
    ['app2: file 644 "file"', "d: symlink -> ../../.."],
  );
  assert.deepEqual(
    await copy(
      source,
      { src: "app2", dest: "/d/f" },
      { d: { kind: "symlink", target: "/real" }, "real/x": "" },
    ),
    ["d: symlink -> /real", "real: dir 755", 'real/f: file 644 "file"', 'real/x: file 644 ""'],
  );
  assert.deepEqual(await copy(source, { src: "app2", dest: "../../up" }), ['up: file 644 "file"']);
  await assert.rejects(copy({ l: { kind: "symlink", target: "../outside" } }, { src: "l", dest: "/" }), {
    code: "file-operation",
    message: 'cannot copy "l": it does not exist',
  });
});

test("wildcards match names, patterns filter what is below", async () => {
  assert.deepEqual(await copy(source, { src: "app*", dest: "/d/" }), [
    "d: dir 755",
    'd/app2: file 644 "file"',
    "d/link: symlink -> main.c",
    'd/main.c: file 640 "c"',
    "d/sub: dir 755",
    'd/sub/deep.h: file 644 "h"',
  ]);
  assert.deepEqual(await copy(source, { src: "nothing*", dest: "/d/" }), []);
  await assert.rejects(copy(source, { src: "nothing*", dest: "/d/", allowEmptyWildcard: false }), {
    message: 'cannot copy "nothing*": it does not exist',
  });
  await assert.rejects(copy(source, { src: "nothing", dest: "/d/" }), {
    code: "file-operation",
    message: 'cannot copy "nothing": it does not exist',
  });
  assert.deepEqual(await copy({ "a*b": "1", axb: "2" }, { src: "a*b", dest: "/d/", allowWildcard: false }), [
    "d: dir 755",
    'd/a*b: file 644 "1"',
  ]);
  assert.deepEqual(await copy(source, { src: "app", dest: "/d", includePatterns: ["**/*.h"] }), [
    "d: dir 755",
    "d/sub: dir 755",
    'd/sub/deep.h: file 644 "h"',
  ]);
  assert.deepEqual(await copy(source, { src: "app", dest: "/d", excludePatterns: ["*", "!sub"] }), [
    "d: dir 755",
    "d/sub: dir 755",
    'd/sub/deep.h: file 644 "h"',
  ]);
  assert.deepEqual(
    await copy(source, { src: "/", dest: "/d", filter: { excludePatterns: ["*", "!app/sub"] } }),
    ["d: dir 755", "d/app: dir 755", "d/app/sub: dir 755", 'd/app/sub/deep.h: file 644 "h"'],
  );
  await assert.rejects(copy(source, { src: "app2", dest: "/d", filter: { excludePatterns: ["app2"] } }), {
    message: 'cannot copy "app2": it does not exist',
  });
});

test("a wildcard's match that links to nothing is an error, unless links are copied as links", async () => {
  const tree: Tree = {
    "a.txt": "a",
    "b.txt": { kind: "symlink", target: "missing" },
    "c.txt": { kind: "symlink", target: "hidden" },
    hidden: "h",
  };
  await assert.rejects(copy(tree, { src: "*.txt", dest: "/" }), {
    code: "file-operation",
    message: '"b.txt" is a symbolic link to something that does not exist',
  });
  await assert.rejects(copy(tree, { src: "c*", dest: "/", filter: { excludePatterns: ["hidden"] } }), {
    code: "file-operation",
  });
  assert.deepEqual(await copy(tree, { src: "c*", dest: "/" }), ['c.txt: file 644 "h"']);
  assert.deepEqual(await copy(tree, { src: "b*", dest: "/", followSymlink: false }), [
    "b.txt: symlink -> missing",
  ]);
});

test("paths that only patterns select can be required", async () => {
  const settings = { src: "/", dest: "/", includePatterns: ["app/sub/deep.h"] };
  assert.equal((await copy(source, { ...settings, requiredPaths: ["/app/sub/deep.h"] })).length, 3);
  await assert.rejects(copy(source, { ...settings, requiredPaths: ["/app/none"] }), {
    code: "file-operation",
    message: '"/app/none" does not exist',
  });
});

test("a missing parent is made only when allowed", async () => {
  await assert.rejects(copy(source, { src: "app2", dest: "/x/y", createDestPath: false }), {
    code: "file-operation",
    message: /directory it should be in does not exist/,
  });
  assert.deepEqual(await copy(source, { src: "app2", dest: "/y", createDestPath: false }), [
    'y: file 644 "file"',
  ]);
});

test("modes can be set as digits or as changes", async () => {
  assert.deepEqual(await copy(source, { src: "app", dest: "/d", mode: 0o4711 }), [
    "d: dir 4711",
    "d/link: symlink -> main.c",
    'd/main.c: file 4711 "c"',
    "d/sub: dir 4711",
    'd/sub/deep.h: file 4711 "h"',
  ]);
  assert.deepEqual(await copy(source, { src: "app", dest: "/", modeStr: "go-w,u+x,o=" }), [
    "link: symlink -> main.c",
    'main.c: file 740 "c"',
    "sub: dir 750",
    'sub/deep.h: file 740 "h"',
  ]);
});

test(
  "times, owners, attributes and hard links are kept, or set as asked",
  { skip: isRoot ? false : "needs root" },
  async () => {
    using dir = tempDir();
    const [srcRoot, destRoot] = [join(dir.path, "src"), join(dir.path, "dest")];
    mkdirSync(srcRoot);
    mkdirSync(destRoot);
    await makeTree(srcRoot, {
      "d/a": {
        kind: "file",
        data: "x",
        uid: 5,
        gid: 6,
        mtime: 1_111_111_111,
        xattrs: { "user.n": "v" },
        mode: 0o4755,
      },
      "d/b": { kind: "link", to: "d/a" },
      d: { kind: "dir", uid: 7, mtime: 1_000_000_000 },
    });
    execFileSync("touch", ["-d", "2001-02-03 04:05:06.123456789", join(srcRoot, "d/a")]);
    await copyInto({ ...asCopy, srcRoot, src: "/", destRoot, dest: "/kept" });
    assert.deepEqual(
      await describeTree(join(destRoot, "kept"), { times: true }),
      await describeTree(srcRoot, { times: true }),
    );
    assert.equal(
      lstatSync(join(destRoot, "kept/d/a"), { bigint: true }).mtimeNs,
      lstatSync(join(srcRoot, "d/a"), { bigint: true }).mtimeNs,
    );
    await copyInto({
      ...asCopy,
      srcRoot,
      src: "d",
      destRoot,
      dest: "/set/x",
      owner: { uid: 1, gid: 2 },
      timestampNs: 42_000_000_123n,
    });
    assert.deepEqual(await describeTree(join(destRoot, "set"), { times: true }), [
      "x: dir 755 1:2 @42",
      'x/a: file 4755 "x" 1:2 @42 user.n=76',
      'x/b: file 4755 "x" 1:2 @42 user.n=76 = x/a',
    ]);
    assert.equal(lstatSync(join(destRoot, "set/x"), { bigint: true }).mtimeNs, 42_000_000_123n);
    assert.equal(lstatSync(join(destRoot, "set"), { bigint: true }).mtimeNs, 42_000_000_123n);
    await copyInto({ ...asCopy, srcRoot, src: "d/a", destRoot, dest: "/reset", resetOwner: true });
    const { uid, gid } = statSync(join(destRoot, "reset"));
    assert.deepEqual([uid, gid], [0, 0]);
  },
);

test("archives are extracted when asked, other files are copied", async () => {
  using dir = tempDir();
  const [srcRoot, destRoot, tree] = [join(dir.path, "src"), join(dir.path, "dest"), join(dir.path, "tree")];
  for (const path of [srcRoot, destRoot, tree]) mkdirSync(path);
  await makeTree(tree, { "in/file": { kind: "file", data: "1", mode: 0o600 }, "in/.wh.x": "kept" });
  for (const [name, flag] of [
    ["plain.tar", ""],
    ["g.tgz", "z"],
    ["b.tar.bz2", "j"],
    ["x.tar.xz", "J"],
  ] as const) {
    try {
      execFileSync("tar", ["-C", tree, `-c${flag}f`, join(srcRoot, name), "in"], { stdio: "ignore" });
    } catch {
      continue;
    }
    await copyInto({ ...asCopy, srcRoot, src: name, destRoot, dest: `/${name}/deep`, attemptUnpack: true });
    assert.deepEqual(await describeTree(join(destRoot, name, "deep"), { owners: false }), [
      "in: dir 755",
      'in/.wh.x: file 644 "kept"',
      'in/file: file 600 "1"',
    ]);
  }
  writeFileSync(join(srcRoot, "text"), "not an archive".repeat(100));
  writeFileSync(join(srcRoot, "text.gz"), gzipSync("hello\n"));
  for (const name of ["text", "text.gz"]) {
    await copyInto({ ...asCopy, srcRoot, src: name, destRoot, dest: "/files/", attemptUnpack: true });
    assert.deepEqual(readFileSync(join(destRoot, "files", name)), readFileSync(join(srcRoot, name)));
  }
});

test("law: a copy has the content digest of its source", async () => {
  await fc.assert(
    fc.asyncProperty(treeArbitrary, async tree => {
      using dir = tempDir();
      const [srcRoot, destRoot] = [join(dir.path, "src"), join(dir.path, "dest")];
      mkdirSync(srcRoot);
      mkdirSync(destRoot);
      await makeTree(srcRoot, tree);
      await copyInto({ ...asCopy, srcRoot, src: "/", destRoot, dest: "/" });
      assert.deepEqual(
        await describeTree(destRoot, { times: true }),
        await describeTree(srcRoot, { times: true }),
      );
      const selector = { path: "/", wildcard: false, followSymlink: false };
      assert.equal(
        (await hashPaths(destRoot, [selector], undefined)).digest,
        (await hashPaths(srcRoot, [selector], undefined)).digest,
      );
    }),
    { numRuns: 100 },
  );
});
