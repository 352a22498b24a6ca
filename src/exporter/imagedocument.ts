// The documents of an image: config completed with what was really written, manifest, index. Follows BuildKit's image
// writer: top-level config keys sorted, manifests indented by two spaces.
import { type Descriptor, type Index, type Manifest, mediaTypes, platformToWire } from "../oci/descriptor.ts";
import { type Digest, digestOf } from "../oci/digest.ts";
import type { HistoryEntry, ImageConfig } from "../oci/imageconfig.ts";
import { goJson, sortedRecord } from "../oci/json.ts";
import type { Platform } from "../oci/platform.ts";

/** A layer as it is shipped. */
export interface Layer {
  readonly descriptor: Descriptor;
  /** Digest of the uncompressed tar. */
  readonly diffId: Digest;
  /** When it was made, ISO 8601. */
  readonly created: string;
}

export interface Document {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

export type MediaFamily = "oci" | "docker";

export interface DocumentOptions {
  readonly family: MediaFamily;
  /** SOURCE_DATE_EPOCH as ISO 8601: later creation times are set back to it. */
  readonly epoch?: string | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

/** The config and manifest of one platform's image. */
export function imageDocuments(
  config: ImageConfig,
  layers: readonly Layer[],
  options: DocumentOptions,
): { config: Document; manifest: Document } {
  const configBytes = encode(goJson(completedConfig(config, layers, options.epoch)));
  const configDocument: Document = {
    bytes: configBytes,
    descriptor: {
      mediaType: options.family === "oci" ? mediaTypes.ociConfig : mediaTypes.dockerConfig,
      digest: digestOf(configBytes),
      size: configBytes.length,
    },
  };
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: options.family === "oci" ? mediaTypes.ociManifest : mediaTypes.dockerManifest,
    config: configDocument.descriptor,
    layers: layers.map(layer => ({
      mediaType: layerMediaType(layer.descriptor.mediaType, options.family),
      digest: layer.descriptor.digest,
      size: layer.descriptor.size,
    })),
    ...(options.annotations && { annotations: sortedRecord(options.annotations) }),
  };
  return { config: configDocument, manifest: document(manifest, manifest.mediaType) };
}

/** An index over the manifests of several platforms. */
export function indexDocument(
  manifests: readonly { descriptor: Descriptor; platform: Platform }[],
  options: DocumentOptions,
): Document {
  const index: Index = {
    schemaVersion: 2,
    mediaType: options.family === "oci" ? mediaTypes.ociIndex : mediaTypes.dockerList,
    manifests: manifests.map(({ descriptor, platform }) => ({
      ...descriptor,
      platform: platformToWire(platform),
    })),
    ...(options.annotations && { annotations: sortedRecord(options.annotations) }),
  };
  return document(index, index.mediaType);
}

function document(value: Manifest | Index, mediaType: string): Document {
  const bytes = encode(goJson(value, "  "));
  return { bytes, descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length } };
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function completedConfig(
  config: ImageConfig,
  layers: readonly Layer[],
  epoch: string | undefined,
): Record<string, unknown> {
  const history = clampHistory(completedHistory(config.history ?? [], layers), config, epoch);
  const created = config.created ?? history.findLast(entry => entry.created !== undefined)?.created ?? null;
  return sortedRecord<unknown>({
    ...config,
    created: created !== null && epoch !== undefined && later(created, epoch) ? epoch : created,
    rootfs: { type: "layers", diff_ids: layers.length === 0 ? null : layers.map(layer => layer.diffId) },
    history: history.length === 0 ? null : history,
  });
}

/**
 * History with exactly one non-empty entry per layer, each with a time: that of its layer, or, for entries without a
 * layer, of the layer before (of the first new layer when none came before).
 */
export function completedHistory(
  history: readonly HistoryEntry[],
  layers: readonly Layer[],
): readonly HistoryEntry[] {
  let counted = 0;
  const entries: HistoryEntry[] = history.map(entry => {
    if (entry.empty_layer) return entry;
    const layer = layers[counted++];
    if (layer === undefined) return { ...entry, empty_layer: true };
    return entry.created === undefined ? { created: layer.created, ...entry } : entry;
  });
  for (const layer of layers.slice(counted))
    entries.push({ created: layer.created, comment: "llbake exporter" });
  const gap = entries.findIndex(entry => entry.created === undefined);
  if (gap < 0) return entries;
  // Times before the first gap belong to the base image; metadata of this build takes the first new layer's time.
  let time =
    entries.slice(gap).find(entry => entry.created !== undefined)?.created ?? entries[gap - 1]?.created;
  return entries.map((entry, index) => {
    if (entry.created === undefined) return time === undefined ? entry : { created: time, ...entry };
    if (index > gap) time = entry.created;
    return entry;
  });
}

/** With an epoch, entries of this build are not later than it; the base image's keep their times. */
function clampHistory(
  history: readonly HistoryEntry[],
  config: ImageConfig,
  epoch: string | undefined,
): readonly HistoryEntry[] {
  if (epoch === undefined) return history;
  const given = config.history ?? [];
  return history.map((entry, index) =>
    given[index]?.created === undefined && entry.created !== undefined && later(entry.created, epoch)
      ? { ...entry, created: epoch }
      : entry,
  );
}

function later(a: string, b: string): boolean {
  return Date.parse(a) > Date.parse(b);
}

const TO_DOCKER: Readonly<Record<string, string>> = {
  [mediaTypes.ociLayer]: mediaTypes.dockerLayer,
  [mediaTypes.ociLayerGzip]: mediaTypes.dockerLayerGzip,
};
const TO_OCI: Readonly<Record<string, string>> = {
  [mediaTypes.dockerLayer]: mediaTypes.ociLayer,
  [mediaTypes.dockerLayerGzip]: mediaTypes.ociLayerGzip,
};

function layerMediaType(mediaType: string, family: MediaFamily): string {
  return (family === "oci" ? TO_OCI : TO_DOCKER)[mediaType] ?? mediaType;
}
