// Why a path that a step reads is not there: an ignore file hides it, or the user meant another one.
import { BakeError } from "../diagnostic/error.ts";
import { positionAt } from "../diagnostic/source.ts";
import { lstatOrNone } from "../system/lstat.ts";
import { nearestPath } from "../layer/nearest.ts";
import { cleanPath, under } from "../layer/rootpath.ts";
import { compileIgnore } from "../pattern/ignore.ts";
import type { LocalTree } from "../snapshot/ref.ts";

/** A tree that a path was looked for in. */
export interface SearchedTree {
  readonly root: string;
  /** Set for a directory read in place. */
  readonly local: LocalTree | undefined;
}

/** The error of a failed read with what explains it, if one of the paths is the reason; else the error itself. */
export function explainMissing(error: unknown, paths: readonly string[], tree: SearchedTree): unknown {
  if (!(error instanceof BakeError) || (error.code !== "file-operation" && error.code !== "file-missing"))
    return error;
  if (error.diagnostics[0]?.hint !== undefined) return error;
  for (const path of paths) {
    const hint = hintFor(path, tree);
    if (hint !== undefined) return new BakeError("file-missing", error.message, { cause: error, hint });
  }
  return error;
}

/** With an ignore file that allows a few paths only, every slip is ignored too: then what was meant comes first. */
function hintFor(path: string, tree: SearchedTree): string | undefined {
  const { root, local } = tree;
  if (local === undefined) return nearHint(path, tree);
  return exists(under(root, cleanPath(path)))
    ? excludedHint(path, local)
    : (nearHint(path, tree) ?? excludedHint(path, local) ?? `it was looked for in ${JSON.stringify(root)}`);
}

function exists(absolute: string): boolean {
  return lstatOrNone(absolute) !== undefined;
}

function excludedHint(path: string, { excludePatterns, excludedAt }: LocalTree): string | undefined {
  const decided = compileIgnore(excludePatterns).decidedBy(path.replace(/^\/+/, "").replace(/\/+$/, ""));
  if (decided === undefined || decided.pattern.startsWith("!")) return undefined;
  const range = excludedAt?.[decided.index];
  const where =
    range === undefined
      ? "of the ignore file"
      : `in ${range.source.name}:${positionAt(range.source, range.start).line}`;
  return `excluded by the pattern "${decided.pattern}" ${where}`;
}

function nearHint(path: string, { root, local }: SearchedTree): string | undefined {
  const near = nearestPath(root, path, local && { excludePatterns: local.excludePatterns });
  // Paths of images are written from the root, those of a context are relative to it.
  return near === undefined ? undefined : `did you mean "${local === undefined ? "/" : ""}${near}"?`;
}
