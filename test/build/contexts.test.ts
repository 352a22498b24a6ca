// Goal: a listing has exactly the files that the build's local sources let through.
import assert from "node:assert/strict";
import { test } from "node:test";
import { listContexts } from "../../src/build/contexts.ts";
import { copy, local, marshal, scratch } from "../../src/llb/mod.ts";
import { makeTree, tempDir } from "../rig/tree.ts";

const platform = { os: "linux", architecture: "amd64" };

test("ignore patterns and follow paths decide what is listed", async () => {
  using dir = tempDir();
  await makeTree(dir.path, { "src/a": "12345", "src/b.log": "1", "lib/c": "123", other: "1234567" });
  const source = local("context", {
    sessionId: "s",
    excludePatterns: ["**/*.log"],
    followPaths: ["src", "lib/c"],
  });
  const state = scratch()
    .file(copy(source, "/src", "/"))
    .file(copy(source, "/lib/c", "/"));
  const config = { ...platform, rootfs: { type: "layers" as const, diff_ids: [] } };
  const [listing, ...more] = await listContexts(
    {
      name: "app",
      images: [{ platform, definition: marshal(state, { platform }), config }],
      warnings: [],
      ignoreFiles: [],
    },
    { localDir: (name, id) => (name === "context" && id === "s" ? dir.path : undefined) },
    new AbortController().signal,
  );
  assert.deepEqual(more, []);
  assert.deepEqual(listing, {
    name: "context",
    root: dir.path,
    files: [
      { path: "lib/c", kind: "file", sizeBytes: 3 },
      { path: "src/a", kind: "file", sizeBytes: 5 },
    ],
    sizeBytes: 8,
  });
});
