// Which paths must be visible so that a set of paths (wildcards allowed) can be read: the paths themselves, every
// symlink on the way and what it points to. The rules are those of fsutil's followlinks.
import { lstatSync, readdirSync, readlinkSync } from "node:fs";
import { compareUtf8 } from "../oci/json.ts";
import { compileWildcard, hasWildcard } from "../pattern/wildcard.ts";
import { errnoOf } from "./errno.ts";
import { cleanPath, under } from "./rootpath.ts";

/** Sorted paths and patterns, or undefined when one of them is the root and so everything is meant. */
export function resolveFollowPaths(root: string, paths: readonly string[]): readonly string[] | undefined {
  const found = new Set<string>();
  for (const path of paths) follow(root, path, found);
  if (found.has("")) return undefined;
  const sorted = [...found].sort(compareUtf8);
  return sorted.filter(path => !ancestors(path).some(above => found.has(above)));
}

function ancestors(path: string): string[] {
  const above: string[] = [];
  for (let slash = path.indexOf("/"); slash >= 0; slash = path.indexOf("/", slash + 1))
    above.push(path.slice(0, slash));
  return above;
}

function follow(root: string, path: string, found: Set<string>): void {
  const parts = cleanPath(path).split("/");
  let current = "";
  for (const [index, part] of parts.entries()) {
    current = current === "" ? part : `${current}/${part}`;
    const targets = linkTargets(root, current);
    const isLast = index === parts.length - 1;
    if ((isLast || targets.length > 0) && found.has(current)) return;
    if (isLast || targets.length > 0) found.add(current);
    if (targets.length === 0) continue;
    const rest = parts.slice(index + 1).join("/");
    for (const target of targets) follow(root, `${target}/${rest}`, found);
    return;
  }
}

/** Where a path, or any path its last component's wildcard matches, points to as a symlink. From the root. */
function linkTargets(root: string, path: string): string[] {
  const slash = path.lastIndexOf("/");
  const dir = path.slice(0, Math.max(0, slash));
  const base = path.slice(slash + 1);
  if (base === "") return [];
  try {
    if (!hasWildcard(base)) return linkTarget(root, dir, path);
    const { matches } = compileWildcard(base);
    const names = readdirSync(under(root, dir), { withFileTypes: true })
      .filter(entry => entry.isSymbolicLink() && matches(entry.name))
      .map(entry => entry.name)
      .sort(compareUtf8);
    return names.flatMap(name => linkTarget(root, dir, dir === "" ? name : `${dir}/${name}`));
  } catch (thrown) {
    const code = errnoOf(thrown);
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ENAMETOOLONG") return [];
    throw thrown;
  }
}

function linkTarget(root: string, dir: string, path: string): string[] {
  const absolute = under(root, path);
  if (!(lstatSync(absolute, { throwIfNoEntry: false })?.isSymbolicLink() ?? false)) return [];
  const target = readlinkSync(absolute);
  return [target.startsWith("/") ? cleanPath(target) : cleanPath(`${dir}/${target}`)];
}
