// One walk over folders that lie on top of each other by the rules of overlayfs (Documentation/filesystems/overlayfs.rst,
// "whiteouts and opaque directories"), as a mount would show them. Looking into the folders themselves takes half the
// time of looking through a mount, which has to be made first.
import { type Dirent, readdirSync, readlinkSync } from "node:fs";
import { fileFailure } from "./errno.ts";
import { expectUtf8Name, kindOf, lstatEntry, sortNames, type WalkEntry } from "./walk.ts";
import { isPortableXattr, loadXattrs, type Xattrs } from "./xattr.ts";

/** As a mount of the machine's first user namespace has it, and as one of another does ("userxattr"). */
const OPAQUE = ["trusted.overlay.opaque", "user.overlay.opaque"] as const;

/** What one entry is, wherever a walk comes by it. */
type Seen = Pick<WalkEntry, "kind" | "stats" | "isPlain" | "link">;

/** So many entries are kept, of at most 1 KB. */
const MAX_SEEN = 16_384;

/**
 * What walks saw of folders that nothing writes to: of several walks over the same folders, as the exports of one run
 * are, only the first looks.
 */
export class SeenFolders {
  readonly #entries = new Map<string, Seen>();
  readonly #listings = new Map<string, readonly Dirent[]>();
  readonly #room: number;

  /** Without others to come nothing is kept. */
  constructor({ isShared }: { readonly isShared: boolean }) {
    this.#room = isShared ? MAX_SEEN : 0;
  }

  /** What is at a path, undefined for nothing. */
  entry(absolute: string, xattrs: Xattrs): Seen | undefined {
    const known = this.#entries.get(absolute);
    if (known !== undefined) return known;
    const stats = lstatEntry(absolute);
    if (stats === undefined) return undefined;
    const kind = kindOf(stats);
    const seen: Seen = {
      kind,
      stats,
      isPlain: xattrs.read(absolute, isPortableXattr).length === 0,
      ...(kind === "symlink" && { link: readlinkSync(absolute) }),
    };
    if (this.#entries.size < this.#room) this.#entries.set(absolute, seen);
    return seen;
  }

  /** What a folder has; `path` is for messages. */
  list(folder: string, path: string): readonly Dirent[] {
    const known = this.#listings.get(folder);
    if (known !== undefined) return known;
    const listing = readFolder(folder, path);
    if (this.#listings.size < this.#room) this.#listings.set(folder, listing);
    return listing;
  }

  /** To be called when something turned out to be damaged. */
  forget(): void {
    this.#entries.clear();
    this.#listings.clear();
  }
}

interface Frame {
  readonly path: string;
  readonly names: readonly string[];
  readonly places: ReadonlyMap<string, Place>;
  next: number;
}

/** Where an entry is: for a directory in all folders that it is merged of, the newest first. */
interface Place {
  readonly found: string[];
  /** Whether what older folders have at the name is hidden. */
  isClosed: boolean;
}

/**
 * Gives the root and everything below it, sorted, parents before children; a directory is described by the newest
 * folder that has it. `folders` are absolute, the oldest first, and not written to meanwhile, nor as long as `seen` is
 * used.
 * @throws BakeError "file-operation" when a directory cannot be read
 */
export async function walkStack(
  folders: readonly string[],
  seen = new SeenFolders({ isShared: false }),
): Promise<Generator<WalkEntry, void, void>> {
  return walk([...folders].reverse(), seen, await loadXattrs());
}

function* walk(
  newestFirst: readonly string[],
  seen: SeenFolders,
  xattrs: Xattrs,
): Generator<WalkEntry, void, void> {
  const [newest] = newestFirst;
  const root = newest === undefined ? undefined : seen.entry(newest, xattrs);
  if (newest === undefined || root === undefined) return;
  yield { path: "", absolute: newest, ...root, matched: true };
  const frames = [openFrame("", newestFirst, seen)];
  for (let frame = frames.at(-1); frame !== undefined; frame = frames.at(-1)) {
    const name = frame.names[frame.next++];
    const place = name === undefined ? undefined : frame.places.get(name);
    if (name === undefined || place === undefined) {
      frames.pop();
      continue;
    }
    const path = frame.path === "" ? name : `${frame.path}/${name}`;
    const [absolute = ""] = place.found;
    const entry = seen.entry(absolute, xattrs);
    if (entry === undefined) {
      expectUtf8Name(name, path);
      continue;
    }
    if (entry.kind === "char" && entry.stats.rdev === 0n) continue;
    yield { path, absolute, ...entry, matched: true };
    if (entry.kind === "directory") frames.push(openFrame(path, unhidden(place.found, xattrs), seen));
  }
}

/** `merged` are the folders of one directory, the newest first. */
function openFrame(path: string, merged: readonly string[], seen: SeenFolders): Frame {
  const places = new Map<string, Place>();
  for (const folder of merged) {
    for (const child of seen.list(folder, path)) {
      const isDirectory = child.isDirectory();
      const place = places.get(child.name);
      if (place === undefined)
        places.set(child.name, { found: [`${folder}/${child.name}`], isClosed: !isDirectory });
      else if (!isDirectory) place.isClosed = true;
      else if (!place.isClosed) place.found.push(`${folder}/${child.name}`);
    }
  }
  return { path, names: sortNames([...places.keys()]), places, next: 0 };
}

function readFolder(folder: string, path: string): readonly Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (thrown) {
    throw fileFailure("read directory", path === "" ? "/" : path, thrown);
  }
}

/** The folders of a directory down to the first that hides those below it. */
function unhidden(folders: readonly string[], xattrs: Xattrs): readonly string[] {
  const last = folders.findIndex((folder, index) => index + 1 < folders.length && isOpaque(folder, xattrs));
  return last < 0 ? folders : folders.slice(0, last + 1);
}

function isOpaque(folder: string, xattrs: Xattrs): boolean {
  return OPAQUE.some(name => {
    const value = xattrs.get(folder, name);
    return value !== undefined && Buffer.from(value).toString() === "y";
  });
}
