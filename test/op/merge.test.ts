// Goal: merge and diff give the trees LLB says, keeping layers apart so that their blobs stay the same.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { diff, merge, mkdir, mkfile, scratch } from "../../src/llb/mod.ts";
import { engineRig } from "../rig/engine.ts";

const text = (...path: readonly string[]): string => readFileSync(join(...path), "utf8");

test("a merge lays later results over earlier ones", async () => {
  await using rig = await engineRig();
  const lower = scratch().file(
    mkdir("/d", 0o755).mkfile("/d/a", 0o644, "lower").mkfile("/d/b", 0o644, "lower"),
  );
  const upper = scratch().file(
    mkdir("/d", 0o755).mkfile("/d/b", 0o644, "upper").mkfile("/c", 0o644, "upper"),
  );
  const files = await rig.files(merge([lower, upper]));
  assert.deepEqual([text(files, "d/a"), text(files, "d/b"), text(files, "c")], ["lower", "upper", "upper"]);
});

test("each layer of a merged result keeps its blob", async () => {
  await using rig = await engineRig();
  const one = scratch().file(mkfile("/one", 0o644, "1", { timestamp: 0n }));
  const two = scratch().file(mkfile("/two", 0o644, "2", { timestamp: 0n }));
  const layersOf = async (state: typeof one): Promise<readonly string[]> => {
    const dest = join(rig.dir.path, `layout${Math.random()}`);
    const report = await rig.solve(state, [{ type: "oci", attrs: { tar: "false" }, dest }]);
    const digest = report.exports[0]?.descriptor?.digest ?? "";
    const manifest = JSON.parse(text(dest, "blobs/sha256", digest.slice("sha256:".length))) as {
      layers: { digest: string }[];
    };
    return manifest.layers.map(layer => layer.digest);
  };
  const merged = await layersOf(merge([one, two]));
  assert.deepEqual(merged, [...(await layersOf(one)), ...(await layersOf(two))]);
});

test("a diff is what changed and nothing of what was there", async () => {
  await using rig = await engineRig();
  const base = scratch().file(mkfile("/a", 0o644, "1").mkfile("/b", 0o644, "1"));
  const files = await rig.files(diff(base, base.file(mkfile("/c", 0o644, "2"))));
  assert.ok(!existsSync(join(files, "a")));
  assert.equal(text(files, "c"), "2");
  const nothing = await rig.files(diff(base, base));
  assert.ok(!existsSync(join(nothing, "a")));
  const all = await rig.files(diff(scratch(), base));
  assert.equal(text(all, "a"), "1");
});
