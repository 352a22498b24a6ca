// Manifests and indexes as they come from registries: checked here, trusted behind (OCI image spec, manifest.md and
// image-index.md; Docker's manifest schema 2).
import * as z from "zod/mini";
import { BakeError } from "../diagnostic/error.ts";
import {
  type Descriptor,
  type Index,
  isIndexType,
  isManifestType,
  type Manifest,
  mediaTypes,
  platformFromWire,
} from "../oci/descriptor.ts";
import { isDigest } from "../oci/digest.ts";
import { formatPlatform, matchesPlatform, type Platform, platformPreference } from "../oci/platform.ts";

export type ManifestDocument =
  | { readonly kind: "index"; readonly index: Index }
  | { readonly kind: "manifest"; readonly manifest: Manifest };

/** What a client accepts, best first. */
export const acceptedTypes: string = [
  mediaTypes.ociIndex,
  mediaTypes.dockerList,
  mediaTypes.ociManifest,
  mediaTypes.dockerManifest,
].join(", ");

const digest = z.custom<Descriptor["digest"]>(value => typeof value === "string" && isDigest(value));
const annotations = z.exactOptional(z.record(z.string(), z.string()));
const platform = z.object({
  architecture: z.string(),
  os: z.string(),
  "os.version": z.exactOptional(z.string()),
  "os.features": z.exactOptional(z.array(z.string())),
  variant: z.exactOptional(z.string()),
});
const descriptor = z.object({
  mediaType: z.string(),
  digest,
  size: z.number().check(z.int(), z.nonnegative()),
  platform: z.exactOptional(platform),
  annotations,
});
const manifestForm = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.exactOptional(z.string()),
  config: descriptor,
  layers: z.array(descriptor),
  annotations,
});
const indexForm = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.exactOptional(z.string()),
  manifests: z.array(descriptor),
  annotations,
});

/**
 * Reads a manifest or index. `mediaType` is what the registry said it is; the document's own word counts more.
 * @throws BakeError "content-corrupt" for a malformed document, "not-supported" for Docker's schema 1
 */
export function parseManifest(bytes: Uint8Array, mediaType: string, name: string): ManifestDocument {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch (cause) {
    throw new BakeError("content-corrupt", `cannot read the manifest of "${name}": it is not JSON`, {
      cause,
    });
  }
  const fields: { mediaType?: unknown; schemaVersion?: unknown; manifests?: unknown } =
    typeof value === "object" && value !== null ? value : {};
  if (fields.schemaVersion === 1) {
    throw new BakeError(
      "not-supported",
      `cannot use "${name}": it is in Docker's old format (manifest schema 1)`,
      { hint: "push the image again with a current tool" },
    );
  }
  const type = typeof fields.mediaType === "string" ? fields.mediaType : mediaType;
  const isIndex = isIndexType(type) || (!isManifestType(type) && fields.manifests !== undefined);
  if (isIndex) {
    const parsed = indexForm.safeParse(value);
    if (!parsed.success) throw malformed("index", name, parsed.error);
    return {
      kind: "index",
      index: { ...parsed.data, mediaType: isIndexType(type) ? type : mediaTypes.ociIndex },
    };
  }
  const parsed = manifestForm.safeParse(value);
  if (!parsed.success) throw malformed("manifest", name, parsed.error);
  return {
    kind: "manifest",
    manifest: { ...parsed.data, mediaType: isManifestType(type) ? type : mediaTypes.ociManifest },
  };
}

function malformed(what: string, name: string, error: z.core.$ZodError): BakeError {
  const issue = error.issues[0];
  const where = issue === undefined ? "" : ` at "${issue.path.join(".")}"`;
  return new BakeError("content-corrupt", `cannot read the ${what} of "${name}": it is malformed${where}`, {
    cause: error,
  });
}

/**
 * The entry of an index that serves a platform best.
 * @throws BakeError "registry-missing" naming the platforms there are
 */
export function chooseManifest(index: Index, want: Platform, name: string): Descriptor {
  const images = index.manifests.filter(
    entry =>
      entry.platform?.os !== "unknown" && (isManifestType(entry.mediaType) || isIndexType(entry.mediaType)),
  );
  for (const candidate of platformPreference(want)) {
    const found = images.find(
      entry => entry.platform !== undefined && matchesPlatform(candidate, platformFromWire(entry.platform)),
    );
    if (found !== undefined) return found;
  }
  // An index of one image without a platform leaves no choice.
  const only = images[0];
  if (only !== undefined && images.length === 1 && only.platform === undefined) return only;
  const available = [
    ...new Set(
      images.flatMap(entry =>
        entry.platform === undefined ? [] : [formatPlatform(platformFromWire(entry.platform))],
      ),
    ),
  ];
  throw new BakeError("registry-missing", `"${name}" has no image for platform ${formatPlatform(want)}`, {
    hint: available.length === 0 ? "it names no platforms at all" : `it has ${available.join(", ")}`,
  });
}
