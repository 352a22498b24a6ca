// Image references to exact content: digest, manifest and config for a platform. Documents are kept as blobs, so a
// reference with a digest needs no network twice; a tag is asked for once in the life of a resolver.
import type { BlobStore } from "../content/blob.ts";
import { BakeError } from "../diagnostic/error.ts";
import type { Descriptor, Manifest } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import type { ImageConfig } from "../oci/imageconfig.ts";
import { formatPlatform, type Platform } from "../oci/platform.ts";
import { formatReference, type Reference, withDefaultTag } from "../oci/reference.ts";
import type { ImageOrigin } from "./imageorigin.ts";

export interface ImageResolver {
  /** @throws BakeError "registry-missing" when the image or the platform does not exist, and others of the registry */
  resolve(reference: Reference, platform: Platform, options: ResolveOptions): Promise<ResolvedImage>;
}

export interface ResolveOptions {
  readonly origin: ImageOrigin;
  readonly signal: AbortSignal;
}

export interface ResolvedImage {
  /** What the reference stands for: of the index when it is one. */
  readonly digest: Digest;
  readonly manifest: Manifest;
  readonly config: ImageConfig;
}

export interface ImageResolverDeps {
  readonly blobs: BlobStore;
}

/** An index may name indexes; no real image nests deeper. */
const MAX_DEPTH = 4;
/** Configs are read into memory. */
const MAX_CONFIG_BYTES = 16 * 1024 * 1024;

export function createImageResolver(deps: ImageResolverDeps): ImageResolver {
  const known = new Map<string, Promise<ResolvedImage>>();
  return {
    resolve(reference, platform, options) {
      const full = withDefaultTag(reference);
      const key = `${options.origin.key} ${formatReference(full)} ${formatPlatform(platform)}`;
      const running = known.get(key);
      if (running !== undefined) return running;
      const resolved = resolveImage(full, platform, options, deps);
      known.set(key, resolved);
      // A failure is not an answer: the next one asks again.
      resolved.catch(() => known.delete(key));
      return resolved;
    },
  };
}

async function resolveImage(
  reference: Reference,
  platform: Platform,
  { origin, signal }: ResolveOptions,
  { blobs }: ImageResolverDeps,
): Promise<ResolvedImage> {
  const { chooseManifest, parseManifest } = await import("../registry/manifest.ts");
  const name = formatReference(reference);
  let top: Digest | undefined;
  let wanted = reference;
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    const { digest, bytes, mediaType } = await document(wanted);
    top ??= digest;
    const parsed = parseManifest(bytes, mediaType, name);
    if (parsed.kind === "index") {
      const { registry: host, repository } = reference;
      wanted = { registry: host, repository, digest: chooseManifest(parsed.index, platform, name).digest };
      continue;
    }
    const { parseImageConfig } = await import("./imageconfig.ts");
    const config = parseImageConfig(await smallBlob(parsed.manifest.config), name);
    return { digest: top, manifest: parsed.manifest, config };
  }
  throw new BakeError("content-corrupt", `cannot use "${name}": its index is nested too deeply`);

  /** The manifest or index a reference names, from the blobs when its digest is known and there. */
  async function document(of: Reference): Promise<{ digest: Digest; bytes: Uint8Array; mediaType: string }> {
    if (of.digest !== undefined && (await blobs.has(of.digest))) {
      return { digest: of.digest, bytes: await blobs.read(of.digest), mediaType: "" };
    }
    const fetched = await origin.fetchDocument(of, signal);
    await blobs.write(fetched.bytes, { expected: fetched.digest, signal });
    return fetched;
  }

  async function smallBlob(descriptor: Descriptor): Promise<Uint8Array> {
    if (await blobs.has(descriptor.digest)) return blobs.read(descriptor.digest);
    if (descriptor.size > MAX_CONFIG_BYTES) {
      throw new BakeError(
        "content-corrupt",
        `the config of "${name}" is too large (${descriptor.size} bytes)`,
      );
    }
    const bytes = origin.fetchBlob(reference, descriptor, signal);
    await blobs.write(bytes, { expected: descriptor.digest, sizeBytes: descriptor.size, signal });
    return blobs.read(descriptor.digest);
  }
}
