// What builds read of the folders they are lent: the files of each local source that its ignore file and the build's
// own choice of paths let through.
import type { LoweredRequest } from "../engine/engine.ts";
import { type EntryKind, walkTree } from "../layer/walk.ts";
import { createTreeView } from "../layer/view.ts";
import type { SourceOp } from "../llb/op/source.ts";
import { decodeOp } from "../llb/ops.ts";
import { compareUtf8 } from "../oci/json.ts";
import type { Session } from "../session/session.ts";

/** A local source of a request. */
export interface ContextListing {
  /** `context` for the main one, else the name of the named context. */
  readonly name: string;
  /** Absolute path of the folder. */
  readonly root: string;
  /** By path. */
  readonly files: readonly ContextFile[];
  readonly sizeBytes: number;
}

export interface ContextFile {
  /** Relative to the folder, slash-separated. */
  readonly path: string;
  readonly kind: Exclude<EntryKind, "directory">;
  /** 0 for everything but files. */
  readonly sizeBytes: number;
}

/**
 * The listings of one request and of those it is linked to, by name; sources of the same folder count as one.
 * @throws BakeError when a folder cannot be read
 */
export async function listContexts(
  { images }: LoweredRequest,
  session: Pick<Session, "localDir">,
  signal: AbortSignal,
): Promise<readonly ContextListing[]> {
  const sources = new Map<string, SourceOp>();
  for (const { definition } of images) {
    for (const bytes of definition.def) {
      const op = decodeOp(bytes);
      if (op.kind === "source" && op.spec.identifier.startsWith(LOCAL))
        sources.set(JSON.stringify([op.spec.identifier, op.spec.attrs]), op.spec);
    }
  }
  const found = new Map<string, { name: string; root: string; files: Map<string, ContextFile> }>();
  for (const { identifier, attrs } of sources.values()) {
    const local = identifier.slice(LOCAL.length);
    const root = session.localDir(local, attrs["local.session"] ?? "");
    if (root === undefined) continue;
    // "context" and "dockerfile" as named contexts carry an underscore, see requests.ts.
    const name = local.replace(/^_(?=(?:context|dockerfile)$)/, "");
    const key = JSON.stringify([local, root]);
    const listing = found.get(key) ?? { name, root, files: new Map() };
    found.set(key, listing);
    for (const file of await listFiles(root, attrs, signal)) listing.files.set(file.path, file);
  }
  return [...found.values()]
    .map(({ name, root, files }) => ({
      ...{ name, root },
      files: [...files.values()].sort((a, b) => compareUtf8(a.path, b.path)),
      sizeBytes: [...files.values()].reduce((sum, file) => sum + file.sizeBytes, 0),
    }))
    .sort((a, b) => compareUtf8(a.name, b.name) || compareUtf8(a.root, b.root));
}

const LOCAL = "local://";

async function listFiles(
  root: string,
  attrs: SourceOp["attrs"],
  signal: AbortSignal,
): Promise<readonly ContextFile[]> {
  const view = createTreeView(root, {
    excludePatterns: patterns(attrs["local.excludepatterns"]),
    includePatterns: patterns(attrs["local.includepattern"]),
    followPaths: patterns(attrs["local.followpaths"]),
  });
  const files: ContextFile[] = [];
  for await (const { path, kind, stats } of walkTree(view, { signal })) {
    if (kind === "directory") continue;
    files.push({ path, kind, sizeBytes: kind === "file" ? Number(stats.size) : 0 });
  }
  return files;
}

/** A list as the frontend wrote it into its op. */
function patterns(text: string | undefined): readonly string[] {
  const value: unknown = text === undefined || text === "" ? [] : JSON.parse(text);
  return Array.isArray(value) ? value.filter(item => typeof item === "string") : [];
}
