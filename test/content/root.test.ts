// Goal: a state directory is created once by whoever comes first, and everything unusable says what to do.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { LAYOUT_VERSION, openStateRoot } from "../../src/content/root.ts";
import { BakeError } from "../../src/diagnostic/error.ts";
import { temporaryFolder } from "../rig/statedir.ts";

const isUnusable =
  (words: RegExp, hint: RegExp) =>
  (thrown: unknown): boolean => {
    assert.ok(thrown instanceof BakeError, String(thrown));
    assert.equal(thrown.code, "state-unusable");
    assert.match(thrown.message, words);
    assert.match(thrown.diagnostics[0]?.hint ?? "", hint);
    return true;
  };

test("a missing directory is created with its parents and opens again", async t => {
  const path = join(temporaryFolder(t), "a/b");
  await openStateRoot(path);
  const root = await openStateRoot(path);
  assert.equal(root.path, path);
  assert.ok(existsSync(join(root.blobs, "sha256")));
  assert.equal(
    readFileSync(join(path, "version"), "utf8"),
    `llbake state ${LAYOUT_VERSION}, layout ${LAYOUT_VERSION}\n`,
  );
});

test("many openers at once agree on one layout and leave no drafts", async t => {
  const path = join(temporaryFolder(t), "state");
  await Promise.all(Array.from({ length: 20 }, () => openStateRoot(path)));
  const { stdout } = await promisify(execFile)("ls", ["-A", path]);
  assert.doesNotMatch(stdout, /version\./);
});

test("folders lost from a state directory come back", async t => {
  const path = temporaryFolder(t);
  const root = await openStateRoot(path);
  rmSync(root.locks, { recursive: true });
  await openStateRoot(path);
  assert.ok(existsSync(root.locks));
});

test("a file in its place is refused", async t => {
  const path = join(temporaryFolder(t), "file");
  writeFileSync(path, "");
  await assert.rejects(openStateRoot(path), isUnusable(/is not a directory/, /remove the file/));
});

test("a directory with other content is refused and not touched", async t => {
  const path = temporaryFolder(t);
  writeFileSync(join(path, "letter.txt"), "dear");
  await assert.rejects(openStateRoot(path), isUnusable(/other content/, /empty or new directory/));
  assert.ok(!existsSync(join(path, "version")));
});

test("a newer layout is refused", async t => {
  const path = temporaryFolder(t);
  writeFileSync(join(path, "version"), `llbake state ${LAYOUT_VERSION + 1}, layout ${LAYOUT_VERSION + 1}\n`);
  await assert.rejects(openStateRoot(path), isUnusable(/newer llbake/, /update llbake/));
});

test("a damaged version file is refused", async t => {
  const path = temporaryFolder(t);
  writeFileSync(join(path, "version"), "");
  await assert.rejects(openStateRoot(path), isUnusable(/damaged/, /delete/));
});

test("a damaged version file among all else that is ours is written anew", async t => {
  const path = temporaryFolder(t);
  await openStateRoot(path);
  for (const damage of ["", "llbake st", "\0".repeat(15), "llbake state 5, layout 1\n"]) {
    writeFileSync(join(path, "version"), damage);
    await openStateRoot(path);
    assert.equal(readFileSync(join(path, "version"), "utf8"), "llbake state 1, layout 1\n");
  }
});

test("a directory that cannot be written says so", async t => {
  const path = join(temporaryFolder(t), "state");
  mkdirSync(path);
  await assert.rejects(openStateRoot("/proc/llbake-state"), isUnusable(/state directory/, /.*/));
});
