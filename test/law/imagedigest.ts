// The digest of an image as if all its files had the same time: times are no part of cache keys, so two builds of the
// same may differ in them and in nothing else.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { digestOf, type Digest } from "../../src/oci/digest.ts";

const descriptor = z.object({ digest: z.string(), mediaType: z.string() });
const indexForm = z.object({ manifests: z.array(descriptor) });
const manifestForm = z.object({ config: descriptor, layers: z.array(descriptor) });
const configForm = z.looseObject({ rootfs: z.unknown() });

/** Of an OCI layout folder with one image, whose layers are not compressed. */
export function timelessDigest(layout: string): Digest {
  const read = (digest: string): Buffer => readFileSync(join(layout, "blobs", digest.replace(":", "/")));
  const { manifests } = indexForm.parse(JSON.parse(readFileSync(join(layout, "index.json"), "utf8")));
  const { config, layers } = manifestForm.parse(JSON.parse(read(manifests[0]?.digest ?? "").toString()));
  const { rootfs: _, ...rest } = configForm.parse(JSON.parse(read(config.digest).toString()));
  const digests = layers.map(({ digest, mediaType }) => [mediaType, digestOf(timelessTar(read(digest)))]);
  return digestOf(JSON.stringify([rest, digests]));
}

/** A tar whose entries have no times, and hence no checksums either. */
function timelessTar(tar: Buffer): Buffer {
  const MTIME = { at: 136, length: 20 };
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0;) {
    tar.fill(0, at + MTIME.at, at + MTIME.at + MTIME.length);
    const size = parseInt(tar.toString("latin1", at + 124, at + 135), 8);
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return tar;
}
