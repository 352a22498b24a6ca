// Single changes inside a root: what they make, and that symlinks never lead them out of it.
import assert from "node:assert/strict";
import { lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { mkdirAt, mkfileAt, removeAt, symlinkAt } from "../../src/layer/fileops.ts";
import { describeTree, isRoot, makeTree, tempDir, type Tree } from "../rig/tree.ts";

async function change(before: Tree, work: (root: string) => Promise<void>): Promise<string[]> {
  using dir = tempDir();
  const root = join(dir.path, "root");
  mkdirSync(root);
  writeFileSync(join(dir.path, "outside"), "untouched");
  await makeTree(root, before);
  try {
    await work(root);
    return await describeTree(root, { owners: false });
  } finally {
    assert.deepEqual(readdirSync(dir.path).sort(), ["outside", "root"]);
    assert.equal(readFileSync(join(dir.path, "outside"), "utf8"), "untouched");
  }
}

const escape: Tree = {
  up: { kind: "symlink", target: "../.." },
  out: { kind: "symlink", target: "../outside" },
};

test("directories are made with their parents when asked, and left alone when there", async () => {
  assert.deepEqual(
    await change({}, root => mkdirAt({ root, path: "/a/b", mode: 0o2700, makeParents: true })),
    ["a: dir 700", "a/b: dir 700"],
  );
  assert.deepEqual(
    await change({ a: { kind: "dir", mode: 0o711 } }, root =>
      mkdirAt({ root, path: "a", mode: 0o755, makeParents: false }),
    ),
    ["a: dir 711"],
  );
  assert.deepEqual(
    await change(escape, root => mkdirAt({ root, path: "/up/new", mode: 0o755, makeParents: true })),
    ["new: dir 755", "out: symlink -> ../outside", "up: symlink -> ../.."],
  );
  await assert.rejects(
    change({}, root => mkdirAt({ root, path: "/a/b", mode: 0o755, makeParents: false })),
    { code: "file-operation", message: 'cannot make directory "/a/b": no such file or directory' },
  );
  await assert.rejects(
    change({ a: "file" }, root => mkdirAt({ root, path: "/a/b", mode: 0o755, makeParents: true })),
    { code: "file-operation", message: 'cannot make directory "/a/b": a parent is not a directory' },
  );
});

test("files are written, also through symlinks inside the root", async () => {
  const data = Buffer.from([1, 2, 255]);
  assert.deepEqual(
    await change({ f: { kind: "symlink", target: "/real" }, real: "old content" }, root =>
      mkfileAt({ root, path: "f", mode: 0o640, data }),
    ),
    ["f: symlink -> /real", `real: file 644 ${JSON.stringify(data.toString("latin1"))}`],
  );
  assert.deepEqual(
    await change(escape, root => mkfileAt({ root, path: "out", mode: 0o644, data: Buffer.from("x") })),
    ["out: symlink -> ../outside", 'outside: file 644 "x"', "up: symlink -> ../.."],
  );
  await assert.rejects(
    change({}, root => mkfileAt({ root, path: "/no/file", mode: 0o644, data })),
    { code: "file-operation", message: 'cannot write "/no/file": no such file or directory' },
  );
});

test("symlinks are stored as given, at a free place", async () => {
  assert.deepEqual(await change({}, root => symlinkAt({ root, path: "l", target: "../../anywhere" })), [
    "l: symlink -> ../../anywhere",
  ]);
  await assert.rejects(
    change({ l: "x" }, root => symlinkAt({ root, path: "l", target: "y" })),
    { code: "file-operation", message: 'cannot make symlink "l": it exists already' },
  );
});

test("removal takes the link, not its target, and reports what is missing", async () => {
  const remove =
    (path: string, { allowWildcard = false, allowNotFound = false } = {}) =>
    (root: string): Promise<void> =>
      removeAt({ root, path, allowWildcard, allowNotFound });
  assert.deepEqual(await change(escape, remove("out")), ["up: symlink -> ../.."]);
  assert.deepEqual(await change({ l: { kind: "symlink", target: "d" }, "d/x": "1" }, remove("l/x")), [
    "d: dir 755",
    "l: symlink -> d",
  ]);
  assert.deepEqual(
    await change({ "a.o": "", "b.o": "", "c/d.o": "", e: "" }, remove("*.o", { allowWildcard: true })),
    ["c: dir 755", 'c/d.o: file 644 ""', 'e: file 644 ""'],
  );
  assert.deepEqual(await change({ a: "" }, remove("*.o", { allowWildcard: true })), ['a: file 644 ""']);
  assert.deepEqual(await change({ a: "" }, remove("b", { allowNotFound: true })), ['a: file 644 ""']);
  assert.deepEqual(await change({ a: "" }, remove("b", { allowNotFound: true, allowWildcard: true })), [
    'a: file 644 ""',
  ]);
  await assert.rejects(change({ a: "" }, remove("b")), {
    message: 'cannot remove "b": no such file or directory',
  });
  await assert.rejects(change({ a: "" }, remove("b", { allowWildcard: true })), {
    message: 'cannot remove "b": no such file or directory',
  });
  await assert.rejects(change({ a: "" }, remove("/")), { message: 'cannot remove "/": it is the root' });
  await assert.rejects(change(escape, remove("up/..")), { message: 'cannot remove "up/..": it is the root' });
});

test("owner and time are set as asked", { skip: isRoot ? false : "needs root" }, async () => {
  await change({}, async root => {
    const owner = { uid: 5, gid: 6 };
    await mkdirAt({ root, path: "a/b", mode: 0o755, makeParents: true, owner, timestampNs: 1_000_000_001n });
    await mkfileAt({
      root,
      path: "f",
      mode: 0o644,
      data: Buffer.from(""),
      owner,
      timestampNs: 1_000_000_001n,
    });
    await symlinkAt({ root, path: "l", target: "f", owner, timestampNs: 1_000_000_001n });
    for (const path of ["a", "a/b", "f", "l"]) {
      const { uid, gid, mtimeNs } = lstatSync(join(root, path), { bigint: true });
      assert.deepEqual([path, uid, gid, mtimeNs], [path, 5n, 6n, 1_000_000_001n]);
    }
  });
});
