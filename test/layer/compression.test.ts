// Compressed streams: recognised by their bytes, named by media types, refused clearly where Node cannot.
import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import {
  compressionOf,
  compressStream,
  decompressStream,
  detectCompression,
  isZstdAvailable,
  layerMediaType,
} from "../../src/layer/compression.ts";
import { mediaTypes } from "../../src/oci/descriptor.ts";

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function readAll(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test("streams are recognised however they are cut", async () => {
  const data = Buffer.from("some data ".repeat(1000));
  for (const size of [1, 3, 100_000]) {
    assert.ok((await readAll(decompressStream(pieces(data, size)))).equals(data));
    assert.ok((await readAll(decompressStream(pieces(gzipSync(data), size)))).equals(data));
    // Several gzip members one after the other, as parallel compressors write them.
    assert.ok(
      (await readAll(decompressStream(pieces(Buffer.concat([gzipSync(data), gzipSync(data)]), size)))).equals(
        Buffer.concat([data, data]),
      ),
    );
  }
  assert.equal((await readAll(decompressStream(pieces(Buffer.alloc(0), 1)))).length, 0);
  assert.equal((await readAll(decompressStream(pieces(Buffer.from("ab"), 1)))).toString(), "ab");
  assert.equal(detectCompression(Buffer.from([0x28, 0xb5, 0x2f, 0xfd])), "zstd");
});

test("an early end of reading ends the source", async () => {
  let closed = false;
  async function* source(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) yield Buffer.alloc(100_000, "x");
    } finally {
      closed = true;
    }
  }
  for await (const chunk of compressStream(source(), "gzip", { level: 0 })) {
    assert.ok(chunk.length > 0);
    break;
  }
  await new Promise(resolve => setImmediate(resolve));
  assert.ok(closed);
});

test("errors of the source reach the reader as they are", async () => {
  async function* source(): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(10);
    throw new RangeError("of the source");
  }
  await assert.rejects(readAll(compressStream(source(), "gzip")), {
    name: "RangeError",
    message: "of the source",
  });
});

test("media types name compressions of both families", () => {
  assert.equal(compressionOf(mediaTypes.dockerLayerGzip), "gzip");
  assert.equal(compressionOf("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"), "zstd");
  assert.equal(compressionOf("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), "gzip");
  assert.equal(compressionOf("application/json"), undefined);
  assert.equal(layerMediaType("zstd", "oci"), mediaTypes.ociLayerZstd);
  assert.equal(layerMediaType("none", "docker"), mediaTypes.dockerLayer);
  assert.throws(() => layerMediaType("zstd", "docker"), { code: "not-supported" });
});

test("zstd works where Node has it, and is refused with the way out where not", async () => {
  const data = Buffer.from("some data ".repeat(1000));
  if (isZstdAvailable()) {
    const packed = await readAll(compressStream(pieces(data, 999), "zstd"));
    assert.ok((await readAll(decompressStream(pieces(packed, 77)))).equals(data));
  } else {
    await assert.rejects(readAll(decompressStream(pieces(Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0]), 5))), {
      code: "not-supported",
      message: /zstd/,
    });
  }
});
