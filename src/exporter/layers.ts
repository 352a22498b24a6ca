// Turns a ref into layer blobs: one per snapshot of its chain, packed once and remembered.
import { existsSync } from "node:fs";
import { BakeError } from "../diagnostic/error.ts";
import type { BlobStore } from "../content/blob.ts";
import type { Owner } from "../content/lease.ts";
import { type Compression, compressionOf, compressStream, layerMediaType } from "../layer/compression.ts";
import { packLayer } from "../layer/pack.ts";
import { createDigester, type Digest } from "../oci/digest.ts";
import type { LayerBlob, LayerBlobs } from "../snapshot/layerblobs.ts";
import type { Ref } from "../snapshot/ref.ts";
import type { SnapshotId, Snapshotter } from "../snapshot/snapshotter.ts";
import type { ExportContext } from "./exporter.ts";

export interface LayerDeps {
  readonly owner: Pick<Owner, "noteOutside">;
  readonly snapshots: Snapshotter;
  readonly blobs: BlobStore;
  readonly layerBlobs: LayerBlobs;
}

export interface LayerOptions {
  /** Used for layers made now. */
  readonly compression: Compression;
  /** Also repack layers that exist with another compression. */
  readonly force: boolean;
  /** Times of files later than this many seconds since the epoch become this, but in the layers of the base image. */
  readonly clampEpoch?: number | undefined;
  /** The uncompressed layers of the base image. */
  readonly baseDiffIds?: readonly Digest[];
}

/** The layers of a ref, oldest first. Blobs of pulled layers are used as they came unless `force` says otherwise. */
export async function layersOf(
  ref: Ref,
  options: LayerOptions,
  deps: LayerDeps,
  context: ExportContext,
): Promise<readonly LayerBlob[]> {
  if (ref.tag === "scratch") return [];
  if (ref.tag === "local") throw new BakeError("internal", "BUG: a local tree reached an exporter");
  const chain = await deps.snapshots.chain(ref.id);
  const layers: LayerBlob[] = [];
  let isBase = options.clampEpoch !== undefined;
  for (const [index, id] of chain.entries()) {
    isBase &&= await isKnownAs(options.baseDiffIds?.[index], id, deps);
    layers.push(await layerOf(id, isBase ? { ...options, clampEpoch: undefined } : options, deps, context));
  }
  return layers;
}

/** Whether a snapshot's changes were pulled, or packed, as a layer of this digest. */
async function isKnownAs(
  diffId: Digest | undefined,
  id: SnapshotId,
  { layerBlobs }: LayerDeps,
): Promise<boolean> {
  if (diffId === undefined) return false;
  const known = await layerBlobs.find(id);
  return known.some(blob => blob.diffId === diffId && blob.clampEpoch === undefined);
}

/** What was, or is being, looked up or packed: exports of one run have layers in common. */
const asked = new WeakMap<LayerBlobs, Map<string, Promise<LayerBlob>>>();

async function layerOf(
  id: SnapshotId,
  options: LayerOptions,
  deps: LayerDeps,
  context: ExportContext,
): Promise<LayerBlob> {
  const others = asked.get(deps.layerBlobs) ?? new Map<string, Promise<LayerBlob>>();
  asked.set(deps.layerBlobs, others);
  const key = `${id} ${options.compression} ${options.force} ${options.clampEpoch ?? ""}`;
  for (let known = others.get(key); known !== undefined; known = others.get(key)) {
    const layer = await known;
    // Leased by this process; only one that turned out to be damaged is gone.
    if (existsSync(deps.blobs.path(layer.descriptor.digest))) return layer;
    if (others.get(key) === known) others.delete(key);
  }
  const find = async (): Promise<LayerBlob> => {
    try {
      return (await knownBlob(id, options, deps)) ?? (await packSnapshot(id, options, deps, context));
    } catch (thrown) {
      others.delete(key);
      throw thrown;
    }
  };
  const layer = find();
  others.set(key, layer);
  return layer;
}

async function knownBlob(
  id: SnapshotId,
  { compression, force, clampEpoch }: LayerOptions,
  { blobs, layerBlobs }: LayerDeps,
): Promise<LayerBlob | undefined> {
  for (const known of await layerBlobs.find(id)) {
    if (known.clampEpoch !== clampEpoch) continue;
    if (force && compressionOf(known.descriptor.mediaType) !== compression) continue;
    if (await blobs.has(known.descriptor.digest)) return known;
  }
  return undefined;
}

async function packSnapshot(
  id: SnapshotId,
  { compression, clampEpoch }: LayerOptions,
  deps: LayerDeps,
  context: ExportContext,
): Promise<LayerBlob> {
  const { signal } = context;
  const older = (await deps.layerBlobs.find(id))[0];
  await using diff = await deps.snapshots.changes(id);
  const diffId = createDigester();
  const tar = tap(packLayer({ root: diff.root, changes: diff.changes, clampEpoch, signal }), chunk =>
    diffId.update(chunk),
  );
  const written = await deps.blobs.write(compressStream(tar, compression, { signal }), { signal });
  const blob: LayerBlob = {
    descriptor: { mediaType: layerMediaType(compression, "oci"), digest: written.digest, size: written.size },
    diffId: diffId.digest(),
    created: older?.created ?? new Date(context.now()).toISOString(),
    ...(clampEpoch !== undefined && { clampEpoch }),
  };
  await deps.layerBlobs.add(id, blob);
  return blob;
}

async function* tap(
  source: AsyncIterable<Uint8Array>,
  see: (chunk: Uint8Array) => void,
): AsyncIterable<Uint8Array> {
  for await (const chunk of source) {
    see(chunk);
    yield chunk;
  }
}
