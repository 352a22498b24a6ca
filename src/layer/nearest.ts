// The path a user may have meant by one that is missing: looked for only once something has failed.
import { readdirSync } from "node:fs";
import { nearest } from "../diagnostic/suggest.ts";
import { hasWildcard } from "../pattern/wildcard.ts";
import { cleanPath, under } from "./rootpath.ts";
import { createTreeView, resolveInView, stateInView, type TreeFilter, type TreeView } from "./view.ts";

/** A search for a name in other folders ends after this many entries: it is a courtesy, not worth a long wait. */
const MAX_ENTRIES = 20_000;

/**
 * An existing path near to a missing one, relative to `root`: one with a slip in a single name, else the least deep
 * one of the same name in another folder. Undefined when there is none, or when the path exists or has wildcards.
 */
export function nearestPath(root: string, path: string, filter: TreeFilter = {}): string | undefined {
  const wanted = cleanPath(path);
  if (wanted === "" || hasWildcard(wanted)) return undefined;
  try {
    const view = createTreeView(root, filter);
    return resolveInView(view, wanted, false) === undefined
      ? (withoutSlip(view, wanted) ?? elsewhere(view, wanted))
      : undefined;
  } catch {
    // What cannot be read cannot be suggested; the failure that led here is the one to report.
    return undefined;
  }
}

/** The path with its first missing name replaced by a similar one beside it. */
function withoutSlip(view: TreeView, wanted: string): string | undefined {
  const parts = wanted.split("/");
  for (const [index, part] of parts.entries()) {
    const dir = parts.slice(0, index).join("/");
    if (resolveInView(view, join(dir, part), true) !== undefined) continue;
    const found = resolveInView(view, dir, true);
    if (found === undefined) return undefined;
    const near = nearest(part, namesIn(view, found));
    const path = near && [dir, near, ...parts.slice(index + 1)].filter(name => name !== "").join("/");
    return path !== undefined && resolveInView(view, path, true) !== undefined ? path : undefined;
  }
  return undefined;
}

function elsewhere(view: TreeView, wanted: string): string | undefined {
  const base = wanted.slice(wanted.lastIndexOf("/") + 1);
  let seen = 0;
  for (let level = [""]; level.length > 0 && seen < MAX_ENTRIES;) {
    const below: string[] = [];
    for (const dir of level) {
      for (const entry of readdirSync(under(view.root, dir), { withFileTypes: true })) {
        if (++seen > MAX_ENTRIES) return undefined;
        const path = join(dir, entry.name);
        const state = stateInView(view, path);
        if (entry.name === base && (state?.included ?? true)) return path;
        if (entry.isDirectory() && (state?.descend ?? true)) below.push(path);
      }
    }
    level = below.sort();
  }
  return undefined;
}

function namesIn(view: TreeView, dir: string): readonly string[] {
  return readdirSync(under(view.root, dir)).filter(
    name => resolveInView(view, join(dir, name), false) !== undefined,
  );
}

function join(dir: string, name: string): string {
  return dir === "" ? name : `${dir}/${name}`;
}
