// OCI image layouts (image spec, image-layout.md) and docker-load archives, as a tar file or a folder.
import { closeSync, openSync, writeSync } from "node:fs";
import { copyFile, mkdir, rename, writeFile } from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { BlobStore } from "../content/blob.ts";
import { BakeError } from "../diagnostic/error.ts";
import { encodeTarHeader, tarEnd, tarPadding } from "../layer/tar.ts";
import { type Descriptor, mediaTypes } from "../oci/descriptor.ts";
import { type Digest, digestHex } from "../oci/digest.ts";
import { goJson } from "../oci/json.ts";
import { formatReference, parseReference, withDefaultTag } from "../oci/reference.ts";
import { type AssembledImage, assembleImage, documentsOf, imageResponse } from "./assemble.ts";
import type { ExportContext, Exporter, ExportInput, ExportRequest, StagedExport } from "./exporter.ts";
import type { MediaFamily } from "./imagedocument.ts";
import type { LayerDeps } from "./layers.ts";
import { booleanOption, namesOf } from "./options.ts";
import {
  expectFileDestination,
  expectFolderDestination,
  moveTreeInto,
  stageBeside,
  stagedForStdout,
} from "./staging.ts";

interface Entry {
  readonly name: string;
  readonly content: { readonly bytes: Uint8Array } | { readonly blob: Digest; readonly size: number };
}

/** An exporter of archives; the docker family adds `manifest.json`, which `docker load` reads. */
export function createArchiveExporter(family: MediaFamily, deps: LayerDeps): Exporter {
  return { stage: (request, input, context) => stageArchive(family, request, input, deps, context) };
}

async function stageArchive(
  family: MediaFamily,
  request: ExportRequest,
  input: ExportInput,
  deps: LayerDeps,
  context: ExportContext,
): Promise<StagedExport> {
  const { dest } = request;
  if (dest === undefined) {
    throw new BakeError("usage", `output type=${request.type} needs a destination`, {
      hint: `add dest=FILE`,
    });
  }
  if (family === "docker" && input.images.length > 1) {
    throw new BakeError("usage", "a docker archive holds one platform", {
      hint: "use type=oci, or bake one platform at a time",
    });
  }
  const names = namesOf(request).map(name => formatReference(withDefaultTag(parseReference(name))));
  const asTar = booleanOption(request, "tar", true);
  const ociTypes = booleanOption(request, "oci-mediatypes", family === "oci");
  const image = await assembleImage(request, input, ociTypes ? "oci" : "docker", deps, context);
  const entries = layoutEntries(image, names, family);
  const response = imageResponse(image, names);
  const report = { descriptor: image.head, response };
  if (dest === "-") {
    return stagedForStdout(async () => {
      const tar = Readable.from(archive(entries, deps.blobs, context.signal), { objectMode: false });
      await pipeline(tar, context.stdout, { signal: context.signal, end: false });
      return report;
    });
  }
  (asTar ? expectFileDestination : expectFolderDestination)(dest, request.type);
  const staged = stageBeside(dest, deps.owner);
  try {
    if (asTar) await writeArchive(staged.path, entries, deps.blobs, context.signal);
    else await writeFolder(staged.path, entries, deps.blobs, context.signal);
  } catch (error) {
    await staged[Symbol.asyncDispose]();
    throw error;
  }
  return {
    commit: async () => {
      await (asTar ? rename(staged.path, dest) : moveTreeInto(staged.path, dest));
      return report;
    },
    [Symbol.asyncDispose]: () => staged[Symbol.asyncDispose](),
  };
}

/** Everything in the archive: blobs first, the documents that make them an image last. */
function layoutEntries(
  image: AssembledImage,
  names: readonly string[],
  family: MediaFamily,
): readonly Entry[] {
  const entries = new Map<string, Entry>();
  const add = (entry: Entry): void => {
    if (!entries.has(entry.name)) entries.set(entry.name, entry);
  };
  for (const { layers } of image.images) {
    for (const { descriptor } of layers)
      add({ name: blobName(descriptor.digest), content: { blob: descriptor.digest, size: descriptor.size } });
  }
  for (const { descriptor, bytes } of documentsOf(image))
    add({ name: blobName(descriptor.digest), content: { bytes } });
  const tagged = names.length === 0 ? [image.head] : names.map(name => annotated(image.head, name));
  add(json("index.json", { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: tagged }));
  if (family === "docker") {
    add(
      json(
        "manifest.json",
        image.images.map(({ config, layers }) => ({
          Config: blobName(config.descriptor.digest),
          RepoTags: names.length === 0 ? null : names.map(familiarName),
          Layers: layers.map(({ descriptor }) => blobName(descriptor.digest)),
        })),
      ),
    );
  }
  add(json("oci-layout", { imageLayoutVersion: "1.0.0" }));
  return [...entries.values()];
}

function annotated(head: Descriptor, name: string): Descriptor {
  const tag = parseReference(name).tag;
  return {
    ...head,
    annotations: {
      "io.containerd.image.name": name,
      ...(tag !== undefined && { "org.opencontainers.image.ref.name": tag }),
    },
  };
}

/** `docker load` shows the short form of Docker Hub names. */
function familiarName(name: string): string {
  return name.replace(/^docker\.io\/(?:library\/)?/, "");
}

function blobName(digest: Digest): string {
  return `blobs/sha256/${digestHex(digest)}`;
}

function json(name: string, value: unknown): Entry {
  return { name, content: { bytes: new TextEncoder().encode(goJson(value)) } };
}

/** Pieces smaller than this are gathered: most are headers, and another thread does each write. */
const SMALL_BYTES = 64 * 1024;

async function* gathered(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let small: Uint8Array[] = [];
  let smallBytes = 0;
  for await (const piece of pieces) {
    if (piece.length < SMALL_BYTES) {
      small.push(piece);
      smallBytes += piece.length;
    }
    if (smallBytes > 0 && (piece.length >= SMALL_BYTES || smallBytes >= SMALL_BYTES)) {
      yield Buffer.concat(small);
      small = [];
      smallBytes = 0;
    }
    if (piece.length >= SMALL_BYTES) yield piece;
  }
  if (smallBytes > 0) yield Buffer.concat(small);
}

/** Archives up to this size are written without another thread, which takes longer to ask than to write. */
const AT_ONCE_BYTES = 4 << 20;

async function writeArchive(
  file: string,
  entries: readonly Entry[],
  blobs: BlobStore,
  signal: AbortSignal,
): Promise<void> {
  const pieces = gathered(archive(entries, blobs, signal));
  const size = entries.reduce((sum, { content }) => sum + sizeOf(content), 0);
  if (size > AT_ONCE_BYTES) return await writeFile(file, pieces);
  const fd = openSync(file, "w");
  try {
    for await (const piece of pieces)
      for (let done = 0; done < piece.length;) done += writeSync(fd, piece, done);
  } finally {
    closeSync(fd);
  }
}

function sizeOf(content: Entry["content"]): number {
  return "bytes" in content ? content.bytes.length : content.size;
}

async function* archive(
  entries: readonly Entry[],
  blobs: BlobStore,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for (const folder of ["blobs/", "blobs/sha256/"]) yield tarHeader(folder, "directory", 0);
  for (const { name, content } of entries) {
    const size = sizeOf(content);
    yield tarHeader(name, "file", size);
    if ("bytes" in content) yield content.bytes;
    else yield* blobs.stream(content.blob, { signal });
    yield tarPadding(size);
  }
  yield tarEnd();
}

/** Times and owners are fixed: they would make two equal images differ. */
function tarHeader(name: string, type: "file" | "directory", size: number): Uint8Array {
  const mode = type === "file" ? 0o644 : 0o755;
  const fixed = { uid: 0, gid: 0, mtime: 0, linkname: "", devMajor: 0, devMinor: 0, xattrs: [] };
  return encodeTarHeader({ ...fixed, name, type, mode, size });
}

async function writeFolder(
  root: string,
  entries: readonly Entry[],
  blobs: BlobStore,
  signal: AbortSignal,
): Promise<void> {
  await mkdir(path.join(root, "blobs", "sha256"), { recursive: true });
  for (const { name, content } of entries) {
    signal.throwIfAborted();
    const file = path.join(root, name);
    if ("bytes" in content) await writeFile(file, content.bytes);
    else await copyFile(blobs.path(content.blob), file);
  }
}
