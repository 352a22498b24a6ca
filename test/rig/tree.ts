// Builds directory trees from descriptions and describes trees on disk, for tests that compare trees.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  linkSync,
  lchownSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { loadMakeNode, S_IFIFO } from "../../src/layer/mknod.ts";
import { isPortableXattr, loadXattrs } from "../../src/layer/xattr.ts";

export const isRoot = process.geteuid?.() === 0;

export interface TempDir extends Disposable {
  readonly path: string;
}

/** A fresh directory, removed with everything in it at the end of the scope. */
export function tempDir(): TempDir {
  const path = realpathSync(mkdtempSync(join(tmpdir(), "llbake-test-")));
  return { path, [Symbol.dispose]: () => removeTree(path) };
}

/** Removes a tree, including what steps gave to ids that only a user namespace has. */
export function removeTree(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch (error) {
    if (isRoot) throw error;
    execFileSync("unshare", ["--user", "--map-root-user", "--map-auto", "rm", "-rf", path]);
  }
}

export interface Meta {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Whole seconds. */
  readonly mtime?: number;
  readonly xattrs?: Readonly<Record<string, string>>;
}

export type Node =
  | (Meta & { readonly kind: "file"; readonly data: string })
  | (Meta & { readonly kind: "dir"; readonly opaque?: boolean })
  | (Meta & { readonly kind: "symlink"; readonly target: string })
  | (Meta & { readonly kind: "fifo" })
  /** Another name of a file named before. */
  | (Meta & { readonly kind: "link"; readonly to: string });

/** Paths to nodes; parents are made as needed, entries in the order given. */
export type Tree = Readonly<Record<string, Node | string>>;

/** Writes a tree; a string stands for a plain file with that content. */
export async function makeTree(root: string, tree: Tree): Promise<void> {
  const xattrs = await loadXattrs();
  const makeNode = await loadMakeNode();
  const entries = Object.entries(tree).map(([path, node]): [string, Node] => [
    path,
    typeof node === "string" ? { kind: "file", data: node } : node,
  ]);
  for (const [path, node] of entries) {
    const at = join(root, path);
    mkdirSync(dirname(at), { recursive: true });
    if (node.kind === "file") writeFileSync(at, node.data);
    else if (node.kind === "dir") mkdirSync(at, { recursive: true });
    else if (node.kind === "symlink") symlinkSync(node.target, at);
    else if (node.kind === "fifo") makeNode(at, S_IFIFO | 0o644, 0, 0);
    else linkSync(join(root, node.to), at);
  }
  for (const [path, node] of entries) {
    if (node.kind === "link") continue;
    const at = join(root, path);
    if (isRoot && (node.uid !== undefined || node.gid !== undefined))
      lchownSync(at, node.uid ?? 0, node.gid ?? 0);
    if (node.kind !== "symlink") chmodSync(at, node.mode ?? (node.kind === "dir" ? 0o755 : 0o644));
    for (const [name, value] of Object.entries(node.xattrs ?? {}))
      xattrs.set(at, name, Buffer.from(value, "latin1"));
  }
  for (const [path, node] of entries.toReversed()) {
    if (node.mtime !== undefined) lutimesSync(join(root, path), node.mtime, node.mtime);
  }
}

/** A line per entry, sorted: everything about a tree that a layer keeps. `times` adds whole-second mtimes. */
export async function describeTree(root: string, { times = false, owners = true } = {}): Promise<string[]> {
  const xattrs = await loadXattrs();
  const lines: string[] = [];
  const groups = new Map<string, string>();
  const visit = (path: string): void => {
    const at = join(root, path);
    const stats = lstatSync(at);
    const mode = (stats.mode & 0o7777).toString(8);
    const owner = owners ? ` ${stats.uid}:${stats.gid}` : "";
    const time = times ? ` @${Math.floor(stats.mtimeMs / 1000)}` : "";
    const attributes = xattrs
      .read(at, isPortableXattr)
      .map(({ name, value }) => ` ${name}=${Buffer.from(value).toString("hex")}`)
      .join("");
    let what: string;
    if (stats.isSymbolicLink()) what = `symlink -> ${readlinkSync(at)}`;
    else if (stats.isDirectory()) what = `dir ${mode}`;
    else if (stats.isFIFO()) what = `fifo ${mode}`;
    else if (stats.isFile()) what = `file ${mode} ${JSON.stringify(readFileSync(at, "latin1"))}`;
    else what = `device ${mode} ${stats.rdev}`;
    let link = "";
    if (!stats.isDirectory() && stats.nlink > 1) {
      const inode = `${stats.dev}:${stats.ino}`;
      const first = groups.get(inode);
      if (first === undefined) groups.set(inode, path);
      else link = ` = ${first}`;
    }
    if (path !== "") lines.push(`${path}: ${what}${owner}${time}${attributes}${link}`);
    if (stats.isDirectory()) for (const name of readdirSync(at).sort()) visit(join(path, name));
  };
  visit("");
  return lines;
}
