// Goal: a path that is missing is explained by what hides it or by what was meant.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BakeError } from "../../src/diagnostic/error.ts";
import { rangeOfLines } from "../../src/diagnostic/source.ts";
import { explainMissing } from "../../src/op/missing.ts";
import { makeTree, tempDir } from "../rig/tree.ts";

const missing = new BakeError("file-operation", '"x" does not exist');

function hintOf(error: unknown): string | undefined {
  assert.ok(error instanceof BakeError);
  return error.diagnostics[0]?.hint;
}

test("an ignored path names the pattern and its line", () => {
  const source = { name: ".dockerignore", text: "# x\nother\n*.log\n" };
  const local = {
    root: "/nowhere",
    excludePatterns: ["other", "*.log"],
    includePatterns: [],
    followPaths: undefined,
  };
  const excludedAt = [2, 3].map(line => rangeOfLines(source, line, line));
  const known = explainMissing(missing, ["/a.log"], { root: "/nowhere", local: { ...local, excludedAt } });
  assert.equal(hintOf(known), 'excluded by the pattern "*.log" in .dockerignore:3');
  const unknown = explainMissing(missing, ["/a.log"], { root: "/nowhere", local });
  assert.equal(hintOf(unknown), 'excluded by the pattern "*.log" of the ignore file');
});

test("a path that nothing hides gets the nearest one, as it would be written", async () => {
  using dir = tempDir();
  await makeTree(dir.path, { "src/main.js": "", "hidden/mian.js": "" });
  const local = {
    root: dir.path,
    excludePatterns: ["hidden"],
    includePatterns: [],
    followPaths: ["src/mian.js"],
  };
  assert.equal(
    hintOf(explainMissing(missing, ["/src/mian.js"], { root: dir.path, local })),
    'did you mean "src/main.js"?',
  );
  assert.equal(
    hintOf(explainMissing(missing, ["/src/mian.js"], { root: dir.path, local: undefined })),
    'did you mean "/src/main.js"?',
  );
});

test("a slip is told as such although the ignore file allows a few paths only", async () => {
  using dir = tempDir();
  await makeTree(dir.path, { "src/main.js": "", secret: "" });
  const local = {
    root: dir.path,
    excludePatterns: ["*", "!src"],
    includePatterns: [],
    followPaths: undefined,
  };
  const tree = { root: dir.path, local };
  assert.equal(hintOf(explainMissing(missing, ["/scr/main.js"], tree)), 'did you mean "src/main.js"?');
  assert.match(hintOf(explainMissing(missing, ["/secret"], tree)) ?? "", /excluded by the pattern "\*"/);
  assert.match(hintOf(explainMissing(missing, ["/unlike-anything"], tree)) ?? "", /excluded/);
});

test("other failures stay as they are", () => {
  const denied = new BakeError("file-denied", "no");
  const tree = { root: "/nowhere", local: undefined };
  assert.equal(explainMissing(denied, ["/x"], tree), denied);
  assert.equal(explainMissing(missing, ["/x"], tree), missing);
});
