// Contexts of bake files at a URL: what each form becomes. The expected values are those of docker buildx bake.
import assert from "node:assert/strict";
import { test } from "node:test";
import { remoteContext, remoteNamedContext } from "../../src/bakefile/remote.ts";

const git = (url: string) => ({ url, kind: "git" }) as const;

test("a relative context lies in the repository", () => {
  const cases: readonly (readonly [url: string, context: string, result: string])[] = [
    ["https://example.com/a.git", ".", "https://example.com/a.git"],
    ["https://example.com/a.git", "sub", "https://example.com/a.git#:sub"],
    ["https://example.com/a.git#v1", "./sub/", "https://example.com/a.git#v1:sub"],
    ["https://example.com/a.git#v1:dir", "sub", "https://example.com/a.git#v1:dir/sub"],
    ["https://example.com/a.git#v1:dir", "../x", "https://example.com/a.git#v1:x"],
    [
      "https://example.com/a.git?subdir=dir&ref=v1",
      "sub",
      "https://example.com/a.git?ref=v1&subdir=dir%2Fsub",
    ],
    ["https://example.com/a.git?ref=v1", "sub", "https://example.com/a.git?ref=v1#:sub"],
    ["git@example.com:a.git", "sub", "git@example.com:a.git#:sub"],
  ];
  for (const [url, context, result] of cases) assert.equal(remoteContext(context, git(url)), result, url);
});

test("URLs stay, and cwd:// is a local folder", () => {
  const tree = git("https://example.com/a.git");
  assert.equal(remoteContext("https://example.com/b.git#x", tree), "https://example.com/b.git#x");
  assert.equal(remoteContext("cwd://", tree), ".");
  assert.equal(remoteContext("cwd://a/../b", tree), "b");
  assert.equal(remoteNamedContext("cwd://b", tree), "cwd://b");
  for (const value of ["target:base", "docker-image://alpine"])
    assert.equal(remoteNamedContext(value, tree), value);
});

test("folders of an archive are named by a fragment", () => {
  const tree = { url: "https://example.com/a.tar.gz", kind: "archive" } as const;
  assert.equal(remoteContext("sub/x", tree), "https://example.com/a.tar.gz#:sub/x");
});
