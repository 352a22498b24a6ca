// The content of a tree, or of chosen paths of it, as one digest: what a copy of it would produce, and nothing that
// changes without the copy changing. Names, kinds, modes, owners, link targets, device numbers, portable attributes and
// bytes count; times do not. The digest is the same on every machine.
import { hash } from "node:crypto";
import { readlinkSync } from "node:fs";
import { BakeError } from "../diagnostic/error.ts";
import { createDigester, type Digest } from "../oci/digest.ts";
import { hasWildcard } from "../pattern/wildcard.ts";
import { entryFailure, errnoOf } from "./errno.ts";
import { createFileHasher, type FileHasher, type StatCache } from "./filehash.ts";
import { splitDevice } from "./mknod.ts";
import { createSlicer } from "./slice.ts";
import { under as joinPath } from "./rootpath.ts";
import { expectVisible, matchSources, type SourceMatch } from "./sources.ts";
import { compileRules, createTreeView, type TreeFilter } from "./view.ts";
import { isRacy, isSameFile } from "./stattable.ts";
import { lstatEntry, walkTree, type WalkEntry } from "./walk.ts";
import { WalkList } from "./walklist.ts";
import { isPortableXattr, loadXattrs, type Xattr, type Xattrs } from "./xattr.ts";

/** One path that a step reads. */
export interface PathSelector {
  /** From the tree's root; "" or "/" is all of it. */
  readonly path: string;
  /** Whether `*`, `?` and `[` in the path are wildcards. */
  readonly wildcard: boolean;
  /** Whether a symlink at the end of the path stands for what it points to. */
  readonly followSymlink: boolean;
  /** Filters on what is below the path, relative to it. */
  readonly includePatterns?: readonly string[] | undefined;
  readonly excludePatterns?: readonly string[] | undefined;
  /** Literal paths from the tree's root that must exist although only patterns select them (COPY --parents). */
  readonly requiredPaths?: readonly string[] | undefined;
}

export interface HashOptions {
  readonly signal?: AbortSignal | undefined;
  readonly statCache?: StatCache | undefined;
  /** Owners count as 0:0: for users' directories, whose owner is whoever checked them out. */
  readonly resetOwner?: boolean;
  /** Whether what was seen is listed, for a copy of just that. Default false. */
  readonly list?: boolean;
}

/** What a selector saw at one match, and what the digest says of it. */
export interface ListedMatch extends SourceMatch {
  readonly entries: WalkList;
  /** Of entries whose times do not tell states apart, since they had just changed: what the digest says of them. */
  readonly doubtful: ReadonlyMap<number, string | Promise<string>>;
}

export interface ContentHash {
  readonly digest: Digest;
  /** What the digest is made of, for explanations: an entry per path, or per directory when there are many. */
  readonly parts: readonly ContentPart[];
  /** The matches of each selector, when asked for. */
  readonly listed: readonly (readonly ListedMatch[])[];
}

export interface ContentPart {
  readonly label: string;
  readonly value: string;
  /** The value is the permission bits of what the label names, which are not the usual ones. Default: all but these. */
  readonly isMode?: true;
}

/** Explanations longer than this help nobody and would bloat cache records. */
const MAX_PARTS = 256;
/** Records are hashed together in strings of about this length. */
const BATCH_LENGTH = 64 * 1024;

/**
 * Digests what selectors see of the tree at `root` (absolute, without symlinks) through a filter. A wildcard that
 * matches nothing is valid and counts as empty.
 * @throws BakeError "file-operation" when a path without wildcards does not exist, or something cannot be read
 */
export async function hashPaths(
  root: string,
  selectors: readonly PathSelector[],
  filter: TreeFilter | undefined,
  { signal, statCache, resetOwner = false, list = false }: HashOptions = {},
): Promise<ContentHash> {
  const startedMs = Date.now();
  const view = createTreeView(root, filter);
  const xattrs = await loadXattrs();
  const hasher = createFileHasher({ statCache, signal });
  const labels: string[] = [];
  const records: (string | Promise<string>)[] = [];
  const firstNames = new Map<string, string>();
  const listed: ListedMatch[][] = [];
  try {
    for (const [index, selector] of selectors.entries()) {
      const isPattern = selector.wildcard && hasWildcard(selector.path);
      const matches = matchSources(view, selector.path, selector);
      if (matches.length === 0 && !isPattern) throw missingPath(selector.path);
      expectVisible(view, selector.requiredPaths);
      const rules = compileRules(selector.includePatterns, selector.excludePatterns);
      const lists: ListedMatch[] = [];
      listed.push(lists);
      for (const match of matches) {
        const entries = list ? new WalkList(joinPath(root, match.found), startedMs) : undefined;
        const doubtful = new Map<number, string | Promise<string>>();
        if (entries !== undefined) lists.push({ ...match, entries, doubtful });
        // A copy is named after the last element: that of a literal path is part of the step's own definition, that
        // of a pattern's match is known only here. The directories before it have no influence.
        const name = isPattern ? match.named.slice(match.named.lastIndexOf("/") + 1) : "";
        for await (const entry of walkTree(view, { signal, start: match.found, rules })) {
          if (entry.kind === "socket") continue;
          const label = under(match.named, entry.path);
          const known = entry.kind === "file" ? statCache?.get(entry.absolute, entry.stats) : undefined;
          const tail = known?.isPlain === true ? "" : describeAttributes(entry, xattrs, label);
          const body = known?.digest ?? bodyOf(entry, hasher, { shown: label, isPlain: tail === "" });
          // Of a link's own attributes nothing is said here.
          const at = entries?.add(entry, tail === "" && entry.kind !== "symlink");
          const head = describe(entry, resetOwner, otherName(entry, label, firstNames));
          // Every field but the last ends in a zero byte, which none can contain, so records cannot run into each other.
          const record = (text: string): string =>
            `${index}\0${name}\0${entry.path}\0${head}\0${text}\0${tail}\n`;
          labels.push(label);
          if (typeof body === "string") records.push(record(body));
          else {
            const later = body.then(record);
            // Awaited below; until then a failure must not count as unnoticed.
            later.catch(() => undefined);
            records.push(later);
          }
          if (at !== undefined && isRacy(entry.stats, startedMs))
            doubtful.set(
              at,
              typeof body === "string"
                ? body + tail
                : body.then(
                    text => text + tail,
                    () => "",
                  ),
            );
        }
      }
    }
  } finally {
    // Also on failure: nothing of this call still runs afterwards.
    await Promise.allSettled(records.filter(record => typeof record !== "string"));
  }

  const digester = createDigester();
  const complete: string[] = [];
  let batch = "";
  for (const made of records) {
    const record = typeof made === "string" ? made : await made;
    complete.push(record);
    batch += record;
    if (batch.length < BATCH_LENGTH) continue;
    digester.update(batch);
    batch = "";
  }
  digester.update(batch);
  return { digest: digester.digest(), parts: summarise(labels, complete), listed };
}

/**
 * Whether entries of a list that were `read` since are as the digest of `hashPaths` says. False also when that cannot be
 * told without walking again.
 */
export async function isAsListed(
  { entries, doubtful }: ListedMatch,
  { signal, statCache }: Pick<HashOptions, "signal" | "statCache"> = {},
): Promise<boolean> {
  const slicer = createSlicer(signal);
  const xattrs = await loadXattrs();
  const hasher = createFileHasher({ statCache, signal });
  for (const at of entries.read) {
    const paused = slicer.pause();
    if (paused !== undefined) await paused;
    const entry = entries.entry(at);
    const { stats } = entry;
    const now = lstatEntry(entry.absolute);
    if (now === undefined || !isSameFile(now, stats) || now.mode !== stats.mode || now.nlink !== stats.nlink)
      return false;
    const before = await doubtful.get(at);
    if (before === undefined) continue;
    const tail = describeAttributes(entry, xattrs, entry.path);
    const body = await bodyOf(entry, hasher, { shown: entry.path, isPlain: tail === "" });
    if (body + tail !== before) return false;
  }
  return true;
}

function under(named: string, path: string): string {
  if (named === "") return path === "" ? "/" : path;
  return path === "" ? named : `${named}/${path}`;
}

function missingPath(path: string): BakeError {
  return new BakeError("file-operation", `"${path === "" ? "/" : path}" does not exist`);
}

/** The first of the selected names of a file that has several: a copy keeps them names of one file. */
function otherName({ kind, stats }: WalkEntry, label: string, firstNames: Map<string, string>): string {
  if (kind === "directory" || stats.nlink < 2n) return "";
  const inode = `${stats.dev}:${stats.ino}`;
  const first = firstNames.get(inode);
  if (first === undefined) firstNames.set(inode, label);
  return first === undefined ? "" : `=${first}`;
}

function describe({ kind, stats }: WalkEntry, resetOwner: boolean, otherNameOf: string): string {
  const mode = kind === "symlink" ? "777" : (Number(stats.mode) & 0o7777).toString(8);
  const owner = resetOwner ? "0\u00000" : `${stats.uid}\0${stats.gid}`;
  return `${kind}${otherNameOf}\0${mode}\0${owner}`;
}

function describeAttributes({ absolute, kind }: WalkEntry, xattrs: Xattrs, shown: string): string {
  // Linux lets nobody give attributes to the link itself, but for those that do not count.
  if (kind === "symlink") return "";
  return readAttributes(absolute, xattrs, shown)
    .map(({ name, value }) => `${Buffer.from(name).toString("hex")}=${Buffer.from(value).toString("hex")}`)
    .join(",");
}

function readAttributes(absolute: string, xattrs: Xattrs, shown: string): readonly Xattr[] {
  try {
    return xattrs.read(absolute, isPortableXattr);
  } catch (thrown) {
    throw entryFailure(shown, thrown);
  }
}

function bodyOf(
  entry: WalkEntry,
  hasher: FileHasher,
  file: { readonly shown: string; readonly isPlain: boolean },
): string | Promise<string> {
  switch (entry.kind) {
    case "file":
      return hasher.hash(entry.absolute, entry.stats, file);
    case "symlink":
      try {
        return readlinkSync(entry.absolute);
      } catch (thrown) {
        throw errnoOf(thrown) === undefined ? thrown : entryFailure(file.shown, thrown);
      }
    case "char":
    case "block": {
      const { major, minor } = splitDevice(entry.stats.rdev);
      return `${major}:${minor}`;
    }
    case "directory":
    case "fifo":
    case "socket":
      return "";
    default: {
      const never: never = entry.kind;
      return never;
    }
  }
}

/** Groups entries by directory, at the greatest depth that leaves few enough of them. */
function summarise(labels: readonly string[], records: readonly string[]): ContentHash["parts"] {
  if (labels.length <= MAX_PARTS)
    return labels.flatMap((label, index) => partsOf(label, records[index] ?? ""));
  let best: readonly string[] | undefined;
  for (let depth = 1; ; depth++) {
    const names = namesAt(labels, depth);
    if (names === undefined) break;
    best = names;
    // Paths selected more than once can be many entries of few names.
    if (!names.some(name => name.endsWith("/"))) break;
  }
  best ??= labels.map(() => `${labels.length} files`);
  const groups = new Map<string, string[]>();
  for (const [index, name] of best.entries()) {
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [records[index] ?? ""]);
    else group.push(records[index] ?? "");
  }
  return [...groups].map(([label, group]) => ({ label, value: shortDigest(group) }));
}

/** What most files have: it is not worth a part. */
const USUAL_MODES = new Set(["file 644", "directory 755", "symlink 777"]);

function partsOf(label: string, record: string): readonly ContentPart[] {
  const [index = "", name = "", path = "", kind = "", mode = "", ...rest] = record.split("\0");
  const content = { label, value: shortDigest([[index, name, path, kind, ...rest].join("\0")]) };
  const isUsual = USUAL_MODES.has(`${kind.replace(/=.*$/s, "")} ${mode}`);
  return isUsual ? [content] : [content, { label, value: mode, isMode: true }];
}

/** The first `depth` elements of each path; undefined when that makes too many groups. */
function namesAt(labels: readonly string[], depth: number): readonly string[] | undefined {
  const different = new Set<string>();
  const names: string[] = [];
  for (const label of labels) {
    let end = -1;
    for (let i = 0; i < depth && (i === 0 || end >= 0); i++) end = label.indexOf("/", end + 1);
    const name = end < 0 ? label : label.slice(0, end + 1);
    if (different.size < different.add(name).size && different.size > MAX_PARTS) return undefined;
    names.push(name);
  }
  return names;
}

function shortDigest(records: readonly string[]): string {
  return hash("sha256", records.join("")).slice(0, 32);
}
