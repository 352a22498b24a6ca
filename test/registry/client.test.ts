// The client against a real registry process, with skopeo as an independent witness, and through a proxy that fails.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { BakeError } from "../../src/diagnostic/error.ts";
import { type Descriptor, mediaTypes } from "../../src/oci/descriptor.ts";
import { digestHex, digestOf } from "../../src/oci/digest.ts";
import { goJson } from "../../src/oci/json.ts";
import { parseReference, type Reference } from "../../src/oci/reference.ts";
import { createRegistryClient, type RegistryClient } from "../../src/registry/client.ts";
import type { PushedImage } from "../../src/registry/push.ts";
import { skipWithoutRegistry, skipWithoutSkopeo, startProxy, startRegistry } from "../rig/registry.ts";
import { tempDir } from "../rig/tree.ts";

const quick = { backoffMs: 1 };

function reference(host: string, name: string): Reference {
  return parseReference(`${host}/${name}`);
}

function describe(bytes: Uint8Array, mediaType: string, extra: Partial<Descriptor> = {}): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.length, ...extra };
}

async function* pieces(bytes: Uint8Array, size = 50_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** One image of one layer per architecture, and an index over them. */
function makeImage(
  architectures: readonly string[],
  layerBytes = 300_000,
): PushedImage & { readonly layers: readonly Buffer[] } {
  const layers: Buffer[] = [];
  const blobs: { descriptor: Descriptor; open: () => AsyncIterable<Uint8Array> }[] = [];
  const configs: typeof blobs = [];
  const manifests: { descriptor: Descriptor; bytes: Uint8Array }[] = [];
  for (const architecture of architectures) {
    const layer = randomBytes(layerBytes);
    const config = Buffer.from(
      goJson({ architecture, os: "linux", rootfs: { type: "layers", diff_ids: [digestOf(layer)] } }),
    );
    const layerDescriptor = describe(layer, mediaTypes.ociLayer);
    const configDescriptor = describe(config, mediaTypes.ociConfig);
    const manifest = Buffer.from(
      goJson({
        schemaVersion: 2,
        mediaType: mediaTypes.ociManifest,
        config: configDescriptor,
        layers: [layerDescriptor],
      }),
    );
    layers.push(layer);
    blobs.push({ descriptor: layerDescriptor, open: () => pieces(layer) });
    configs.push({ descriptor: configDescriptor, open: () => pieces(config) });
    manifests.push({
      descriptor: describe(manifest, mediaTypes.ociManifest, { platform: { os: "linux", architecture } }),
      bytes: manifest,
    });
  }
  if (architectures.length > 1) {
    const index = Buffer.from(
      goJson({
        schemaVersion: 2,
        mediaType: mediaTypes.ociIndex,
        manifests: manifests.map(({ descriptor }) => descriptor),
      }),
    );
    manifests.push({ descriptor: describe(index, mediaTypes.ociIndex), bytes: index });
  }
  return { blobs, configs, manifests, tags: ["v1"], layers };
}

async function readAll(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function rejection(work: Promise<unknown>): Promise<BakeError> {
  try {
    await work;
  } catch (thrown) {
    assert.ok(thrown instanceof BakeError, String(thrown));
    return thrown;
  }
  return assert.fail("it should have failed");
}

test("what is pushed is what is pulled, platform by platform", { skip: skipWithoutRegistry }, async () => {
  await using registry = await startRegistry();
  const client = createRegistryClient();
  const name = reference(registry.host, "team/app:v1");
  const image = makeImage(["amd64", "arm64"]);
  await client.pushImage(name, image);

  const head = image.manifests.at(-1);
  assert.ok(head !== undefined);
  assert.deepEqual(await client.resolve(name), {
    mediaType: head.descriptor.mediaType,
    digest: head.descriptor.digest,
    size: head.descriptor.size,
  });
  const fetched = await client.fetchPlatformManifest(name, { os: "linux", architecture: "arm64" });
  assert.equal(fetched.descriptor.digest, image.manifests[1]?.descriptor.digest);
  assert.ok(fetched.document.kind === "manifest");
  const config = await client.fetchConfig(name, fetched.document.manifest.config);
  assert.equal(
    (JSON.parse(Buffer.from(config).toString()) as { architecture: string }).architecture,
    "arm64",
  );
  const [layer] = fetched.document.manifest.layers;
  assert.ok(layer !== undefined);
  assert.deepEqual(await readAll(client.fetchBlob(name, layer)), image.layers[1]);

  const missing = await rejection(client.fetchPlatformManifest(name, { os: "linux", architecture: "s390x" }));
  assert.equal(missing.code, "registry-missing");
  assert.match(missing.message, /no image for platform linux\/s390x/);
  assert.match(missing.diagnostics[0]?.hint ?? "", /linux\/amd64, linux\/arm64/);
});

test(
  "skopeo reads what was pushed, and what skopeo pushed can be pulled",
  { skip: skipWithoutSkopeo },
  async () => {
    await using registry = await startRegistry();
    using dir = tempDir();
    const client = createRegistryClient();
    const image = makeImage(["amd64"]);
    await client.pushImage(reference(registry.host, "ours"), image);
    const layout = join(dir.path, "layout");
    execFileSync("skopeo", [
      "copy",
      "--quiet",
      "--preserve-digests",
      "--src-tls-verify=false",
      `docker://${registry.host}/ours:v1`,
      `oci:${layout}:v1`,
    ]);
    const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as { manifests: Descriptor[] };
    assert.equal(index.manifests[0]?.digest, image.manifests[0]?.descriptor.digest);
    const layer = image.layers[0];
    assert.ok(layer !== undefined);
    assert.deepEqual(readFileSync(join(layout, "blobs/sha256", digestHex(digestOf(layer)))), layer);

    execFileSync("skopeo", [
      "copy",
      "--quiet",
      "--dest-tls-verify=false",
      "--format=v2s2",
      `oci:${layout}:v1`,
      `docker://${registry.host}/theirs:v2`,
    ]);
    const fetched = await client.fetchManifest(reference(registry.host, "theirs:v2"));
    assert.equal(fetched.descriptor.mediaType, mediaTypes.dockerManifest);
    assert.ok(fetched.document.kind === "manifest");
    for (const descriptor of fetched.document.manifest.layers) {
      assert.equal(
        digestOf(await readAll(client.fetchBlob(reference(registry.host, "theirs"), descriptor))),
        descriptor.digest,
      );
    }
  },
);

test(
  "a blob that is there is not sent, one in another repository is mounted, one asked for twice goes once",
  { skip: skipWithoutRegistry },
  async () => {
    await using registry = await startRegistry();
    await using proxy = await startProxy(registry.host, () => undefined);
    const client = createRegistryClient();
    const bytes = randomBytes(100_000);
    const blob = describe(bytes, mediaTypes.ociLayer);
    let opened = 0;
    const open = (): AsyncIterable<Uint8Array> => {
      opened++;
      return pieces(bytes);
    };
    const one = reference(proxy.host, "one");
    const outcomes = await Promise.all([client.pushBlob(one, blob, open), client.pushBlob(one, blob, open)]);
    assert.deepEqual(outcomes.sort(), ["exists", "uploaded"]);
    assert.equal(await client.pushBlob(one, blob, open), "exists");
    assert.equal(
      await client.pushBlob(reference(proxy.host, "two"), blob, open, { mountFrom: ["absent", "one"] }),
      "mounted",
    );
    assert.equal(opened, 1);
    assert.equal(proxy.requests.filter(line => line.startsWith("PUT")).length, 1);
  },
);

test("tags are pushed last, and not at all when a blob fails", { skip: skipWithoutRegistry }, async () => {
  await using registry = await startRegistry();
  const image = makeImage(["amd64", "arm64"], 1000);
  {
    await using proxy = await startProxy(registry.host, () => undefined);
    await createRegistryClient(quick).pushImage(reference(proxy.host, "app"), { ...image, tags: ["a", "b"] });
    const puts = proxy.requests
      .filter(line => line.startsWith("PUT"))
      .map(line => line.replace(/\?.*/, "").replace(/^PUT \/v2\/app\//, ""));
    assert.deepEqual(
      puts.map(put =>
        put.startsWith("blobs/") ? "blob" : put.startsWith("manifests/sha256:") ? "manifest" : put,
      ),
      [
        ...["blob", "blob", "blob", "blob"],
        ...["manifest", "manifest", "manifest"],
        ...["manifests/a", "manifests/b"],
      ],
    );
  }
  await using proxy = await startProxy(registry.host, request =>
    /^PUT .*blobs\/uploads/.test(request) ? { kind: "answer", status: 400 } : undefined,
  );
  const failure = await rejection(
    createRegistryClient(quick).pushImage(reference(proxy.host, "broken"), makeImage(["amd64"])),
  );
  assert.equal(failure.code, "registry-failed");
  assert.deepEqual(
    proxy.requests.filter(line => line.includes("manifests")),
    [],
  );
});

test(
  "passing failures are waited out: 500, 429 with Retry-After, resets",
  { skip: skipWithoutRegistry },
  async () => {
    await using registry = await startRegistry();
    const image = makeImage(["amd64"], 200_000);
    let uploads = 0;
    await using proxy = await startProxy(registry.host, (request, times) => {
      if (request.startsWith("HEAD") && times === 0) return { kind: "reset" };
      if (request.startsWith("POST") && times < 2)
        return { kind: "answer", status: 429, headers: { "retry-after": "0" } };
      if (/^PUT .*uploads/.test(request) && uploads++ === 0) return { kind: "answer", status: 503 };
      if (/^PUT .*manifests/.test(request) && times === 0) return { kind: "answer", status: 500 };
      return undefined;
    });
    const client = createRegistryClient(quick);
    const name = reference(proxy.host, "app:v1");
    await client.pushImage(name, image);
    assert.equal((await client.resolve(name)).digest, image.manifests[0]?.descriptor.digest);
  },
);

test("an upload broken in the middle is sent again", { skip: skipWithoutRegistry }, async () => {
  await using registry = await startRegistry();
  let broken = 0;
  await using proxy = await startProxy(registry.host, (request, _times, incoming) => {
    if (!/^PUT .*uploads/.test(request) || broken > 0) return undefined;
    broken++;
    incoming.once("data", () => incoming.socket.resetAndDestroy());
    return undefined;
  });
  const bytes = randomBytes(3_000_000);
  const blob = describe(bytes, mediaTypes.ociLayer);
  const client = createRegistryClient(quick);
  assert.equal(await client.pushBlob(reference(proxy.host, "app"), blob, () => pieces(bytes)), "uploaded");
  assert.equal(broken, 1);
  assert.deepEqual(await readAll(client.fetchBlob(reference(registry.host, "app"), blob)), bytes);
});

test("a download broken in the middle goes on where it broke", { skip: skipWithoutRegistry }, async () => {
  await using registry = await startRegistry();
  const bytes = randomBytes(2_000_000);
  const blob = describe(bytes, mediaTypes.ociLayer);
  await createRegistryClient().pushBlob(reference(registry.host, "app"), blob, () => pieces(bytes));
  const ranges: (string | undefined)[] = [];
  await using proxy = await startProxy(registry.host, (request, times, incoming) => {
    if (!request.startsWith("GET") || !request.includes("blobs")) return undefined;
    ranges.push(incoming.headers.range);
    return times < 3 ? { kind: "truncate", afterBytes: 400_000 } : undefined;
  });
  const client = createRegistryClient(quick);
  assert.deepEqual(await readAll(client.fetchBlob(reference(proxy.host, "app"), blob)), bytes);
  assert.equal(ranges.length, 4);
  assert.equal(ranges[0], undefined);
  assert.match(ranges[3] ?? "", /^bytes=[1-9]\d*-$/);
});

test("a download that never gets anywhere ends with a reason", { skip: skipWithoutRegistry }, async () => {
  await using registry = await startRegistry();
  const bytes = randomBytes(100_000);
  const blob = describe(bytes, mediaTypes.ociLayer);
  await createRegistryClient().pushBlob(reference(registry.host, "app"), blob, () => pieces(bytes));
  await using proxy = await startProxy(registry.host, request =>
    request.startsWith("GET") ? { kind: "truncate", afterBytes: 0 } : undefined,
  );
  const failure = await rejection(
    readAll(createRegistryClient(quick).fetchBlob(reference(proxy.host, "app"), blob)),
  );
  assert.equal(failure.code, "registry-failed");
  assert.ok(failure.message.includes(proxy.host), failure.message);
});

test("errors say which reference, host and reason", { skip: skipWithoutRegistry }, async () => {
  await using registry = await startRegistry();
  const client = createRegistryClient(quick);
  const missing = await rejection(client.resolve(reference(registry.host, "no/such:tag")));
  assert.equal(missing.code, "registry-missing");
  assert.equal(missing.message, `"${registry.host}/no/such:tag" is not in the registry`);
  const blob = { mediaType: mediaTypes.ociLayer, digest: digestOf("nothing"), size: 7 };
  assert.equal(
    (await rejection(readAll(client.fetchBlob(reference(registry.host, "no/such"), blob)))).code,
    "registry-missing",
  );

  await registry.stop();
  const refused = await rejection(client.resolve(reference(registry.host, "app")));
  assert.equal(refused.code, "registry-failed");
  assert.equal(refused.message, `cannot reach the registry at ${registry.host}: connection refused`);
});

test("a manifest that is not what its digest says is refused", { skip: skipWithoutRegistry }, async () => {
  await using registry = await startRegistry();
  const image = makeImage(["amd64"], 100);
  await createRegistryClient().pushImage(reference(registry.host, "app"), image);
  const digest = image.manifests[0]?.descriptor.digest;
  assert.ok(digest !== undefined);
  await using proxy = await startProxy(registry.host, request =>
    request.startsWith("GET")
      ? { kind: "answer", status: 200, headers: { "content-type": mediaTypes.ociManifest }, body: "{}" }
      : undefined,
  );
  const name: Reference = { ...reference(proxy.host, "app"), digest };
  assert.equal((await rejection(createRegistryClient(quick).fetchManifest(name))).code, "content-corrupt");
});

test("secrets in redirect addresses stay out of errors", { skip: skipWithoutRegistry }, async () => {
  await using registry = await startRegistry();
  await using proxy = await startProxy(registry.host, request =>
    request.includes("uploads")
      ? { kind: "answer", status: 400, body: "" }
      : request.includes("blobs")
        ? { kind: "answer", status: 307, headers: { location: "/elsewhere?X-Signature=s3cret" } }
        : { kind: "answer", status: 418 },
  );
  const blob = { mediaType: mediaTypes.ociLayer, digest: digestOf("x"), size: 1 };
  const failure = await rejection(
    readAll(createRegistryClient(quick).fetchBlob(reference(proxy.host, "app"), blob)),
  );
  assert.ok(!failure.message.includes("s3cret"), failure.message);
  assert.match(failure.message, /elsewhere\?… answered 418/);
});

test("an aborted transfer stops at once", { skip: skipWithoutRegistry }, async () => {
  await using registry = await startRegistry();
  const controller = new AbortController();
  const client: RegistryClient = createRegistryClient(quick);
  async function* slow(): AsyncGenerator<Uint8Array> {
    yield randomBytes(1000);
    controller.abort();
    await new Promise(() => undefined);
  }
  const blob = { mediaType: mediaTypes.ociLayer, digest: digestOf("x"), size: 2000 };
  await assert.rejects(
    client.pushBlob(reference(registry.host, "app"), blob, slow, { signal: controller.signal }),
    { name: "AbortError" },
  );
});

test(
  "a layer that cannot be read is reported as such, not as the registry's fault",
  { skip: skipWithoutRegistry },
  async () => {
    await using registry = await startRegistry();
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield randomBytes(1000);
      throw new BakeError("content-corrupt", "the disk is at fault");
    }
    const blob = { mediaType: mediaTypes.ociLayer, digest: digestOf("x"), size: 2000 };
    const failure = await rejection(
      createRegistryClient(quick).pushBlob(reference(registry.host, "app"), blob, broken),
    );
    assert.equal(failure.message, "the disk is at fault");
  },
);

test("an empty blob can be pushed", { skip: skipWithoutRegistry }, async () => {
  await using registry = await startRegistry();
  using dir = tempDir();
  mkdirSync(join(dir.path, "x"));
  writeFileSync(join(dir.path, "x/y"), "");
  const empty = Buffer.alloc(0);
  const blob = describe(empty, "application/octet-stream");
  const client = createRegistryClient(quick);
  assert.equal(await client.pushBlob(reference(registry.host, "app"), blob, () => pieces(empty)), "uploaded");
  assert.deepEqual(await readAll(client.fetchBlob(reference(registry.host, "app"), blob)), empty);
});
