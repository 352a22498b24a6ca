// Goal: a missing path leads to the existing one that was probably meant, and to nothing that cannot be read.
import assert from "node:assert/strict";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { nearestPath } from "../../src/layer/nearest.ts";
import { makeTree, tempDir } from "../rig/tree.ts";

async function tree(files: Readonly<Record<string, string>>) {
  const dir = tempDir();
  await makeTree(dir.path, files);
  return dir;
}

test("a slip in one name is mended, whichever name it is", async () => {
  using dir = await tree({ "src/main.js": "", "package.json": "" });
  assert.equal(nearestPath(dir.path, "pakage.json"), "package.json");
  assert.equal(nearestPath(dir.path, "/src/mian.js"), "src/main.js");
  assert.equal(nearestPath(dir.path, "scr/main.js"), "src/main.js");
  assert.equal(nearestPath(dir.path, "SRC/main.js"), "src/main.js");
});

test("else the same name in another folder, the least deep one", async () => {
  using dir = await tree({ "a/deep/conf.toml": "", "b/conf.toml": "" });
  assert.equal(nearestPath(dir.path, "conf.toml"), "b/conf.toml");
  assert.equal(nearestPath(dir.path, "nothing.like.it"), undefined);
});

test("what the filter hides is not named", async () => {
  using dir = await tree({ "secret/conf.toml": "", "visible/conf.toml": "", "conf.tom": "" });
  const filter = { excludePatterns: ["secret", "*.tom"] };
  assert.equal(nearestPath(dir.path, "conf.toml", filter), "visible/conf.toml");
});

test("an existing path, a wildcard and a link that leads nowhere have none", async () => {
  using dir = await tree({ f: "" });
  symlinkSync("nowhere", join(dir.path, "link"));
  assert.equal(nearestPath(dir.path, "f"), undefined);
  assert.equal(nearestPath(dir.path, "*.x"), undefined);
  assert.equal(nearestPath(dir.path, "link/x"), undefined);
});
