// `docker-image://REFERENCE`: an image of a registry. Its key is its digest, so nothing is pulled to answer whether a
// step is cached; layers are applied to snapshots named by their chain id and shared by all images.
import type { BlobStore } from "../content/blob.ts";
import { despiteDamage } from "../content/damaged.ts";
import { withLock } from "../content/lock.ts";
import type { StateRoot } from "../content/root.ts";
import { BakeError } from "../diagnostic/error.ts";
import { applyLayer } from "../layer/apply.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, digestOf, isDigest } from "../oci/digest.ts";
import { formatPlatform } from "../oci/platform.ts";
import { formatReference, parseReference, type Reference } from "../oci/reference.ts";
import type { RegistryClient } from "../registry/client.ts";
import { heardAlike } from "../registry/patience.ts";
import type { Session } from "../session/session.ts";
import type { LayerBlobs } from "../snapshot/layerblobs.ts";
import type { Ref } from "../snapshot/ref.ts";
import type { SnapshotId, Snapshotter } from "../snapshot/snapshotter.ts";
import { type ImageOrigin, registryOrigin } from "./imageorigin.ts";
import type { ImageResolver, ResolvedImage } from "./imageresolver.ts";
import type { PinnedSource, SourceBinding, SourceContext, SourceRequest } from "./source.ts";

export interface ImageSourceDeps {
  readonly root: StateRoot;
  readonly blobs: BlobStore;
  readonly snapshots: Snapshotter;
  readonly layerBlobs: LayerBlobs;
  readonly images: ImageResolver;
  readonly registry: (session: Session) => Promise<RegistryClient>;
  readonly session: Session;
  readonly now: () => number;
}

export function createImageSource(deps: ImageSourceDeps): SourceBinding {
  return createImageSourceFrom(deps, () => registryOrigin(deps.registry, deps.session));
}

/** Images from wherever `originOf` says that a request's image is. */
export function createImageSourceFrom(
  deps: ImageSourceDeps,
  originOf: (request: SourceRequest) => ImageOrigin,
): SourceBinding {
  return {
    pool: "network",
    pin: async (request, context) => pinImage(request, originOf(request), deps, context),
  };
}

async function pinImage(
  request: SourceRequest,
  origin: ImageOrigin,
  deps: ImageSourceDeps,
  { signal }: SourceContext,
): Promise<PinnedSource> {
  const reference = parseReference(request.locator);
  const resolve = (abort: AbortSignal): Promise<ResolvedImage> =>
    deps.images.resolve(reference, request.platform, { origin, signal: abort });
  const { layerLimit, checksum } = readOptions(request.attrs);
  const digest = reference.digest ?? (await resolve(signal)).digest;
  if (checksum !== undefined && checksum !== digest) throw mismatch(reference, digest, checksum);
  return {
    parts: [
      { label: "base image", value: digest, shown: formatReference({ ...reference, digest }) },
      { label: "platform", value: formatPlatform(request.platform), shown: formatPlatform(request.platform) },
      ...(layerLimit === undefined
        ? []
        : [{ label: "layer limit", value: String(layerLimit), shown: String(layerLimit) }]),
    ],
    ...(reference.digest === undefined && { asked: true }),
    fetch: async context => {
      const image = await resolve(context.signal);
      const steps = layerSteps(image, formatReference(reference));
      const wanted = steps.slice(0, expectLayers(layerLimit, steps.length, reference));
      return pull(wanted, image, { reference, origin }, deps, context);
    },
  };
}

interface ImageOptions {
  /** Only so many layers, from the base up; undefined means all. */
  readonly layerLimit: number | undefined;
  /** What the reference has to stand for. */
  readonly checksum: Digest | undefined;
}

const RESOLVE_MODES = ["", "default", "pull", "local"];

/**
 * The modes of resolving are one here: no image store of a daemon could be preferred.
 * @throws BakeError "llb-invalid"
 */
function readOptions(attrs: SourceRequest["attrs"]): ImageOptions {
  const mode = attrs["image.resolvemode"] ?? "";
  if (!RESOLVE_MODES.includes(mode)) throw invalid("image.resolvemode", mode);
  const limit = attrs["image.layerlimit"] ?? attrs["oci.layerlimit"];
  if (limit !== undefined && !/^[1-9]\d{0,8}$/.test(limit)) throw invalid("image.layerlimit", limit);
  const checksum = attrs["image.checksum"];
  if (checksum !== undefined && !isDigest(checksum)) throw invalid("image.checksum", checksum);
  return { layerLimit: limit === undefined ? undefined : Number(limit), checksum };
}

function invalid(name: string, value: string): BakeError {
  return new BakeError("llb-invalid", `"${value}" is no value for the source attribute "${name}"`);
}

function mismatch(reference: Reference, digest: Digest, checksum: Digest): BakeError {
  return new BakeError(
    "content-corrupt",
    `image "${formatReference(reference)}" does not have the checksum ${checksum}`,
    { hint: `it is ${digest}; if that is right, change the checksum` },
  );
}

function expectLayers(limit: number | undefined, count: number, reference: Reference): number {
  if (limit === undefined || limit <= count) return limit ?? count;
  throw new BakeError(
    "llb-invalid",
    `image "${formatReference(reference)}" has ${count} layers, fewer than the limit of ${limit}`,
  );
}

/** One layer: its blob, and the snapshot that holds it and everything below. */
interface LayerStep {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  readonly chainId: Digest;
}

async function pull(
  steps: readonly LayerStep[],
  image: ResolvedImage,
  { reference, origin }: { readonly reference: Reference; readonly origin: ImageOrigin },
  deps: ImageSourceDeps,
  context: SourceContext,
): Promise<Ref> {
  const created = image.config.created ?? new Date(0).toISOString();
  const top = steps.at(-1);
  if (top === undefined) return { tag: "scratch" };
  // Everything above the highest layer that is here already has to come.
  let present = steps.length;
  let parent: SnapshotId | undefined;
  for (; present > 0 && parent === undefined; present--) {
    const step = steps[present - 1];
    parent = step && (await deps.snapshots.lookup(step.chainId));
  }
  const missing = steps.slice(parent === undefined ? 0 : present + 1);
  const stop = new AbortController();
  const signal = heardAlike(context.signal, stop.signal);
  // All downloads at once, the extraction in order as they arrive.
  const downloads = missing.map(step => download(step, reference, origin, deps, { ...context, signal }));
  downloads.forEach(promise => void promise.catch(() => undefined));
  try {
    for (const [index, step] of missing.entries()) {
      await downloads[index];
      const below = parent;
      let isFirst = true;
      parent = await despiteDamage(async () => {
        if (!isFirst) await download(step, reference, origin, deps, { ...context, signal });
        isFirst = false;
        return await extract(step, below, created, deps, signal);
      });
    }
  } finally {
    stop.abort();
    await Promise.allSettled(downloads);
  }
  return parent === undefined ? { tag: "scratch" } : { tag: "snapshot", id: parent };
}

/** @throws BakeError "content-corrupt" when config and manifest disagree on the number of layers */
function layerSteps({ manifest, config }: ResolvedImage, name: string): readonly LayerStep[] {
  const diffIds = config.rootfs.diff_ids ?? [];
  if (diffIds.length !== manifest.layers.length) {
    throw new BakeError(
      "content-corrupt",
      `image "${name}" has ${manifest.layers.length} layers, but its config names ${diffIds.length}`,
    );
  }
  const steps: LayerStep[] = [];
  for (const [index, descriptor] of manifest.layers.entries()) {
    const diffId = diffIds[index];
    if (diffId === undefined) continue;
    const below = steps.at(-1)?.chainId;
    // OCI image spec, config.md "Layer ChainID".
    steps.push({
      descriptor,
      diffId,
      chainId: below === undefined ? diffId : digestOf(`${below} ${diffId}`),
    });
  }
  return steps;
}

async function download(
  { descriptor }: LayerStep,
  reference: Reference,
  origin: ImageOrigin,
  { root, blobs, now }: ImageSourceDeps,
  { signal, emit, step }: SourceContext,
): Promise<void> {
  const status = (current: number, done: boolean): void =>
    emit({
      type: "status",
      id: step,
      part: descriptor.digest,
      at: now(),
      current,
      total: descriptor.size,
      done,
    });
  // Two steps, or two processes, may want the same blob: one fetches it.
  await withLock(root, `blob ${descriptor.digest}`, signal, async () => {
    if (!(await blobs.has(descriptor.digest))) {
      const bytes = origin.fetchBlob(reference, descriptor, signal);
      await blobs.write(
        counted(bytes, current => status(current, false)),
        {
          expected: descriptor.digest,
          sizeBytes: descriptor.size,
          signal,
        },
      );
    }
    status(descriptor.size, true);
  });
}

async function* counted(
  source: AsyncIterable<Uint8Array>,
  report: (bytes: number) => void,
): AsyncIterable<Uint8Array> {
  let bytes = 0;
  for await (const chunk of source) {
    yield chunk;
    bytes += chunk.length;
    report(bytes);
  }
}

function extract(
  { descriptor, diffId, chainId }: LayerStep,
  parent: SnapshotId | undefined,
  created: string,
  { root, blobs, snapshots, layerBlobs }: ImageSourceDeps,
  signal: AbortSignal,
): Promise<SnapshotId> {
  return withLock(root, `layer ${chainId}`, signal, async () => {
    const existing = await snapshots.lookup(chainId);
    if (existing !== undefined) return existing;
    await using active = await snapshots.prepare(parent);
    await applyLayer(blobs.stream(descriptor.digest, { signal }), active.root, { signal, diffId });
    const id = await active.commit({ name: chainId });
    await layerBlobs.add(id, { descriptor, diffId, created });
    return id;
  });
}
