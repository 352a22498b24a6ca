// Makes the blobs and documents of an image, for one or several platforms: what every image-shaped exporter shares.
import { BakeError } from "../diagnostic/error.ts";
import type { Compression } from "../layer/compression.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Platform } from "../oci/platform.ts";
import type { ExportContext, ExportInput, ExportRequest } from "./exporter.ts";
import {
  type Document,
  imageDocuments,
  indexDocument,
  type Layer,
  type MediaFamily,
} from "./imagedocument.ts";
import { layersOf, type LayerDeps } from "./layers.ts";
import { booleanOption, choiceOption, integerOption } from "./options.ts";

export interface AssembledImage {
  readonly images: readonly {
    readonly platform: Platform;
    readonly layers: readonly Layer[];
    readonly config: Document;
    readonly manifest: Document;
  }[];
  /** Present when there are several platforms. */
  readonly index?: Document;
  /** What a tag points to: the index, or the only manifest. */
  readonly head: Descriptor;
}

/** Packs all layers and builds all documents. Nothing leaves the state directory. */
export async function assembleImage(
  request: ExportRequest,
  input: ExportInput,
  family: MediaFamily,
  deps: LayerDeps,
  context: ExportContext,
): Promise<AssembledImage> {
  const chosen = choiceOption(request, "compression", ["gzip", "uncompressed", "zstd"], "gzip");
  const compression: Compression = chosen === "uncompressed" ? "none" : chosen;
  const force = booleanOption(request, "force-compression", false);
  const epochSeconds = integerOption(request, "source-date-epoch");
  const epoch =
    epochSeconds === undefined
      ? undefined
      : new Date(epochSeconds * 1000).toISOString().replace(".000Z", "Z");
  const documentOptions = { family, epoch };
  const rewrites = booleanOption(request, "rewrite-timestamp", false);
  if (rewrites && epochSeconds === undefined)
    context.emit({
      type: "warning",
      diagnostic: {
        severity: "warning",
        code: "usage",
        message: "the times of files stay as they are: rewrite-timestamp needs SOURCE_DATE_EPOCH",
        hint: 'give the time in seconds, as args = { SOURCE_DATE_EPOCH = "0" } or in the environment',
      },
    });
  const images = [];
  for (const { platform, ref, config } of input.images) {
    context.signal.throwIfAborted();
    const options = {
      ...{ compression, force },
      ...(rewrites && { clampEpoch: epochSeconds, baseDiffIds: config.rootfs.diff_ids ?? [] }),
    };
    const layers = await layersOf(ref, options, deps, context);
    images.push({ platform, layers, ...imageDocuments(config, layers, documentOptions) });
  }
  const [first] = images;
  if (first === undefined) throw new BakeError("internal", "BUG: nothing to export");
  if (images.length === 1) return { images, head: first.manifest.descriptor };
  const index = indexDocument(
    images.map(({ manifest, platform }) => ({ descriptor: manifest.descriptor, platform })),
    documentOptions,
  );
  return { images, index, head: index.descriptor };
}

/** Every document of an image, those pointed to before those that point. */
export function documentsOf(image: AssembledImage): readonly Document[] {
  const documents = image.images.flatMap(({ config, manifest }) => [config, manifest]);
  return image.index === undefined ? documents : [...documents, image.index];
}

/** The metadata-file entries that describe an image. */
export function imageResponse(image: AssembledImage, names: readonly string[]): Record<string, unknown> {
  const [only] = image.images;
  return {
    ...(image.index === undefined &&
      only !== undefined && { "containerimage.config.digest": only.config.descriptor.digest }),
    "containerimage.descriptor": image.head,
    "containerimage.digest": image.head.digest,
    ...(names.length > 0 && { "image.name": names.join(",") }),
  };
}
