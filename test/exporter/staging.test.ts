// Goal: a staged tree lands in its folder whole, whoever else writes there at the same time.
// Method: real folders; several trees moved at once, with the same names and with names that are a file in one of them.
import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { moveTreeInto } from "../../src/exporter/staging.ts";

function tempFolder(): Disposable & { readonly path: string } {
  const folder = mkdtempSync(path.join(tmpdir(), "llbake-staging-"));
  return { path: folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Writes files, given as path and content, below a folder. */
function tree(folder: string, files: Readonly<Record<string, string>>): string {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    writeFileSync(path.join(folder, name), content);
  }
  return folder;
}

test("trees moved into one new folder at once are all there", async () => {
  using temp = tempFolder();
  for (let round = 0; round < 40; round += 1) {
    const to = path.join(temp.path, `to${round}`);
    const trees = Array.from({ length: 6 }, (_, index) =>
      tree(path.join(temp.path, `from${round}-${index}`), {
        "a/b/same": "same",
        same: "same",
        [`a/b/own${index}`]: String(index),
        [`own${index}/x`]: String(index),
      }),
    );
    await Promise.all(trees.map(from => moveTreeInto(from, to)));
    assert.equal(readFileSync(path.join(to, "a/b/same"), "utf8"), "same");
    assert.equal(readFileSync(path.join(to, "same"), "utf8"), "same");
    for (const index of trees.keys()) {
      assert.equal(readFileSync(path.join(to, `a/b/own${index}`), "utf8"), String(index));
      assert.equal(readFileSync(path.join(to, `own${index}/x`), "utf8"), String(index));
    }
  }
});

test("a name that is a file in one tree and a folder in another ends as one of them, without an error", async () => {
  using temp = tempFolder();
  for (let round = 0; round < 40; round += 1) {
    const to = tree(path.join(temp.path, `to${round}`), { before: "" });
    const results = await Promise.allSettled([
      moveTreeInto(tree(path.join(temp.path, `file${round}`), { x: "file" }), to),
      moveTreeInto(tree(path.join(temp.path, `folder${round}`), { "x/in": "folder" }), to),
    ]);
    for (const result of results) if (result.status === "rejected") assert.fail(String(result.reason));
    const isFolder = statSync(path.join(to, "x")).isDirectory();
    assert.equal(readFileSync(path.join(to, isFolder ? "x/in" : "x"), "utf8"), isFolder ? "folder" : "file");
    assert.deepEqual(readdirSync(to).sort(), ["before", "x"]);
  }
});

test("a link to a folder as the destination stays, a link below it is replaced", async () => {
  using temp = tempFolder();
  const real = tree(path.join(temp.path, "real"), { kept: "kept", "other/kept": "kept" });
  const link = path.join(temp.path, "link");
  symlinkSync("real", link);
  symlinkSync("other", path.join(real, "below"));
  await moveTreeInto(tree(path.join(temp.path, "from"), { "below/new": "new" }), link);
  assert.deepEqual(readdirSync(real).sort(), ["below", "kept", "other"]);
  assert.equal(readFileSync(path.join(link, "below/new"), "utf8"), "new");
  assert.deepEqual(readdirSync(path.join(real, "other")), ["kept"]);
});
