// One walk over a tree through its filters: sorted, parents before children, each entry with its stats.
import { type BigIntStats, lstatSync, readdirSync } from "node:fs";
import { BakeError } from "../diagnostic/error.ts";
import { compareUtf8 } from "../oci/json.ts";
import { errnoOf, readFailure } from "./errno.ts";
import { under } from "./rootpath.ts";
import { createSlicer } from "./slice.ts";
import { openRules, type RuleSet, type RuleState, stateInView, type TreeView } from "./view.ts";

export type EntryKind = "file" | "directory" | "symlink" | "fifo" | "char" | "block" | "socket";

/** What lstat(2) says of an entry, as far as anybody asks. */
export type EntryStats = Pick<
  BigIntStats,
  "dev" | "ino" | "mode" | "nlink" | "uid" | "gid" | "rdev" | "size" | "atimeNs" | "mtimeNs" | "ctimeNs"
>;

export interface WalkEntry {
  /** Relative to where the walk began, slash-separated; "" for the beginning itself. */
  readonly path: string;
  readonly absolute: string;
  readonly kind: EntryKind;
  readonly stats: EntryStats;
  /** It was found to have no attributes that count as content; absent when nobody looked. */
  readonly isPlain?: boolean;
  /** Where a symlink leads; absent when nobody looked. */
  readonly link?: string;
  /**
   * False for a directory that the walk's own rules leave out but that holds something they let in. One that the view
   * hides but for something below it is a directory like any other: that is how it would have been uploaded.
   */
  readonly matched: boolean;
}

export interface WalkOptions {
  readonly signal?: AbortSignal | undefined;
  /** Where to begin, a path relative to the view's root without symlinks; default is the root. */
  readonly start?: string;
  /** Further filters on paths relative to the start. */
  readonly rules?: RuleSet;
}

/** By the type bits of the mode (inode(7)): the methods of big stats take ten times as long. */
export function kindOf({ mode }: Pick<EntryStats, "mode">): EntryKind {
  return KINDS.get(Number(mode) & 0o170000) ?? "socket";
}

const KINDS: ReadonlyMap<number, EntryKind> = new Map([
  [0o100000, "file"],
  [0o040000, "directory"],
  [0o120000, "symlink"],
  [0o010000, "fifo"],
  [0o020000, "char"],
  [0o060000, "block"],
]);

interface Frame {
  readonly entry: WalkEntry;
  readonly outer: RuleState | undefined;
  readonly inner: RuleState | undefined;
  readonly names: readonly string[];
  readonly isDirectory: ReadonlySet<string>;
  next: number;
  given: boolean;
}

/**
 * Yields the entry at the start and everything below it that the filters let through. Directories that are filtered
 * out come (unmatched) just before the first entry below them that is not. Entries that vanish meanwhile are left out.
 * @throws BakeError "file-operation" when a directory cannot be read
 */
export async function* walkTree(
  view: TreeView,
  { signal, start = "", rules = openRules }: WalkOptions = {},
): AsyncGenerator<WalkEntry, void, void> {
  signal?.throwIfAborted();
  const slicer = createSlicer(signal);
  const absolute = under(view.root, start);
  const stats = expectReadable(absolute, start);
  if (stats === undefined) return;
  const outer = stateInView(view, start);
  const first: WalkEntry = { path: "", absolute, kind: kindOf(stats), stats, matched: true };
  const isShown = outer?.included ?? true;
  if (isShown) yield first;
  if (first.kind !== "directory" || outer?.descend === false) return;

  const stack: Frame[] = [openFrame({ entry: first, given: isShown, outer, inner: undefined }, start)];
  for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
    const name = frame.names[frame.next++];
    if (name === undefined) {
      stack.pop();
      continue;
    }
    const paused = slicer.pause();
    if (paused !== undefined) await paused;
    const path = frame.entry.path === "" ? name : `${frame.entry.path}/${name}`;
    const inRoot = start === "" ? path : `${start}/${path}`;
    const outerState = view.rules.active ? view.rules.enter(frame.outer, inRoot) : undefined;
    const innerState = rules.active ? rules.enter(frame.inner, path) : undefined;
    const matched = innerState?.included ?? true;
    const given = matched && (outerState?.included ?? true);
    const descend =
      frame.isDirectory.has(name) && (outerState?.descend ?? true) && (innerState?.descend ?? true);
    if (!given && !descend) continue;
    const entryPath = `${frame.entry.absolute === "/" ? "" : frame.entry.absolute}/${name}`;
    const entryStats = expectReadable(entryPath, inRoot);
    if (entryStats === undefined) {
      expectUtf8Name(name, inRoot);
      continue;
    }
    const entry: WalkEntry = {
      path,
      absolute: entryPath,
      kind: kindOf(entryStats),
      stats: entryStats,
      matched,
    };
    if (given) {
      for (const above of stack) {
        if (above.given) continue;
        above.given = true;
        yield above.entry;
      }
      yield entry;
    }
    if (descend && entry.kind === "directory")
      stack.push(openFrame({ entry, given, outer: outerState, inner: innerState }, inRoot));
  }
}

function openFrame(directory: Pick<Frame, "entry" | "given" | "outer" | "inner">, shown: string): Frame {
  const isDirectory = new Set<string>();
  const names: string[] = [];
  try {
    for (const child of readdirSync(directory.entry.absolute, { withFileTypes: true })) {
      names.push(child.name);
      if (child.isDirectory()) isDirectory.add(child.name);
    }
  } catch (thrown) {
    if (errnoOf(thrown) !== "ENOENT") throw readFailure("read directory", shown === "" ? "/" : shown, thrown);
  }
  return { ...directory, names: sortNames(names), isDirectory, next: 0 };
}

/** @throws BakeError when an entry that is not found has a name that Node cannot give back as it is */
export function expectUtf8Name(name: string, path: string): void {
  if (!name.includes("\ufffd")) return;
  throw new BakeError("file-operation", `cannot read "${path}": its name is not valid UTF-8`, {
    hint: "rename it, or leave it out with a line in .dockerignore",
  });
}

/** By UTF-8 bytes; the engine's own order is the same unless a name leaves the basic plane. */
export function sortNames(names: string[]): string[] {
  return names.some(name => /[\ud800-\uffff]/.test(name)) ? names.sort(compareUtf8) : names.sort();
}

function expectReadable(absolute: string, shown: string): EntryStats | undefined {
  try {
    return lstatEntry(absolute);
  } catch (thrown) {
    throw readFailure("read", shown === "" ? "/" : shown, thrown);
  }
}

/** Undefined when there is nothing, also since what was a directory above it no longer is. */
export function lstatEntry(absolute: string): EntryStats | undefined {
  try {
    return lstatSync(absolute, { bigint: true, throwIfNoEntry: false });
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOTDIR") return undefined;
    throw thrown;
  }
}
