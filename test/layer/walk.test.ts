// Walks through filters, and paths resolved inside a root.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { BakeError } from "../../src/diagnostic/error.ts";
import { resolveFollowPaths } from "../../src/layer/followpaths.ts";
import { cleanPath, relativeToRoot, resolveInRoot } from "../../src/layer/rootpath.ts";
import { compileRules, createTreeView, resolveInView, type TreeFilter } from "../../src/layer/view.ts";
import { walkTree } from "../../src/layer/walk.ts";
import { makeTree, tempDir, type Tree } from "../rig/tree.ts";
import { withoutRights } from "../rig/user.ts";

/** Paths in the order they come; of directories that only hold something, in parentheses. */
async function walk(
  tree: Tree,
  filter?: TreeFilter,
  options: Parameters<typeof walkTree>[1] = {},
): Promise<string[]> {
  using dir = tempDir();
  await makeTree(dir.path, tree);
  return await seen(walkTree(createTreeView(dir.path, filter), options));
}

async function seen(entries: ReturnType<typeof walkTree>): Promise<string[]> {
  const paths: string[] = [];
  for await (const { matched, path } of entries) paths.push(matched ? path : `(${path})`);
  return paths;
}

test("entries come sorted by bytes, parents first", async () => {
  assert.deepEqual(await walk({ "b/x": "", "a-b": "", "a/c": "", B: "", "\u{1f600}": "", "\uff5e": "" }), [
    "",
    "B",
    "a",
    "a/c",
    "a-b",
    "b",
    "b/x",
    "\uff5e",
    "\u{1f600}",
  ]);
});

test("ignored directories are entered only for what is taken back, and come just before it", async () => {
  const tree = { "a/b/keep": "", "a/b/drop": "", "a/z": "", "c/d": "", "node_modules/x/y": "" };
  const keep = { excludePatterns: ["*", "!a/b/keep"] };
  assert.deepEqual(await walk(tree, keep), ["", "a", "a/b", "a/b/keep"]);
  assert.deepEqual(await walk(tree, { excludePatterns: ["node_modules", "**/z"] }), [
    "",
    "a",
    "a/b",
    "a/b/drop",
    "a/b/keep",
    "c",
    "c/d",
  ]);
  assert.deepEqual(await walk(tree, { includePatterns: ["*/b"], excludePatterns: ["**/drop"] }), [
    "",
    "a",
    "a/b",
    "a/b/keep",
  ]);
  const below = { start: "a" };
  assert.deepEqual(await walk(tree, keep, below), ["", "b", "b/keep"]);
  assert.deepEqual(await walk(tree, { excludePatterns: ["a/b/drop"] }, below), ["", "b", "b/keep", "z"]);
  assert.deepEqual(await walk(tree, { excludePatterns: ["a"] }, below), []);
});

test("what only the rules of the walk take back is in directories that only hold it, whatever the view hides", async () => {
  const tree = { "a/b/keep": "", "a/z": "", "c/d": "" };
  const rules = compileRules(undefined, ["a", "!a/b/keep"]);
  const kept = ["", "(a)", "(a/b)", "a/b/keep"];
  assert.deepEqual(await walk(tree, undefined, { rules }), [...kept, "c", "c/d"]);
  assert.deepEqual(await walk(tree, { excludePatterns: ["*", "!a/b/keep"] }, { rules }), kept);
});

test("an unreadable directory stops the walk unless it is ignored", () =>
  withoutRights(async () => {
    using dir = tempDir();
    await makeTree(dir.path, { "a/x": "", "secret/x": "" });
    chmodSync(join(dir.path, "secret"), 0);
    try {
      const names: string[] = [];
      for await (const { path } of walkTree(createTreeView(dir.path, { excludePatterns: ["secret"] })))
        names.push(path);
      assert.deepEqual(names, ["", "a", "a/x"]);
      await assert.rejects(
        async () => {
          for await (const _entry of walkTree(createTreeView(dir.path)));
        },
        { code: "file-operation", message: 'cannot read directory "secret": permission denied' },
      );
    } finally {
      chmodSync(join(dir.path, "secret"), 0o755);
    }
  }));

test("what cannot be looked at is named, with what can be done", async () => {
  using dir = tempDir();
  await makeTree(dir.path, { "locked/file": "" });
  chmodSync(dir.path, 0o755);
  chmodSync(join(dir.path, "locked"), 0o444);
  try {
    await withoutRights(() =>
      assert.rejects(seen(walkTree(createTreeView(dir.path))), {
        code: "file-operation",
        message: 'cannot read "locked/file": permission denied',
      }),
    );
  } finally {
    chmodSync(join(dir.path, "locked"), 0o755);
  }
});

test("a path longer than the system can read is named", async () => {
  using dir = tempDir();
  const long = "d".repeat(200);
  // Made from within, as programs do that go down step by step.
  const descend = `for (let i = 0; i < 22; i++) { fs.mkdirSync("${long}"); process.chdir("${long}"); }`;
  execFileSync(process.execPath, ["-e", descend], { cwd: dir.path });
  try {
    await assert.rejects(seen(walkTree(createTreeView(dir.path))), (error: unknown) => {
      assert.ok(error instanceof BakeError);
      assert.equal(error.code, "file-operation");
      assert.match(error.message, /^cannot read "ddd.*: the name or path is too long$/);
      return true;
    });
  } finally {
    execFileSync("rm", ["-rf", join(dir.path, long)]);
  }
});

test("follow paths bring links, link targets and what matches", async () => {
  using dir = tempDir();
  await makeTree(dir.path, {
    "real/dir/f": "",
    abs: { kind: "symlink", target: "/real" },
    chain: { kind: "symlink", target: "abs/dir" },
    climb: { kind: "symlink", target: "../../../real/dir" },
    loop: { kind: "symlink", target: "loop" },
    "app1.txt": { kind: "symlink", target: "real/dir/f" },
    "app2.txt": "",
    toroot: { kind: "symlink", target: "/" },
  });
  const follow = (...paths: string[]): readonly string[] | undefined => resolveFollowPaths(dir.path, paths);
  assert.deepEqual(follow("real"), ["real"]);
  assert.deepEqual(follow("abs/dir/f"), ["abs", "real/dir/f"]);
  assert.deepEqual(follow("chain/f"), ["abs", "chain", "real/dir/f"]);
  assert.deepEqual(follow("climb"), ["climb", "real/dir"]);
  assert.deepEqual(follow("loop"), ["loop"]);
  assert.deepEqual(follow("app*.txt"), ["app*.txt", "real/dir/f"]);
  assert.deepEqual(follow("missing/x", "real", "real/dir"), ["missing/x", "real"]);
  assert.deepEqual(follow("/"), undefined);
  assert.deepEqual(follow("toroot"), undefined);
  assert.deepEqual(follow("toroot/abs/dir"), ["abs", "real/dir", "toroot"]);
});

test("paths resolve inside the root whatever links say", async () => {
  using dir = tempDir();
  const root = dir.path;
  await makeTree(root, {
    "usr/lib/x": "",
    lib: { kind: "symlink", target: "/usr/lib" },
    up: { kind: "symlink", target: "../../../etc" },
    "usr/back": { kind: "symlink", target: "../lib/./x" },
    loop: { kind: "symlink", target: "loop2" },
    loop2: { kind: "symlink", target: "loop" },
    file: "",
  });
  const resolve = (path: string, followLast = true): string =>
    relativeToRoot(root, resolveInRoot(root, path, { followLast }));
  assert.equal(resolve("/lib/x"), "usr/lib/x");
  assert.equal(resolve("lib"), "usr/lib");
  assert.equal(resolve("lib", false), "lib");
  assert.equal(resolve("lib/", false), "lib");
  assert.equal(resolve("lib/.", false), "lib");
  assert.equal(resolve("up/passwd"), "etc/passwd");
  assert.equal(resolve("../../x"), "x");
  assert.equal(resolve("usr/back"), "usr/lib/x");
  assert.equal(resolve("lib/../bin"), "usr/bin");
  assert.equal(resolve("file/x/y"), "file/x/y");
  assert.equal(resolve("not/there"), "not/there");
  assert.equal(resolve("/"), "");
  assert.throws(() => resolve("loop/x"), { code: "file-operation" });
  assert.equal(cleanPath("/a/./b/../c//"), "a/c");
});

test("a view hides what its filters hide, links included", async () => {
  using dir = tempDir();
  await makeTree(dir.path, {
    "real/x": "",
    link: { kind: "symlink", target: "real" },
    "a/b/keep": "",
    "a/c/drop": "",
  });
  const find = (path: string, filter: TreeFilter): string | undefined =>
    resolveInView(createTreeView(dir.path, filter), path, true);
  assert.equal(find("link/x", {}), "real/x");
  assert.equal(find("link/x", { excludePatterns: ["link"] }), undefined);
  assert.equal(find("link/x", { excludePatterns: ["real"] }), undefined);
  assert.equal(find("a", { excludePatterns: ["a", "!a/b/keep"] }), "a");
  assert.equal(find("a/c", { excludePatterns: ["a", "!a/b/keep"] }), undefined);
  assert.equal(find("real/x/y", {}), undefined);
});
