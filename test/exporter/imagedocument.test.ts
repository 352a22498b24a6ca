// Goal: configs and manifests say exactly what was written, with one history entry per layer and sensible times.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  completedHistory,
  imageDocuments,
  indexDocument,
  type Layer,
} from "../../src/exporter/imagedocument.ts";
import { mediaTypes } from "../../src/oci/descriptor.ts";
import { digestOf } from "../../src/oci/digest.ts";
import type { ImageConfig } from "../../src/oci/imageconfig.ts";

const layer = (name: string, created: string): Layer => ({
  descriptor: { mediaType: mediaTypes.ociLayerGzip, digest: digestOf(name), size: name.length },
  diffId: digestOf(`${name} uncompressed`),
  created,
});
const config: ImageConfig = {
  architecture: "amd64",
  os: "linux",
  rootfs: { type: "layers", diff_ids: [] },
  history: [{ created_by: "COPY a" }, { created_by: "ENV A=1", empty_layer: true }],
  config: { Env: ["A=1"] },
};

test("the config names the layers that were written and when the image was made", () => {
  const { config: document } = imageDocuments(config, [layer("a", "2026-01-01T00:00:00Z")], {
    family: "oci",
  });
  const written: unknown = JSON.parse(new TextDecoder().decode(document.bytes));
  assert.deepEqual(written, {
    architecture: "amd64",
    config: { Env: ["A=1"] },
    created: "2026-01-01T00:00:00Z",
    history: [
      { created: "2026-01-01T00:00:00Z", created_by: "COPY a" },
      { created: "2026-01-01T00:00:00Z", created_by: "ENV A=1", empty_layer: true },
    ],
    os: "linux",
    rootfs: { type: "layers", diff_ids: [digestOf("a uncompressed")] },
  });
  assert.equal(document.descriptor.digest, digestOf(document.bytes));
  assert.equal(document.descriptor.size, document.bytes.length);
});

test("top-level keys of the config are sorted, as BuildKit's image writer leaves them", () => {
  const { config: document } = imageDocuments(config, [layer("a", "2026-01-01T00:00:00Z")], {
    family: "oci",
  });
  const keys = Object.keys(JSON.parse(new TextDecoder().decode(document.bytes)) as object);
  assert.deepEqual(keys, [...keys].sort());
});

test("a layer without history gets an entry, history without a layer is marked empty", () => {
  const more = completedHistory([], [layer("a", "2026-01-01T00:00:00Z")]);
  assert.equal(more.length, 1);
  assert.equal(more[0]?.empty_layer, undefined);
  const fewer = completedHistory([{ created_by: "RUN x" }], []);
  assert.deepEqual(fewer, [{ created_by: "RUN x", empty_layer: true }]);
});

test("metadata of this build takes the time of its first new layer, base entries keep theirs", () => {
  const history = completedHistory(
    [
      { created: "2020-01-01T00:00:00Z", created_by: "base" },
      { created_by: "ENV A=1", empty_layer: true },
      { created_by: "RUN x" },
      { created_by: "CMD x", empty_layer: true },
    ],
    [layer("base", "2020-01-01T00:00:00Z"), layer("new", "2026-01-01T00:00:00Z")],
  );
  assert.deepEqual(
    history.map(entry => entry.created),
    ["2020-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"],
  );
});

test("with an epoch nothing of this build is later than it, and the base image's times stay", () => {
  const based: ImageConfig = {
    ...config,
    history: [{ created: "2025-05-05T00:00:00Z", created_by: "base" }, { created_by: "RUN x" }],
  };
  const { config: document } = imageDocuments(
    based,
    [layer("base", "2025-05-05T00:00:00Z"), layer("new", "2026-01-01T00:00:00Z")],
    { family: "oci", epoch: "2021-01-01T00:00:00Z" },
  );
  const written = JSON.parse(new TextDecoder().decode(document.bytes)) as ImageConfig;
  assert.deepEqual(
    written.history?.map(entry => entry.created),
    ["2025-05-05T00:00:00Z", "2021-01-01T00:00:00Z"],
  );
  assert.equal(written.created, "2021-01-01T00:00:00Z");
});

test("docker documents use docker's media types throughout", () => {
  const { manifest, config: configDocument } = imageDocuments(config, [layer("a", "2026-01-01T00:00:00Z")], {
    family: "docker",
  });
  const written = JSON.parse(new TextDecoder().decode(manifest.bytes)) as { layers: { mediaType: string }[] };
  assert.equal(manifest.descriptor.mediaType, mediaTypes.dockerManifest);
  assert.equal(configDocument.descriptor.mediaType, mediaTypes.dockerConfig);
  assert.deepEqual(
    written.layers.map(({ mediaType }) => mediaType),
    [mediaTypes.dockerLayerGzip],
  );
});

test("an image without layers is written without inventing any", () => {
  const { config: document } = imageDocuments({ ...config, history: [] }, [], { family: "oci" });
  const written = JSON.parse(new TextDecoder().decode(document.bytes)) as {
    rootfs: unknown;
    history: unknown;
  };
  assert.deepEqual(written.rootfs, { type: "layers", diff_ids: null });
  assert.equal(written.history, null);
});

test("an index tells the platform of each manifest", () => {
  const { manifest } = imageDocuments(config, [layer("a", "2026-01-01T00:00:00Z")], { family: "oci" });
  const index = indexDocument(
    [{ descriptor: manifest.descriptor, platform: { os: "linux", architecture: "arm", variant: "v7" } }],
    { family: "oci" },
  );
  const written = JSON.parse(new TextDecoder().decode(index.bytes)) as { manifests: { platform: unknown }[] };
  assert.deepEqual(written.manifests[0]?.platform, { architecture: "arm", os: "linux", variant: "v7" });
});
