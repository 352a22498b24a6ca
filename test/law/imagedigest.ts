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
  const below = new Map<string, string>();
  const digests = layers.map(({ digest, mediaType }) => [
    mediaType,
    digestOf(JSON.stringify(timelessEntries(read(digest), below))),
  ]);
  return digestOf(JSON.stringify([rest, digests]));
}

/**
 * The entries of a layer without times, and hence without checksums. What differs from the layers `below` in its time
 * alone is left out: whether a layer has such an entry is decided by times.
 */
function timelessEntries(tar: Buffer, below: Map<string, string>): readonly (readonly [string, string])[] {
  const MTIME = { at: 136, length: 20 };
  const entries: (readonly [string, string])[] = [];
  let begin = 0;
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0;) {
    tar.fill(0, at + MTIME.at, at + MTIME.at + MTIME.length);
    const [name = ""] = tar.toString("utf8", at, at + 100).split("\0");
    const isAttributes = tar[at + 156] === "x".charCodeAt(0);
    const size = parseInt(tar.toString("latin1", at + 124, at + 135), 8);
    at += 512 + Math.ceil(size / 512) * 512;
    if (isAttributes) continue;
    const content = digestOf(tar.subarray(begin, at));
    begin = at;
    const removed = /^(.*\/)?\.wh\.(.*)$/.exec(name);
    const gone = removed && `${removed[1] ?? ""}${removed[2] === ".wh..opq" ? "" : (removed[2] ?? "")}`;
    if (gone !== null)
      for (const path of below.keys())
        if (path === gone || path === `${gone}/` || path.startsWith(gone.endsWith("/") ? gone : `${gone}/`))
          below.delete(path);
    if (below.get(name) === content) continue;
    if (gone === null) below.set(name, content);
    entries.push([name, content]);
  }
  return entries;
}
