import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { writeMetadata } from "../../src/build/report.ts";
import { createSecrets } from "../../src/build/secrets.ts";
import { tempDir } from "../rig/tree.ts";

test("the metadata file has the answers of every target's exports, sorted, and nothing lies beside it", async () => {
  using dir = tempDir();
  const path = join(dir.path, "new/meta.json");
  await writeMetadata(path, [
    {
      name: "web",
      warnings: [],
      exports: [
        { response: { "image.name": "web", "containerimage.digest": "sha256:1" } },
        { response: { extra: "x" } },
      ],
    },
    { name: "app", warnings: [], exports: [] },
  ]);
  assert.equal(
    readFileSync(path, "utf8"),
    `${JSON.stringify({ app: {}, web: { "containerimage.digest": "sha256:1", extra: "x", "image.name": "web" } }, undefined, 2)}\n`,
  );
  assert.deepEqual(readdirSync(join(dir.path, "new")), ["meta.json"]);
});

test("a secret is what its source says: a variable, a file, or what its id names", async () => {
  using dir = tempDir();
  const secret = createSecrets(
    [
      { id: "a", env: "A" },
      { id: "b", env: "MISSING" },
      { id: "A" },
      { id: "f", src: join(dir.path, "nope") },
    ],
    { A: "1" },
  );
  assert.equal(Buffer.from((await secret("a")) ?? []).toString(), "1");
  assert.equal(await secret("b"), undefined);
  assert.equal(Buffer.from((await secret("A")) ?? []).toString(), "1");
  assert.equal(await secret("unknown"), undefined);
  await assert.rejects(secret("f"), /secret "f" cannot be read/);
});
