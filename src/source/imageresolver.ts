// Image references to exact content: digest, manifest and config for a platform. Documents are kept as blobs, so a
// reference with a digest needs no network twice; a tag is asked for once a run.
import type { BlobStore } from "../content/blob.ts";
import { BakeError } from "../diagnostic/error.ts";
import { type Descriptor, isIndexType, type Manifest } from "../oci/descriptor.ts";
import { type Digest } from "../oci/digest.ts";
import type { ImageConfig } from "../oci/imageconfig.ts";
import { formatPlatform, type Platform } from "../oci/platform.ts";
import { formatReference, type Reference, withDefaultTag } from "../oci/reference.ts";
import type { RegistryClient } from "../registry/client.ts";
import { parseImageConfig, parseManifestDocument, selectManifest } from "../registry/documents.ts";
import type { Session } from "../session/session.ts";

export interface ImageResolver {
  /** @throws BakeError "registry-missing" when the image or the platform does not exist, and others of the registry */
  resolve(reference: Reference, platform: Platform, options: ResolveOptions): Promise<ResolvedImage>;
}

export interface ResolveOptions {
  readonly session: Session;
  readonly signal: AbortSignal;
}

export interface ResolvedImage {
  /** What the reference stands for: of the index when it is one. */
  readonly digest: Digest;
  readonly manifest: Manifest;
  readonly config: ImageConfig;
}
