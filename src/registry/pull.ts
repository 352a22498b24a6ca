// Reading from a registry: what a reference points to, manifests, configurations and blobs.
import { BakeError } from "../diagnostic/error.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, digestOf, isDigest } from "../oci/digest.ts";
import type { Platform } from "../oci/platform.ts";
import { formatReference, type Reference, withDefaultTag } from "../oci/reference.ts";
import { type RegistryApi, unexpectedAnswer } from "./api.ts";
import type { HttpAnswer } from "./http.ts";
import { acceptedTypes, chooseManifest, type ManifestDocument, parseManifest } from "./manifest.ts";
import { connectionFailure, isPassing } from "./transport.ts";

export interface PullOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface FetchedManifest {
  /** Of the document itself, media type and size included. */
  readonly descriptor: Descriptor;
  /** Exactly as sent: what the digest is of. */
  readonly bytes: Uint8Array;
  readonly document: ManifestDocument;
}

/** Documents beyond this are refused (the distribution spec lets registries refuse beyond 4 MiB). */
const MAX_MANIFEST_BYTES = 8 * 1024 * 1024;
const MAX_CONFIG_BYTES = 16 * 1024 * 1024;

/**
 * What a reference points to at this moment; "latest" when it has neither tag nor digest.
 * @throws BakeError "registry-missing", "registry-denied", "registry-failed"
 */
export async function resolve(
  api: RegistryApi,
  reference: Reference,
  { signal }: PullOptions,
): Promise<Descriptor> {
  const full = withDefaultTag(reference);
  const response = await api.request({
    ...full,
    method: "HEAD",
    path: `manifests/${manifestName(full)}`,
    actions: "pull",
    headers: { accept: acceptedTypes },
    signal,
  });
  response.discard();
  if (response.status === 404) throw missing(full);
  const digest = response.header("docker-content-digest") ?? full.digest;
  const mediaType = response.header("content-type")?.replace(/;.*/, "").trim();
  const size = Number(response.header("content-length") ?? Number.NaN);
  // Registries that do not tell by HEAD are asked for the document.
  if (
    !response.ok ||
    typeof digest !== "string" ||
    !isDigest(digest) ||
    mediaType === undefined ||
    !Number.isSafeInteger(size)
  ) {
    return (await fetchManifest(api, full, { signal })).descriptor;
  }
  if (full.digest !== undefined && full.digest !== digest) throw mismatch(full, digest);
  return { mediaType, digest, size };
}

/** A manifest or index. @throws BakeError as `resolve`, "content-corrupt" when it is not what its digest says */
export async function fetchManifest(
  api: RegistryApi,
  reference: Reference,
  { signal }: PullOptions,
): Promise<FetchedManifest> {
  const full = withDefaultTag(reference);
  const response = await api.request({
    ...full,
    method: "GET",
    path: `manifests/${manifestName(full)}`,
    actions: "pull",
    headers: { accept: acceptedTypes },
    signal,
  });
  if (response.status === 404) {
    response.discard();
    throw missing(full);
  }
  if (!response.ok)
    throw await unexpectedAnswer(`fetching the manifest of "${formatReference(full)}"`, response);
  const bytes = await readAll(api, response, MAX_MANIFEST_BYTES, formatReference(full), signal);
  const digest = digestOf(bytes);
  if (full.digest !== undefined && full.digest.startsWith("sha256:") && full.digest !== digest)
    throw mismatch(full, digest);
  const declared = response.header("content-type")?.replace(/;.*/, "").trim() ?? "";
  const document = parseManifest(bytes, declared, formatReference(full));
  const mediaType = document.kind === "index" ? document.index.mediaType : document.manifest.mediaType;
  return { descriptor: { mediaType, digest: full.digest ?? digest, size: bytes.length }, bytes, document };
}

/**
 * The manifest for a platform: the reference's own, or the best of its index (and of an index within).
 * @throws BakeError "registry-missing" also when the platform is missing
 */
export async function fetchPlatformManifest(
  api: RegistryApi,
  reference: Reference,
  platform: Platform,
  options: PullOptions,
): Promise<FetchedManifest> {
  let fetched = await fetchManifest(api, reference, options);
  for (let depth = 0; fetched.document.kind === "index"; depth++) {
    const name = formatReference(withDefaultTag(reference));
    if (depth > 3)
      throw new BakeError("content-corrupt", `cannot use "${name}": its index is nested too deeply`);
    const chosen = chooseManifest(fetched.document.index, platform, name);
    const { registry, repository } = reference;
    fetched = await fetchManifest(api, { registry, repository, digest: chosen.digest }, options);
  }
  return fetched;
}

/** A small blob (an image configuration) as a whole, verified. */
export async function fetchConfig(
  api: RegistryApi,
  reference: Reference,
  descriptor: Descriptor,
  options: PullOptions,
): Promise<Uint8Array> {
  if (descriptor.size > MAX_CONFIG_BYTES)
    throw new BakeError(
      "content-corrupt",
      `the configuration of "${formatReference(reference)}" is too large (${descriptor.size} bytes)`,
    );
  const chunks: Uint8Array[] = [];
  for await (const chunk of fetchBlob(api, reference, descriptor, options)) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  if (descriptor.digest.startsWith("sha256:") && digestOf(bytes) !== descriptor.digest) {
    throw new BakeError(
      "content-corrupt",
      `the configuration of "${formatReference(reference)}" does not match its digest ${descriptor.digest}`,
    );
  }
  return bytes;
}

/**
 * The bytes of a blob. A broken connection is taken up where it broke; the size is checked here, the digest by whoever
 * stores the bytes. `descriptor.size` may be negative when unknown.
 * @throws BakeError "registry-missing", "registry-denied", "registry-failed", "content-corrupt" for a wrong size
 */
export async function* fetchBlob(
  api: RegistryApi,
  reference: Reference,
  descriptor: Descriptor,
  { signal }: PullOptions,
): AsyncGenerator<Uint8Array, void, void> {
  const { registry, repository } = reference;
  const { digest, size } = descriptor;
  const what = `blob ${digest} of "${registry}/${repository}"`;
  let received = 0;
  for (let attempt = 1; ; attempt++) {
    const response = await api.request({
      registry,
      repository,
      method: "GET",
      path: `blobs/${digest}`,
      actions: "pull",
      // Compressed transfer would make sizes and ranges mean something else.
      headers: { "accept-encoding": "identity", ...(received > 0 && { range: `bytes=${received}-` }) },
      signal,
    });
    if (response.status === 404) {
      response.discard();
      throw new BakeError("registry-missing", `the registry has no ${what}`);
    }
    if (!response.ok) throw await unexpectedAnswer(`fetching ${what}`, response);
    // A registry that does not know ranges starts over: what is known already is skipped.
    let skip = response.status === 206 ? 0 : received;
    const before = received;
    let failure: unknown;
    try {
      for await (const chunk of api.transport.readBody(response, signal)) {
        const fresh = skip === 0 ? chunk : chunk.subarray(Math.min(skip, chunk.length));
        skip -= chunk.length - fresh.length;
        if (fresh.length === 0) continue;
        received += fresh.length;
        if (size >= 0 && received > size)
          throw new BakeError("content-corrupt", `${what} is longer than ${size} bytes`);
        yield fresh;
      }
    } catch (thrown) {
      signal?.throwIfAborted();
      if (!isPassing(thrown)) throw connectionFailure(response.url, thrown);
      failure = thrown;
    }
    if (failure === undefined && (size < 0 || received === size)) return;
    if (received === size) return;
    if (received > before) attempt = 1;
    if (!(await api.transport.pause(attempt, signal, { url: response.url, failure }))) {
      throw failure === undefined
        ? new BakeError("content-corrupt", `${what} ended after ${received} of ${size} bytes`)
        : connectionFailure(response.url, failure);
    }
  }
}

function manifestName({ tag, digest }: Reference): string {
  return digest ?? tag ?? "latest";
}

async function readAll(
  api: RegistryApi,
  response: HttpAnswer,
  limit: number,
  name: string,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of api.transport.readBody(response, signal)) {
      size += chunk.length;
      if (size > limit)
        throw new BakeError("content-corrupt", `the manifest of "${name}" is larger than ${limit} bytes`);
      chunks.push(chunk);
    }
  } catch (thrown) {
    signal?.throwIfAborted();
    throw connectionFailure(response.url, thrown);
  }
  return Buffer.concat(chunks);
}

function missing(reference: Reference): BakeError {
  return new BakeError("registry-missing", `"${formatReference(reference)}" is not in the registry`, {
    hint: "check the spelling of name and tag",
  });
}

function mismatch(reference: Reference, digest: Digest): BakeError {
  return new BakeError(
    "content-corrupt",
    `the manifest of "${formatReference(reference)}" has digest ${digest}`,
  );
}
