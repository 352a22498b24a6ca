// Goal: images are pulled layer by layer, only when something needs their files, and never trusted blindly.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { digestOf, image, mkfile, rm, scratch, source } from "../../src/llb/mod.ts";
import { isDigest } from "../../src/oci/digest.ts";
import { type EngineRig, engineRig } from "../rig/engine.ts";
import { startProxy, skipWithoutRegistry, startRegistry } from "../rig/registry.ts";

/** Pushes a two-layer image from another state directory; returns its digest. */
async function publish(name: string, content = "one"): Promise<string> {
  await using rig = await engineRig();
  const state = scratch()
    .file(mkfile("/a", 0o644, content).mkfile("/b", 0o644, content))
    .file(rm("/b").mkfile("/c", 0o644, content));
  const report = await rig.solve(state, [{ type: "image", attrs: { name, push: "true" } }]);
  return report.exports[0]?.descriptor?.digest ?? "";
}

function pulledBlobs(rig: EngineRig): number {
  return new Set(
    rig.events.flatMap(event =>
      event.type === "status" && event.part.startsWith("sha256:") ? [event.part] : [],
    ),
  ).size;
}

describe("images", { skip: skipWithoutRegistry }, () => {
  test("the files of all layers, deletions included, become the base of further steps", async () => {
    await using registry = await startRegistry();
    await publish(`${registry.host}/app:1`);
    await using rig = await engineRig();
    const files = await rig.files(image(`${registry.host}/app:1`).file(mkfile("/d", 0o644, "two")));
    assert.deepEqual(
      ["a", "b", "c", "d"].map(file => {
        try {
          return readFileSync(join(files, file), "utf8");
        } catch {
          return undefined;
        }
      }),
      ["one", undefined, "one", "two"],
    );
    assert.equal(pulledBlobs(rig), 2);
  });

  test("a cached build on a base that did not change pulls nothing, even when the layers are gone from the registry", async () => {
    await using registry = await startRegistry();
    const digest = await publish(`${registry.host}/app:1`);
    await using rig = await engineRig();
    const state = image(`${registry.host}/app:1@${digest}`).file(mkfile("/d", 0o644, "two"));
    await rig.files(state);
    rig.executed();
    await registry.stop();
    await rig.reopen();
    await rig.files(state);
    assert.deepEqual(rig.executed(), []);
  });

  test("a layer limit takes the lowest layers only", async () => {
    await using registry = await startRegistry();
    const digest = await publish(`${registry.host}/app:1`);
    await using rig = await engineRig();
    const files = await rig.files(image(`${registry.host}/app:1`, { layerLimit: 1 }));
    assert.deepEqual(readdirSync(files).sort(), ["a", "b"]);
    assert.equal(pulledBlobs(rig), 1);
    assert.deepEqual(readdirSync(await rig.files(image(`${registry.host}/app@${digest}`))).sort(), [
      "a",
      "c",
    ]);
    await assert.rejects(
      rig.files(image(`${registry.host}/app:1`, { layerLimit: 3 })),
      /has 2 layers, fewer than the limit of 3/,
    );
    const nonsense = source({
      identifier: `docker-image://${registry.host}/app:1`,
      attrs: { "image.layerlimit": "0" },
      caps: [],
    });
    await assert.rejects(rig.files(nonsense), /"0" is no value/);
  });

  test("a tag that is not what its checksum says is refused", async () => {
    await using registry = await startRegistry();
    const digest = await publish(`${registry.host}/app:1`);
    assert.ok(isDigest(digest));
    await using rig = await engineRig();
    assert.equal(
      readFileSync(join(await rig.files(image(`${registry.host}/app:1`, { checksum: digest })), "a"), "utf8"),
      "one",
    );
    const other = image(`${registry.host}/app:1`, { checksum: digestOf("other") });
    await assert.rejects(rig.files(other), {
      code: "content-corrupt",
      message: /does not have the checksum/,
    });
  });

  test("a tag that moved is noticed", async () => {
    await using registry = await startRegistry();
    await publish(`${registry.host}/app:1`, "old");
    await using rig = await engineRig();
    const state = image(`${registry.host}/app:1`).file(mkfile("/d", 0o644, "two"));
    assert.equal(readFileSync(join(await rig.files(state), "a"), "utf8"), "old");
    await publish(`${registry.host}/app:1`, "new");
    await rig.reopen();
    assert.equal(readFileSync(join(await rig.files(state), "a"), "utf8"), "new");
  });

  test("images that are missing, or a registry that is not there, are errors that name them", async () => {
    await using registry = await startRegistry();
    await using rig = await engineRig();
    const build = (reference: string): Promise<string> =>
      rig.files(image(reference).file(mkfile("/x", 0o644, "")));
    await assert.rejects(build(`${registry.host}/nope:1`), /nope:1/);
    await registry.stop();
    await assert.rejects(build(`${registry.host}/app:1`), (error: Error) =>
      error.message.includes(registry.host),
    );
  });

  test("a registry that answers some requests with errors is asked again", async () => {
    await using registry = await startRegistry();
    await publish(`${registry.host}/app:1`);
    await using proxy = await startProxy(registry.host, (_request, times) =>
      times === 0 ? { kind: "answer", status: 503 } : undefined,
    );
    await using rig = await engineRig();
    const files = await rig.files(image(`${proxy.host}/app:1`).file(mkfile("/x", 0o644, "")));
    assert.equal(readFileSync(join(files, "a"), "utf8"), "one");
  });
});
