import assert from "node:assert/strict";
import { test } from "node:test";
import { createInputMatcher } from "../../src/watch/inputs.ts";

const matcher = createInputMatcher({
  contexts: [
    { path: "/w/app", ignore: ["node_modules", "*.log", "!keep.log", "docs", "!docs/api.md"] },
    { path: "/w/lib", ignore: [] },
  ],
  files: ["/w/docker-bake.hcl", "/w/app/app.log"],
  outputs: ["/w/lib/out", "/state"],
});

test("what the ignore file excludes is no input, what it takes back is", () => {
  assert.equal(matcher.isInput("/w/app/src/main.c"), true);
  assert.equal(matcher.isInput("/w/app/node_modules/x/index.js"), false);
  assert.equal(matcher.isInput("/w/app/a.log"), false);
  assert.equal(matcher.isInput("/w/app/keep.log"), true);
  assert.equal(matcher.isInput("/w/app/docs/api.md"), true);
});

test("files outside all contexts are no input unless they are named", () => {
  assert.equal(matcher.isInput("/w/other"), false);
  assert.equal(matcher.isInput("/w/docker-bake.hcl"), true);
  assert.equal(matcher.isInput("/w/app/app.log"), true);
});

test("what the build writes is no input", () => {
  assert.equal(matcher.isInput("/w/lib/out/bin/app"), false);
  assert.equal(matcher.isInput("/w/lib/outer"), true);
  // An output is made in a hidden neighbour and then renamed.
  assert.equal(matcher.isInput("/w/lib/.out.llbake-12ab/bin/app"), false);
  assert.equal(matcher.isInput("/w/lib/.out.llbake"), true);
});

test("folders in which nothing can be an input are not watched, others are", () => {
  assert.equal(matcher.isIgnored("/w/app/node_modules"), true);
  assert.equal(matcher.isIgnored("/w/lib/out"), true);
  assert.equal(matcher.isIgnored("/w/other"), true);
  assert.equal(matcher.isIgnored("/w/app/docs"), false);
  assert.equal(matcher.isIgnored("/w"), false);
  assert.equal(matcher.isIgnored("/w/lib"), false);
});

test("of a repository only what tells the commit is an input", () => {
  assert.equal(matcher.isInput("/w/lib/.git/index.lock"), false);
  assert.equal(matcher.isInput("/w/lib/.git/objects/ab/cd"), false);
  assert.equal(matcher.isInput("/w/lib/.git/HEAD"), true);
  assert.equal(matcher.isInput("/w/lib/.git/refs/heads/main"), true);
});
