// One walk over folders that lie on top of each other by the rules of overlayfs (Documentation/filesystems/overlayfs.rst,
// "whiteouts and opaque directories"), as a mount would show them. Looking into the folders themselves takes half the
// time of looking through a mount, which has to be made first.
import { type Dirent, readdirSync } from "node:fs";
import { fileFailure } from "./errno.ts";
import { createSlicer } from "./slice.ts";
import { expectUtf8Name, kindOf, lstatEntry, sortNames, type WalkEntry } from "./walk.ts";
import { loadXattrs, type Xattrs } from "./xattr.ts";

/** As a mount of the machine's first user namespace has it, and as one of another does ("userxattr"). */
const OPAQUE = ["trusted.overlay.opaque", "user.overlay.opaque"] as const;

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
 * Yields the root and everything below it, sorted, parents before children; a directory is described by the newest
 * folder that has it. `folders` are absolute, the oldest first, and not written to meanwhile.
 * @throws BakeError "file-operation" when a directory cannot be read
 */
export async function* walkStack(
  folders: readonly string[],
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): AsyncGenerator<WalkEntry, void, void> {
  signal?.throwIfAborted();
  const xattrs = await loadXattrs();
  const slicer = createSlicer(signal);
  const newestFirst = [...folders].reverse();
  const [newest] = newestFirst;
  const stats = newest === undefined ? undefined : lstatEntry(newest);
  if (newest === undefined || stats === undefined) return;
  yield { path: "", absolute: newest, kind: kindOf(stats), stats, matched: true };
  const frames = [openFrame("", newestFirst)];
  for (let frame = frames.at(-1); frame !== undefined; frame = frames.at(-1)) {
    const name = frame.names[frame.next++];
    const place = name === undefined ? undefined : frame.places.get(name);
    if (name === undefined || place === undefined) {
      frames.pop();
      continue;
    }
    const paused = slicer.pause();
    if (paused !== undefined) await paused;
    const path = frame.path === "" ? name : `${frame.path}/${name}`;
    const [absolute = ""] = place.found;
    const entryStats = lstatEntry(absolute);
    if (entryStats === undefined) {
      expectUtf8Name(name, path);
      continue;
    }
    const kind = kindOf(entryStats);
    if (kind === "char" && entryStats.rdev === 0n) continue;
    yield { path, absolute, kind, stats: entryStats, matched: true };
    if (kind === "directory") frames.push(openFrame(path, unhidden(place.found, xattrs)));
  }
}

/** `merged` are the folders of one directory, the newest first. */
function openFrame(path: string, merged: readonly string[]): Frame {
  const places = new Map<string, Place>();
  for (const folder of merged) {
    for (const child of readFolder(folder, path)) {
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
