// Contexts that are images of OCI layouts: `oci-layout://FOLDER[:TAG][@DIGEST]` (OCI image spec, image-layout.md).
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import * as z from "zod/mini";
import { BakeError } from "../diagnostic/error.ts";
import { didYouMean } from "../diagnostic/suggest.ts";
import { type Digest, isDigest, parseDigest } from "../oci/digest.ts";

export interface LayoutImage {
  /** Absolute path of the layout. */
  readonly folder: string;
  readonly digest: Digest;
}

const REF_NAME = "org.opencontainers.image.ref.name";

const indexForm = z.looseObject({
  manifests: z.array(
    z.looseObject({
      digest: z.custom<Digest>(value => typeof value === "string" && isDigest(value)),
      annotations: z.optional(z.record(z.string(), z.string())),
    }),
  ),
});

/**
 * Finds the image that a reference means: by digest, else by tag, else the one tagged "latest" or the only one.
 * @throws BakeError "file-missing" when the folder is no layout, "bake-resolve" when it has no such image
 */
export function findLayoutImage(value: string, cwd: string, where: string): LayoutImage {
  const rest = value.slice("oci-layout://".length);
  const at = rest.indexOf("@");
  const named = at < 0 ? rest : rest.slice(0, at);
  const colon = named.lastIndexOf(":");
  const hasTag = colon > named.lastIndexOf("/");
  const folder = resolve(cwd, hasTag ? named.slice(0, colon) : named);
  const manifests = readIndex(folder, where);
  if (at >= 0) return { folder, digest: parseDigest(rest.slice(at + 1)) };
  const tag = hasTag ? named.slice(colon + 1) : "latest";
  const [only] = manifests;
  const found =
    manifests.find(({ annotations }) => annotations?.[REF_NAME] === tag) ??
    (!hasTag && manifests.length === 1 ? only : undefined);
  if (found !== undefined) return { folder, digest: found.digest };
  const tags = manifests.flatMap(({ annotations }) => annotations?.[REF_NAME] ?? []);
  throw new BakeError("bake-resolve", `${where}: the OCI layout "${folder}" has no image tagged "${tag}"`, {
    hint: didYouMean(tag, tags) ?? (tags.length > 0 ? `it has ${tags.join(", ")}` : "name one by its digest"),
  });
}

function readIndex(folder: string, where: string): z.infer<typeof indexForm>["manifests"] {
  try {
    return indexForm.parse(JSON.parse(readFileSync(join(folder, "index.json"), "utf8"))).manifests;
  } catch (cause) {
    throw new BakeError("file-missing", `${where}: "${folder}" is not an OCI layout`, {
      cause,
      hint: "a layout is a folder with index.json and blobs/, as type=oci,tar=false writes it",
    });
  }
}
