// `type=image` (and `type=registry`, which is image with push): tags in registries. Blobs and manifests are pushed by
// digest while staging; the tags move on commit, when every other export of the run is ready too.
import type { BlobStore } from "../content/blob.ts";
import { BakeError } from "../diagnostic/error.ts";
import { formatReference, parseReference, type Reference, withDefaultTag } from "../oci/reference.ts";
import type { RegistryClient } from "../registry/client.ts";
import { type AssembledImage, assembleImage, documentsOf, imageResponse } from "./assemble.ts";
import type { ExportContext, Exporter, ExportInput, ExportRequest, StagedExport } from "./exporter.ts";
import type { LayerDeps } from "./layers.ts";
import { booleanOption, namesOf } from "./options.ts";

export interface ImageExportDeps extends LayerDeps {
  readonly registry: RegistryClient;
}

export function createImageExporter(deps: ImageExportDeps): Exporter {
  return { stage: (request, input, context) => stageImage(request, input, deps, context) };
}

async function stageImage(
  request: ExportRequest,
  input: ExportInput,
  deps: ImageExportDeps,
  context: ExportContext,
): Promise<StagedExport> {
  const push = booleanOption(request, "push", request.type === "registry");
  const byDigest = booleanOption(request, "push-by-digest", false);
  const names = namesOf(request).map(name => parseReference(name));
  if (push && names.length === 0) {
    throw new BakeError("usage", "a tag is needed to push an image", {
      hint: `add tags = ["REGISTRY/NAME:TAG"] to the target`,
    });
  }
  const image = await assembleImage(
    request,
    input,
    booleanOption(request, "oci-mediatypes", true) ? "oci" : "docker",
    deps,
    context,
  );
  for (const { bytes, descriptor } of documentsOf(image))
    await deps.blobs.write(bytes, { expected: descriptor.digest, signal: context.signal });
  const tagged = names.map(name => withDefaultTag(name));
  if (push) for (const target of uniqueRepositories(tagged)) await pushContent(image, target, deps, context);
  return {
    commit: async () => {
      if (push && !byDigest) for (const name of tagged) await pushTag(image, name, deps, context);
      return { descriptor: image.head, response: imageResponse(image, tagged.map(formatReference)) };
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function uniqueRepositories(names: readonly Reference[]): readonly Reference[] {
  return [...new Map(names.map(name => [`${name.registry}/${name.repository}`, name])).values()];
}

/** Blobs, then configs, then manifests by digest: at no moment does the registry hold something incomplete. */
async function pushContent(
  image: AssembledImage,
  target: Reference,
  { registry, blobs }: ImageExportDeps,
  context: ExportContext,
): Promise<void> {
  const { signal } = context;
  const layers = new Map(
    image.images.flatMap(({ layers }) =>
      layers.map(layer => [layer.descriptor.digest, layer.descriptor] as const),
    ),
  );
  await Promise.all(
    [...layers.values()].map(descriptor => pushBlob(descriptor, target, registry, blobs, context)),
  );
  for (const { config } of image.images) await pushBlob(config.descriptor, target, registry, blobs, context);
  const manifests = [
    ...image.images.map(({ manifest }) => manifest),
    ...(image.index === undefined ? [] : [image.index]),
  ];
  for (const { descriptor, bytes } of manifests)
    await registry.pushManifest(target, descriptor.digest, descriptor.mediaType, bytes, { signal });
}

async function pushBlob(
  descriptor: AssembledImage["head"],
  target: Reference,
  registry: RegistryClient,
  blobs: BlobStore,
  { signal, emit, step, now }: ExportContext,
): Promise<void> {
  const report = (current: number, done: boolean): void =>
    emit({
      type: "status",
      id: step,
      part: `pushing ${descriptor.digest}`,
      at: now(),
      current,
      total: descriptor.size,
      done,
    });
  report(0, false);
  await registry.pushBlob(target, descriptor, () => blobs.stream(descriptor.digest), { signal });
  report(descriptor.size, true);
}

async function pushTag(
  image: AssembledImage,
  name: Reference,
  { registry }: ImageExportDeps,
  { signal }: ExportContext,
): Promise<void> {
  const head = image.index ?? image.images[0]?.manifest;
  if (head === undefined || name.tag === undefined) return;
  await registry.pushManifest(name, name.tag, head.descriptor.mediaType, head.bytes, { signal });
}
