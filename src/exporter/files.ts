// `type=local` (a folder) and `type=tar` (a tar of the tree): the files of a result without image documents.
import { createWriteStream } from "node:fs";
import { mkdir, rename } from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Owner } from "../content/lease.ts";
import { BakeError } from "../diagnostic/error.ts";
import { copyInto } from "../layer/copytree.ts";
import { notesOwners } from "../layer/owner.ts";
import { packTree } from "../layer/pack.ts";
import { walkStack } from "../layer/stack.ts";
import type { Platform } from "../oci/platform.ts";
import type { Ref } from "../snapshot/ref.ts";
import type { MountedTree, Snapshotter } from "../snapshot/snapshotter.ts";
import { isInitialNamespace } from "../system/privilege.ts";
import type {
  ExportContext,
  Exporter,
  ExportImage,
  ExportInput,
  ExportRequest,
  StagedExport,
} from "./exporter.ts";
import { booleanOption, integerOption } from "./options.ts";
import {
  expectFileDestination,
  expectFolderDestination,
  moveTreeInto,
  stageBeside,
  stagedForStdout,
} from "./staging.ts";

export interface FileExportDeps {
  readonly owner: Pick<Owner, "noteOutside">;
  readonly snapshots: Snapshotter;
}

/** Writes the tree into a folder. Files that are there already and not part of the result stay. */
export function createLocalExporter(deps: FileExportDeps): Exporter {
  return { stage: (request, input, context) => stageLocal(request, input, deps, context) };
}

async function stageLocal(
  request: ExportRequest,
  input: ExportInput,
  deps: FileExportDeps,
  context: ExportContext,
): Promise<StagedExport> {
  const dest = expectDest(request, "FOLDER");
  if (dest === "-")
    throw new BakeError("usage", "output type=local cannot go to standard output", { hint: "use type=tar" });
  expectFolderDestination(dest, request.type);
  const staged = stageBeside(dest, deps.owner);
  try {
    await mkdir(staged.path, { mode: 0o755 });
    const epoch = integerOption(request, "source-date-epoch");
    for (const { image, prefix } of platformFolders(request, input)) {
      context.signal.throwIfAborted();
      const stack = await stackOf(image.ref, deps.snapshots);
      if (stack.length === 0) continue;
      await copyInto({
        srcRoot: folderOfAll(stack),
        src: "/",
        walk: await walkStack(stack, context.seen),
        destRoot: staged.path,
        dest: `/${prefix}`,
        followSymlink: false,
        dirCopyContents: true,
        createDestPath: true,
        allowWildcard: false,
        allowEmptyWildcard: false,
        // As BuildKit has it: here all times, not the newer ones alone.
        ...(epoch !== undefined && { timestampNs: BigInt(epoch) * 1_000_000_000n }),
        // The result of an ordinary user is that user's, who could not remove files of others.
        ...((!isInitialNamespace() || notesOwners()) && { owner: { uid: 0, gid: 0 } }),
        signal: context.signal,
      });
    }
  } catch (error) {
    context.seen.forget();
    await staged[Symbol.asyncDispose]();
    throw error;
  }
  return {
    commit: async () => {
      await moveTreeInto(staged.path, dest);
      return { response: {} };
    },
    [Symbol.asyncDispose]: () => staged[Symbol.asyncDispose](),
  };
}

/** Writes the tree as one tar file. */
export function createTarExporter(deps: FileExportDeps): Exporter {
  return { stage: (request, input, context) => stageTar(request, input, deps, context) };
}

async function stageTar(
  request: ExportRequest,
  input: ExportInput,
  deps: FileExportDeps,
  context: ExportContext,
): Promise<StagedExport> {
  const dest = expectDest(request, "FILE");
  const { signal } = context;
  const timestamp = integerOption(request, "source-date-epoch");
  const [only] = input.images;
  if (only === undefined || input.images.length > 1) {
    throw new BakeError("usage", "a tar of files holds one platform", {
      hint: "use type=local, or bake one platform at a time",
    });
  }
  const write = async (out: NodeJS.WritableStream, end: boolean): Promise<void> => {
    await using tree = await viewOf(only.ref, deps.snapshots);
    const tar = tree === undefined ? emptyTar() : packTree({ root: tree.root, timestamp, signal });
    await pipeline(Readable.from(tar), out, { signal, end });
  };
  if (dest === "-") {
    return stagedForStdout(async () => {
      await write(context.stdout, false);
      return { response: {} };
    });
  }
  expectFileDestination(dest, request.type);
  const staged = stageBeside(dest, deps.owner);
  try {
    await write(createWriteStream(staged.path), true);
  } catch (error) {
    await staged[Symbol.asyncDispose]();
    throw error;
  }
  return {
    commit: async () => {
      await rename(staged.path, dest);
      return { response: {} };
    },
    [Symbol.asyncDispose]: () => staged[Symbol.asyncDispose](),
  };
}

/** Two zero blocks: a tar without entries. */
function emptyTar(): Iterable<Uint8Array> {
  return [new Uint8Array(1024)];
}

function expectDest(request: ExportRequest, what: string): string {
  if (request.dest !== undefined) return request.dest;
  throw new BakeError("usage", `output type=${request.type} needs a destination`, {
    hint: `add dest=${what}`,
  });
}

/** With several platforms each tree gets a folder of its own ("linux_arm64"), unless `platform-split=false`. */
function platformFolders(
  request: ExportRequest,
  input: ExportInput,
): readonly { image: ExportImage; prefix: string }[] {
  const split = booleanOption(request, "platform-split", input.images.length > 1);
  return input.images.map(image => ({ image, prefix: split ? folderName(image.platform) : "" }));
}

function folderName({ os, architecture, variant }: Platform): string {
  return path.basename([os, architecture, variant].filter(part => part).join("_"));
}

/** The folders of a tree's content, as `Snapshotter.stack`; none for an empty tree. */
async function stackOf(ref: Ref, snapshots: Snapshotter): Promise<readonly string[]> {
  switch (ref.tag) {
    case "scratch":
      return [];
    case "snapshot":
      return snapshots.stack(ref.id);
    case "local":
      throw new BakeError("internal", "BUG: a local tree reached an exporter");
  }
}

/** The innermost folder that all are in, or are. */
function folderOfAll(folders: readonly string[]): string {
  let [common = "/"] = folders;
  while (common !== "/" && !folders.every(folder => folder === common || folder.startsWith(`${common}/`)))
    common = path.dirname(common);
  return common;
}

async function viewOf(ref: Ref, snapshots: Snapshotter): Promise<MountedTree | undefined> {
  switch (ref.tag) {
    case "scratch":
      return undefined;
    case "snapshot":
      return snapshots.view(ref.id);
    case "local":
      throw new BakeError("internal", "BUG: a local tree reached an exporter");
  }
}
