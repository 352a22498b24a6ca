// Compression of layer blobs, and the media types that name it (OCI image spec, layer.md; Docker's schema 2).
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import * as zlib from "node:zlib";
import { BakeError } from "../diagnostic/error.ts";
import { mediaTypes } from "../oci/descriptor.ts";

export type Compression = "none" | "gzip" | "zstd";

/** zlib's own default, as Go's and so BuildKit's. */
const GZIP_LEVEL = 6;
/** zstd's own default. */
const ZSTD_LEVEL = 3;
const CHUNK_BYTES = 128 * 1024;

const LAYERS: ReadonlyMap<string, { readonly family: "oci" | "docker"; readonly compression: Compression }> =
  new Map([
    [mediaTypes.ociLayer, { family: "oci", compression: "none" }],
    [mediaTypes.ociLayerGzip, { family: "oci", compression: "gzip" }],
    [mediaTypes.ociLayerZstd, { family: "oci", compression: "zstd" }],
    [mediaTypes.dockerLayer, { family: "docker", compression: "none" }],
    [mediaTypes.dockerLayerGzip, { family: "docker", compression: "gzip" }],
  ]);

/** The compression that a layer's media type declares, or undefined when it is not the type of a layer. */
export function compressionOf(mediaType: string): Compression | undefined {
  // Non-distributable layers are obsolete but still found in Windows images.
  const plain = mediaType.replace(".nondistributable", "").replace("rootfs.foreign.diff", "rootfs.diff");
  return LAYERS.get(plain)?.compression;
}

/** @throws BakeError "not-supported" for a combination that has no media type */
export function layerMediaType(compression: Compression, family: "oci" | "docker"): string {
  for (const [type, row] of LAYERS) if (row.family === family && row.compression === compression) return type;
  throw new BakeError("not-supported", `${compression} layers need OCI media types`, {
    hint: "set oci-mediatypes=true",
  });
}

/** Recognises a compressed stream by its first bytes; anything else counts as uncompressed. */
export function detectCompression(head: Uint8Array): Compression {
  if (head[0] === 0x1f && head[1] === 0x8b) return "gzip";
  if (head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd) return "zstd";
  return "none";
}

export function isZstdAvailable(): boolean {
  return typeof Reflect.get(zlib, "createZstdCompress") === "function";
}

export interface CompressOptions {
  readonly signal?: AbortSignal;
  /** gzip: 0-9, default 6. zstd: 1-22, default 3. */
  readonly level?: number;
}

/**
 * Compresses a stream. The same input, level and version of Node give the same bytes: no time, name or host enters.
 * @throws BakeError "not-supported" when this Node has no zstd
 */
export function compressStream(
  source: AsyncIterable<Uint8Array>,
  compression: Compression,
  options: CompressOptions = {},
): AsyncIterable<Uint8Array> {
  switch (compression) {
    case "none":
      return source;
    case "gzip":
      return through(
        source,
        zlib.createGzip({ level: options.level ?? GZIP_LEVEL, chunkSize: CHUNK_BYTES }),
        options.signal,
      );
    case "zstd": {
      const level: unknown = Reflect.get(zlib.constants, "ZSTD_c_compressionLevel");
      const params = typeof level === "number" ? { [level]: options.level ?? ZSTD_LEVEL } : {};
      return through(
        source,
        zstdTransform("createZstdCompress", { params, chunkSize: CHUNK_BYTES }),
        options.signal,
      );
    }
    default: {
      const never: never = compression;
      return never;
    }
  }
}

/**
 * Decompresses a stream, recognising gzip and zstd by their first bytes and passing anything else through.
 * @throws BakeError "content-corrupt" for damaged data, "not-supported" when this Node has no zstd
 */
export async function* decompressStream(
  source: AsyncIterable<Uint8Array>,
  { signal }: { readonly signal?: AbortSignal } = {},
): AsyncGenerator<Uint8Array, void, void> {
  const iterator = source[Symbol.asyncIterator]();
  const head: Uint8Array[] = [];
  let size = 0;
  let ended = false;
  while (size < 4 && !ended) {
    const next = await iterator.next();
    if (next.done === true) ended = true;
    else {
      head.push(next.value);
      size += next.value.length;
    }
  }
  const whole: AsyncIterable<Uint8Array> = rejoin(head, iterator, ended);
  const compression = detectCompression(Buffer.concat(head).subarray(0, 4));
  if (compression === "none") {
    yield* whole;
    return;
  }
  const transform =
    compression === "gzip"
      ? zlib.createGunzip({ chunkSize: CHUNK_BYTES })
      : zstdTransform("createZstdDecompress", { chunkSize: CHUNK_BYTES });
  try {
    yield* through(whole, transform, signal);
  } catch (thrown) {
    const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
    if (!/^(?:Z_|ZSTD_)/.test(code)) throw thrown;
    throw new BakeError(
      "content-corrupt",
      `cannot decompress the ${compression} stream: ${code === "Z_BUF_ERROR" ? "it is cut off" : "it is damaged"}`,
      { cause: thrown },
    );
  }
}

async function* rejoin(
  head: readonly Uint8Array[],
  rest: AsyncIterator<Uint8Array>,
  ended: boolean,
): AsyncGenerator<Uint8Array, void, void> {
  try {
    yield* head;
    while (!ended) {
      const next = await rest.next();
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    await rest.return?.();
  }
}

async function* through(
  source: AsyncIterable<Uint8Array>,
  transform: Transform,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  // The pipeline carries errors of either side to the other; its own promise is awaited in this scope.
  const done = pipeline(Readable.from(source, { objectMode: false }), transform, {
    ...(signal && { signal }),
  });
  done.catch(() => undefined);
  let finished = false;
  try {
    for await (const chunk of transform) {
      if (!(chunk instanceof Uint8Array)) throw new Error("BUG: a byte stream gave something else");
      yield chunk;
    }
    finished = true;
  } finally {
    if (!finished) transform.destroy();
    await (finished ? done : done.catch(() => undefined));
  }
}

function zstdTransform(name: "createZstdCompress" | "createZstdDecompress", options: object): Transform {
  const create: unknown = Reflect.get(zlib, name);
  const transform: unknown =
    typeof create === "function" ? Reflect.apply(create, zlib, [options]) : undefined;
  if (transform instanceof Transform) return transform;
  throw new BakeError("not-supported", "zstd layers cannot be handled by this version of Node", {
    hint: `run with Node 22.15 or newer (this is ${process.version})`,
  });
}
