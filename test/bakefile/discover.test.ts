// Which files of a folder are loaded when none is named.
import assert from "node:assert/strict";
import { test } from "node:test";
import { discoverBakeFiles } from "../../src/bakefile/discover.ts";

test("all of buildx's names that exist are loaded, in its order", () => {
  const existing = new Set(["docker-bake.hcl", "compose.yaml", "docker-bake.override.hcl", "bake.hcl"]);
  assert.deepEqual(discoverBakeFiles(existing), [
    "compose.yaml",
    "docker-bake.hcl",
    "docker-bake.override.hcl",
  ]);
});

test("without them, bake.hcl comes before bake.json", () => {
  assert.deepEqual(discoverBakeFiles(new Set(["bake.json", "bake.hcl"])), ["bake.hcl"]);
  assert.deepEqual(discoverBakeFiles(new Set(["bake.json"])), ["bake.json"]);
  assert.deepEqual(discoverBakeFiles(new Set()), []);
});
