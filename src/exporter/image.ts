// `type=image` (and `type=registry`, which is image with push): tags in registries. Blobs and manifests are pushed by
// digest while staging; the tags move on commit, when every other export of the run is ready too.
import type { BlobStore } from "../content/blob.ts";
import { BakeError } from "../diagnostic/error.ts";
import { formatReference, parseReference, type Reference, withDefaultTag } from "../oci/reference.ts";
import type { RegistryClient } from "../registry/client.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type AssembledImage, assembleImage, documentsOf, imageResponse } from "./assemble.ts";
import type { ExportContext, Exporter, ExportInput, ExportRequest, StagedExport } from "./exporter.ts";
import type { Document } from "./imagedocument.ts";
import type { LayerDeps } from "./layers.ts";
import { booleanOption, namesOf } from "./options.ts";

export interface ImageExportDeps extends LayerDeps {
  /** Opened when something is pushed. */
  readonly registry: () => Promise<RegistryClient>;
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
  const current = new Set<Reference>();
  if (push)
    for (const target of uniqueRepositories(tagged)) {
      const names = byDigest ? [] : tagged.filter(name => isSameRepository(name, target));
      for (const name of await pushContent(image, target, names, deps, context)) current.add(name);
    }
  return {
    commit: async () => {
      if (push && !byDigest)
        for (const name of tagged) if (!current.has(name)) await pushTag(image, name, deps, context);
      return { descriptor: image.head, response: imageResponse(image, tagged.map(formatReference)) };
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function uniqueRepositories(names: readonly Reference[]): readonly Reference[] {
  return [...new Map(names.map(name => [`${name.registry}/${name.repository}`, name])).values()];
}

function isSameRepository(a: Reference, b: Reference): boolean {
  return a.registry === b.registry && a.repository === b.repository;
}

/**
 * Blobs and configs, then manifests by digest: at no moment does the registry hold something incomplete. Returns those
 * of `names` that are tags of this image already, and always were since it was asked for.
 */
async function pushContent(
  image: AssembledImage,
  target: Reference,
  names: readonly Reference[],
  deps: ImageExportDeps,
  context: ExportContext,
): Promise<readonly Reference[]> {
  const registry = await deps.registry();
  const isThere = async (
    tagOrDigest: string,
    digest: string,
    signal: AbortSignal = context.signal,
  ): Promise<boolean> => (await registry.manifestDigest(target, tagOrDigest, { signal })) === digest;
  // A registry takes a manifest only when it has all that this names: then nothing else is to be asked for.
  const tags = await Promise.all(
    names.map(async name =>
      name.tag !== undefined && (await isThere(name.tag, image.head.digest)) ? [name] : [],
    ),
  );
  if (tags.some(found => found.length > 0)) return tags.flat();
  const layers = new Map(
    image.images.flatMap(({ layers }) =>
      layers.map(({ descriptor }) => [descriptor.digest, descriptor] as const),
    ),
  );
  const stop = new AbortController();
  const signal = AbortSignal.any([context.signal, stop.signal]);
  // Asked along with the layers: mostly all of it is there, or nothing.
  const manifests = manifestsOf(image).map(async manifest => ({
    ...manifest,
    isThere: await isThere(manifest.descriptor.digest, manifest.descriptor.digest, signal),
  }));
  const pushes = [...layers.values(), ...image.images.map(({ config }) => config.descriptor)].map(
    descriptor => pushBlob(descriptor, target, registry, deps.blobs, { ...context, signal }),
  );
  const all = [...pushes, ...manifests];
  try {
    await Promise.all(pushes);
    for (const { descriptor, bytes, isThere } of await Promise.all(manifests))
      if (!isThere)
        await registry.pushManifest(target, descriptor.digest, descriptor.mediaType, bytes, { signal });
    return [];
  } finally {
    stop.abort();
    await Promise.allSettled(all);
  }
}

/** The manifests of all platforms, then the index over them: the last one is what a tag points to. */
function manifestsOf({ images, index }: AssembledImage): readonly Document[] {
  return [...images.map(({ manifest }) => manifest), ...(index === undefined ? [] : [index])];
}

async function pushBlob(
  descriptor: Descriptor,
  target: Reference,
  registry: RegistryClient,
  blobs: BlobStore,
  { signal, emit, step, now }: ExportContext,
): Promise<void> {
  const { digest, size: total } = descriptor;
  const report = (current: number, done: boolean): void =>
    emit({ type: "status", id: step, part: `pushing ${digest}`, at: now(), current, total, done });
  report(0, false);
  await registry.pushBlob(target, descriptor, () => blobs.stream(digest, { signal }), {
    signal,
    onProgress: sent => report(sent, false),
  });
  report(total, true);
}

async function pushTag(
  image: AssembledImage,
  name: Reference,
  deps: ImageExportDeps,
  { signal }: ExportContext,
): Promise<void> {
  const head = manifestsOf(image).at(-1);
  if (head === undefined || name.tag === undefined) return;
  const registry = await deps.registry();
  await registry.pushManifest(name, name.tag, head.descriptor.mediaType, head.bytes, { signal });
}
