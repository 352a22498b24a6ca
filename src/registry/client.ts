// A client for container registries: one per session, with its tokens and the uploads under way.
import type { Descriptor } from "../oci/descriptor.ts";
import type { Platform } from "../oci/platform.ts";
import type { Reference } from "../oci/reference.ts";
import { createRegistryApi } from "./api.ts";
import type { CredentialSource } from "./auth.ts";
import {
  fetchBlob,
  fetchConfig,
  type FetchedManifest,
  fetchManifest,
  fetchPlatformManifest,
  type PullOptions,
  resolve,
} from "./pull.ts";
import {
  type BlobOutcome,
  hasBlob,
  manifestDigest,
  type OpenBlob,
  pushBlob,
  type PushBlobOptions,
  type PushedImage,
  pushImage,
  pushManifest,
} from "./push.ts";
import { createTransport, type TransportOptions } from "./transport.ts";

export interface RegistryClientOptions extends TransportOptions {
  /** Default is anonymous access. */
  readonly credentials?: CredentialSource | undefined;
}

/** See pull.ts and push.ts for what each call promises. References may be of any registry. */
export interface RegistryClient {
  resolve(reference: Reference, options?: PullOptions): Promise<Descriptor>;
  fetchManifest(reference: Reference, options?: PullOptions): Promise<FetchedManifest>;
  fetchPlatformManifest(
    reference: Reference,
    platform: Platform,
    options?: PullOptions,
  ): Promise<FetchedManifest>;
  fetchConfig(reference: Reference, descriptor: Descriptor, options?: PullOptions): Promise<Uint8Array>;
  fetchBlob(reference: Reference, descriptor: Descriptor, options?: PullOptions): AsyncIterable<Uint8Array>;
  hasBlob(
    reference: Reference,
    descriptor: Pick<Descriptor, "digest">,
    options?: PullOptions,
  ): Promise<boolean>;
  pushBlob(
    reference: Reference,
    descriptor: Descriptor,
    open: OpenBlob,
    options?: PushBlobOptions,
  ): Promise<BlobOutcome>;
  manifestDigest(
    reference: Reference,
    tagOrDigest: string,
    options?: PullOptions,
  ): Promise<string | undefined>;
  pushManifest(
    reference: Reference,
    tagOrDigest: string,
    mediaType: string,
    bytes: Uint8Array,
    options?: PullOptions,
  ): Promise<void>;
  pushImage(reference: Reference, image: PushedImage, options?: PushBlobOptions): Promise<void>;
}

export function createRegistryClient({
  credentials = () => Promise.resolve(undefined),
  ...options
}: RegistryClientOptions = {}): RegistryClient {
  const api = createRegistryApi({ transport: createTransport(options), credentials });
  /** Targets of one build share layers: each blob goes to a repository once. */
  const uploads = new Map<string, Promise<BlobOutcome>>();

  return {
    resolve: (reference, options = {}) => resolve(api, reference, options),
    fetchManifest: (reference, options = {}) => fetchManifest(api, reference, options),
    fetchPlatformManifest: (reference, platform, options = {}) =>
      fetchPlatformManifest(api, reference, platform, options),
    fetchConfig: (reference, descriptor, options = {}) => fetchConfig(api, reference, descriptor, options),
    fetchBlob: (reference, descriptor, options = {}) => fetchBlob(api, reference, descriptor, options),
    hasBlob: (reference, descriptor, options = {}) => hasBlob(api, reference, descriptor, options),
    async pushBlob(reference, descriptor, open, options = {}) {
      const key = `${reference.registry}/${reference.repository}@${descriptor.digest}`;
      for (let other = uploads.get(key); other !== undefined; other = uploads.get(key)) {
        // Whoever was first may have been cancelled; then it is this one's turn.
        const outcome = await other.then(
          () => "exists" as const,
          () => undefined,
        );
        if (outcome !== undefined) return outcome;
        options.signal?.throwIfAborted();
      }
      const upload = pushBlob(api, reference, descriptor, open, options).finally(() => uploads.delete(key));
      uploads.set(key, upload);
      return upload;
    },
    manifestDigest: (reference, tagOrDigest, options = {}) =>
      manifestDigest(api, reference, tagOrDigest, options),
    pushManifest: (reference, tagOrDigest, mediaType, bytes, options = {}) =>
      pushManifest(api, reference, tagOrDigest, mediaType, bytes, options),
    pushImage: (reference, image, options = {}) => pushImage(api, reference, image, options),
  };
}
