// Goal: an image in an OCI layout folder is a base like one from a registry, and is never trusted blindly.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { findLayoutImage } from "../../src/build/ocilayout.ts";
import { BakeError } from "../../src/diagnostic/error.ts";
import { mkfile, ociLayout, scratch, type State } from "../../src/llb/mod.ts";
import { type EngineRig, engineRig } from "../rig/engine.ts";

/** Writes a layout folder with one image tagged "1"; returns folder and digest. */
async function layout(rig: EngineRig): Promise<{ folder: string; digest: string }> {
  const folder = join(rig.dir.path, "layout");
  const state = scratch().file(mkfile("/a", 0o644, "from the layout"));
  const report = await rig.solve(state, [
    { type: "oci", attrs: { tar: "false", name: "example.com/app:1" }, dest: folder },
  ]);
  rig.locals.set("store", folder);
  return { folder, digest: report.exports[0]?.descriptor?.digest ?? "" };
}

const base = (digest: string): State =>
  ociLayout(`example.com/app@${digest}`, { sessionId: "s", storeId: "store" });

test("the files of the image become the base of further steps", async () => {
  await using writer = await engineRig();
  const { digest, folder } = await layout(writer);
  await using rig = await engineRig();
  rig.locals.set("store", folder);
  const files = await rig.files(base(digest).file(mkfile("/b", 0o644, "more")));
  assert.deepEqual(readdirSync(files).sort(), ["a", "b"]);
  assert.equal(readFileSync(join(files, "a"), "utf8"), "from the layout");
});

test("a layer limit that the image does not have is refused", async () => {
  await using rig = await engineRig();
  const { digest } = await layout(rig);
  const of = (layerLimit: number): State =>
    ociLayout(`example.com/app@${digest}`, { sessionId: "s", storeId: "store", layerLimit });
  assert.deepEqual(readdirSync(await rig.files(of(1))), ["a"]);
  await assert.rejects(rig.files(of(2)), /has 1 layers, fewer than the limit of 2/);
});

test("a blob with other content is refused", async () => {
  await using writer = await engineRig();
  const { digest, folder } = await layout(writer);
  const blobs = join(folder, "blobs", "sha256");
  const manifest = JSON.parse(readFileSync(join(blobs, digest.slice(7)), "utf8")) as {
    layers: { digest: string; size: number }[];
  };
  const layer = manifest.layers[0];
  assert.ok(layer);
  writeFileSync(join(blobs, layer.digest.slice(7)), Buffer.alloc(layer.size, 1));
  await using rig = await engineRig();
  rig.locals.set("store", folder);
  await assert.rejects(rig.files(base(digest).file(mkfile("/b", 0o644, ""))), (error: unknown) => {
    assert.ok(error instanceof BakeError);
    assert.equal(error.code, "content-corrupt");
    return true;
  });
});

test("a store that was not lent and an image that is not there are errors that say so", async () => {
  await using rig = await engineRig();
  const { digest } = await layout(rig);
  const missing = `sha256:${"0".repeat(64)}`;
  await using other = await engineRig();
  await assert.rejects(
    other.files(base(digest).file(mkfile("/b", 0o644, ""))),
    /no OCI layout named "store"/,
  );
  other.locals.set("store", join(rig.dir.path, "layout"));
  await assert.rejects(other.files(base(missing).file(mkfile("/b", 0o644, ""))), /has no sha256:0000/);
});

test("a context names an image of a layout by tag, by digest, or as the only one", async () => {
  await using rig = await engineRig();
  const { folder, digest } = await layout(rig);
  const find = (value: string): string => findLayoutImage(value, rig.dir.path, "here").digest;
  assert.equal(find("oci-layout://layout:1"), digest);
  assert.equal(find("oci-layout://layout"), digest);
  assert.equal(find(`oci-layout://${folder}@${digest}`), digest);
  assert.throws(() => find("oci-layout://layout:2"), /no image tagged "2"/);
  assert.throws(() => find("oci-layout://nowhere"), /is not an OCI layout/);
});
