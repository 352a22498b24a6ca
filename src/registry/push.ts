// Writing to a registry (OCI distribution spec, "Pushing"): blobs first, manifests when all they name is there, and
// tags last, so that a tag never points to something incomplete.
import { BakeError, isAbort } from "../diagnostic/error.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { digestOf } from "../oci/digest.ts";
import { formatReference, type Reference } from "../oci/reference.ts";
import { type RegistryApi, unexpectedAnswer } from "./api.ts";
import type { HttpAnswer } from "./http.ts";
import { acceptedTypes } from "./manifest.ts";

export type OpenBlob = () => AsyncIterable<Uint8Array>;

export interface PushBlobOptions {
  readonly signal?: AbortSignal | undefined;
  /** Repositories of the same registry that may hold the blob already; the registry takes it from there if so. */
  readonly mountFrom?: readonly string[] | undefined;
  /** Called with the bytes sent so far. */
  readonly onProgress?: ((sentBytes: number) => void) | undefined;
}

export interface PushedImage {
  readonly blobs: readonly {
    readonly descriptor: Descriptor;
    readonly open: OpenBlob;
    readonly mountFrom?: readonly string[];
  }[];
  /** Image configurations; pushed after the layers. */
  readonly configs: readonly { readonly descriptor: Descriptor; readonly open: OpenBlob }[];
  /** Manifests, then the indexes that name them; the last one is what tags point to. */
  readonly manifests: readonly { readonly descriptor: Descriptor; readonly bytes: Uint8Array }[];
  readonly tags: readonly string[];
}

export type BlobOutcome = "exists" | "mounted" | "uploaded";

/** How many blobs of one image travel at once. */
const PARALLEL = 4;

/** Pushes everything of an image, tags last. @throws BakeError "registry-denied", "registry-failed" */
export async function pushImage(
  api: RegistryApi,
  reference: Reference,
  image: PushedImage,
  { signal, onProgress }: PushBlobOptions,
): Promise<void> {
  await pushBlobs(api, reference, image.blobs, { signal, onProgress });
  for (const { descriptor, open } of image.configs)
    await pushBlob(api, reference, descriptor, open, { signal });
  for (const { descriptor, bytes } of image.manifests)
    await pushManifest(api, reference, descriptor.digest, descriptor.mediaType, bytes, { signal });
  const head = image.manifests.at(-1);
  if (head === undefined) return;
  for (const tag of image.tags)
    await pushManifest(api, reference, tag, head.descriptor.mediaType, head.bytes, { signal });
}

/** Several at once; the first failure stops the others. */
async function pushBlobs(
  api: RegistryApi,
  reference: Reference,
  blobs: PushedImage["blobs"],
  { signal, onProgress }: PushBlobOptions,
): Promise<void> {
  const queue = [...blobs];
  const stop = new AbortController();
  const either = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  let failure: unknown;
  const worker = async (): Promise<void> => {
    try {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        await pushBlob(api, reference, next.descriptor, next.open, {
          signal: either,
          mountFrom: next.mountFrom,
          onProgress,
        });
      }
    } catch (thrown) {
      if (stop.signal.aborted) return;
      failure = thrown;
      stop.abort();
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
  if (stop.signal.aborted) throw failure;
}

/** Whether a repository has a blob. */
export async function hasBlob(
  api: RegistryApi,
  { registry, repository }: Reference,
  descriptor: Pick<Descriptor, "digest">,
  { signal }: { readonly signal?: AbortSignal | undefined },
): Promise<boolean> {
  const response = await api.request({
    registry,
    repository,
    method: "HEAD",
    path: `blobs/${descriptor.digest}`,
    actions: "pull,push",
    signal,
  });
  response.discard();
  if (response.ok) return true;
  if (response.status === 404) return false;
  throw await unexpectedAnswer(
    `looking for blob ${descriptor.digest} in "${registry}/${repository}"`,
    response,
  );
}

/**
 * Makes sure that a repository has a blob: nothing is sent when it is there or can be taken from another repository.
 * `open` is called once per attempt.
 */
export async function pushBlob(
  api: RegistryApi,
  reference: Reference,
  descriptor: Descriptor,
  open: OpenBlob,
  options: PushBlobOptions,
): Promise<BlobOutcome> {
  if (await hasBlob(api, reference, descriptor, options)) return "exists";
  const { signal } = options;
  for (const from of options.mountFrom ?? []) {
    const started = await startUpload(api, reference, descriptor, from, signal);
    if (started === "mounted") return "mounted";
    await cancelUpload(api, reference, started, signal);
  }
  for (let attempt = 1; ; attempt++) {
    const failure = await tryUpload(api, reference, descriptor, open, options);
    if (failure === undefined) return "uploaded";
    signal?.throwIfAborted();
    if (!(await api.transport.pause(attempt, signal))) throw failure;
    // The answer may have been lost after the registry had everything.
    if (await hasBlob(api, reference, descriptor, options)) return "uploaded";
  }
}

/** One attempt: undefined on success, or the failure when another attempt may help. */
async function tryUpload(
  api: RegistryApi,
  reference: Reference,
  descriptor: Descriptor,
  open: OpenBlob,
  { signal, onProgress }: PushBlobOptions,
): Promise<BakeError | undefined> {
  const { registry, repository } = reference;
  const location = await startUpload(api, reference, descriptor, undefined, signal);
  if (location === "mounted") return undefined;
  const url = new URL(location);
  url.searchParams.set("digest", descriptor.digest);
  let sourceFailure: Error | undefined;
  async function* counted(): AsyncGenerator<Uint8Array, void, void> {
    let sent = 0;
    try {
      for await (const chunk of open()) {
        sent += chunk.length;
        yield chunk;
        onProgress?.(sent);
      }
    } catch (thrown) {
      sourceFailure = thrown instanceof Error ? thrown : new Error(String(thrown));
      throw thrown;
    }
  }
  let response: HttpAnswer;
  try {
    response = await api.request({
      registry,
      repository,
      method: "PUT",
      path: url.href,
      actions: "pull,push",
      headers: { "content-type": "application/octet-stream" },
      body: () => ({ kind: "stream", stream: counted(), sizeBytes: descriptor.size }),
      signal,
    });
  } catch (thrown) {
    signal?.throwIfAborted();
    // A blob that cannot be read is no fault of the registry.
    if (sourceFailure !== undefined) throw sourceFailure;
    if (isAbort(thrown) || !(thrown instanceof BakeError) || thrown.code !== "registry-failed") throw thrown;
    return thrown;
  }
  if (response.ok) {
    response.discard();
    return undefined;
  }
  const failure = await unexpectedAnswer(
    `uploading blob ${descriptor.digest} to "${registry}/${repository}"`,
    response,
  );
  const mayPass =
    response.status >= 500 ||
    response.status === 429 ||
    response.status === 408 ||
    response.status === 404 ||
    response.status === 416;
  if (!mayPass) throw failure;
  return failure;
}

/** Begins an upload: the address to send to, or "mounted" when the registry took the blob from `mountFrom`. */
async function startUpload(
  api: RegistryApi,
  { registry, repository }: Reference,
  { digest }: Descriptor,
  mountFrom: string | undefined,
  signal: AbortSignal | undefined,
): Promise<string> {
  const query =
    mountFrom === undefined
      ? ""
      : `?mount=${encodeURIComponent(digest)}&from=${encodeURIComponent(mountFrom)}`;
  const response = await api.request({
    registry,
    repository,
    method: "POST",
    path: `blobs/uploads/${query}`,
    actions: "pull,push",
    ...(mountFrom !== undefined && { alsoPull: [mountFrom] }),
    body: () => ({ kind: "bytes", bytes: new Uint8Array() }),
    signal,
  });
  const location = response.header("location");
  response.discard();
  if (response.status === 201 && mountFrom !== undefined) return "mounted";
  if (response.status !== 202 || location === null)
    throw await unexpectedAnswer(`starting an upload to "${registry}/${repository}"`, response);
  return new URL(location, response.url).href;
}

/** An upload begun by a mount that did not happen is of no use. */
async function cancelUpload(
  api: RegistryApi,
  { registry, repository }: Reference,
  location: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const response = await api.request({
    registry,
    repository,
    method: "DELETE",
    path: location,
    actions: "pull,push",
    signal,
  });
  response.discard();
}

/** The digest of what a tag or digest names in a repository; undefined when the registry does not say. */
export async function manifestDigest(
  api: RegistryApi,
  { registry, repository }: Reference,
  tagOrDigest: string,
  { signal }: { readonly signal?: AbortSignal | undefined },
): Promise<string | undefined> {
  const response = await api.request({
    registry,
    repository,
    method: "HEAD",
    path: `manifests/${tagOrDigest}`,
    actions: "pull,push",
    headers: { accept: acceptedTypes },
    signal,
  });
  response.discard();
  return response.ok ? (response.header("docker-content-digest") ?? undefined) : undefined;
}

/**
 * Stores a manifest under its digest or a tag. Everything it names must be in the repository.
 * @throws BakeError "registry-failed", also when the registry understood other bytes than were sent
 */
export async function pushManifest(
  api: RegistryApi,
  reference: Reference,
  tagOrDigest: string,
  mediaType: string,
  bytes: Uint8Array,
  { signal }: { readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const { registry, repository } = reference;
  const name = formatReference({ registry, repository });
  const response = await api.request({
    registry,
    repository,
    method: "PUT",
    path: `manifests/${tagOrDigest}`,
    actions: "pull,push",
    headers: { "content-type": mediaType },
    body: () => ({ kind: "bytes", bytes }),
    signal,
  });
  if (!response.ok)
    throw await unexpectedAnswer(`pushing the manifest ${tagOrDigest} of "${name}"`, response);
  response.discard();
  const stored = response.header("docker-content-digest");
  if (stored !== null && stored.startsWith("sha256:") && stored !== digestOf(bytes)) {
    throw new BakeError(
      "registry-failed",
      `pushing the manifest ${tagOrDigest} of "${name}" failed: the registry stored it as ${stored}`,
    );
  }
}
