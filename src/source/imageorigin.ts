// Where the documents and blobs of an image come from: a registry, or an OCI layout in a folder (OCI image spec,
// image-layout.md). The rest of the program does not see the difference.
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { BakeError } from "../diagnostic/error.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, digestHex, digestOf } from "../oci/digest.ts";
import { formatReference, type Reference } from "../oci/reference.ts";
import type { RegistryClient } from "../registry/client.ts";
import type { Session } from "../session/session.ts";

export interface ImageOrigin {
  /** Tells origins apart in which one reference may stand for different images. */
  readonly key: string;
  /** A manifest or index. @throws BakeError "registry-missing", "file-missing", … */
  fetchDocument(
    reference: Reference,
    signal: AbortSignal,
  ): Promise<{ readonly digest: Digest; readonly bytes: Uint8Array; readonly mediaType: string }>;
  /** The bytes of a blob, not verified. */
  fetchBlob(reference: Reference, descriptor: Descriptor, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

/** The registry that a reference names. */
export function registryOrigin(
  registry: (session: Session) => Promise<RegistryClient>,
  session: Session,
): ImageOrigin {
  return {
    key: "registry",
    async fetchDocument(reference, signal) {
      const { descriptor, bytes } = await (await registry(session)).fetchManifest(reference, { signal });
      return { digest: descriptor.digest, bytes, mediaType: descriptor.mediaType };
    },
    async *fetchBlob(reference, descriptor, signal) {
      yield* (await registry(session)).fetchBlob(reference, descriptor, { signal });
    },
  };
}

/** The blobs of an OCI layout folder; references must have a digest. */
export function layoutOrigin(folder: string): ImageOrigin {
  const path = (digest: Digest): string =>
    join(folder, "blobs", digest.slice(0, digest.indexOf(":")), digestHex(digest));
  return {
    key: `layout ${folder}`,
    async fetchDocument(reference) {
      const { digest } = reference;
      if (digest === undefined)
        throw new BakeError(
          "llb-invalid",
          `an image of an OCI layout needs a digest: ${formatReference(reference)}`,
        );
      const bytes = await readFile(path(digest)).catch((cause: unknown) => {
        throw new BakeError("file-missing", `the OCI layout "${folder}" has no ${digest}`, { cause });
      });
      if (digestOf(bytes) !== digest)
        throw new BakeError("content-corrupt", `${digest} in the OCI layout "${folder}" has other content`);
      return { digest, bytes, mediaType: "" };
    },
    async *fetchBlob(_reference, { digest }, signal) {
      try {
        yield* createReadStream(path(digest), { signal }) as AsyncIterable<Uint8Array>;
      } catch (cause) {
        signal.throwIfAborted();
        throw new BakeError("file-missing", `the OCI layout "${folder}" has no ${digest}`, { cause });
      }
    },
  };
}
