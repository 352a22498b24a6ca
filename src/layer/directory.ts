// Open directories. A path is only good as long as nobody changes the tree; an open directory stays the same one, so
// what is named through it cannot be led elsewhere by a symlink put in the way meanwhile. Linux: entries are reached by
// the magic links of proc(5), `/proc/PID/fd/N/name`.
import { chmodSync, closeSync, constants, lstatSync, openSync, readlinkSync, type Stats } from "node:fs";
import { BakeError } from "../diagnostic/error.ts";
import { errnoOf } from "./errno.ts";
import { relativeToRoot, resolveInRoot, under } from "./rootpath.ts";

/** open(2): a handle to name things by, which needs no right to read. Not among Node's constants. */
const O_PATH = 0x200000;
/** Linux gives up after 40; a chain this long is a loop. */
const MAX_LINKS = 255;
/** An entry that keeps changing its kind while it is looked at is somebody's doing. */
const MAX_TRIES = 1000;

export class Directory implements Disposable {
  readonly #fd: number;
  /** A link to the directory itself, good as long as it is open. */
  readonly path: string;

  private constructor(fd: number) {
    this.#fd = fd;
    this.path = `${descriptors()}/${fd}`;
  }

  /** Opens a directory by a path that is trusted up to its last part. @throws ENOTDIR, ENOENT, … */
  static open(path: string): Directory {
    return new Directory(openSync(path, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW));
  }

  /** The path of an entry; without following it nothing outside can be reached. "" is the directory itself. */
  at(name: string): string {
    return `${this.path}/${name === "" ? "." : name}`;
  }

  /** Opens a directory in it. @throws ENOTDIR when it is something else, a symlink included */
  enter(name: string): Directory {
    return Directory.open(this.at(name));
  }

  /** What an entry is, not following it; undefined when there is none. */
  stat(name: string): Stats | undefined {
    return lstatSync(this.at(name), { throwIfNoEntry: false });
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/** Where a path leads: `names` (the last one may exist) below an open directory; no names: that directory itself. */
export interface Place extends Disposable {
  readonly directory: Directory;
  /** Where the directory is, from the root: clean, without symlinks. */
  readonly path: string;
  readonly names: readonly string[];
}

/**
 * Finds the place of `path` (slash-separated, from the root, however it begins) as if `root` were the whole file
 * system: symlinks, absolute ones included, and ".." stay inside, also when the tree changes meanwhile. What does not
 * exist is kept as it is named.
 * @param options.followLast whether a symlink at the end is followed too
 * @throws BakeError "file-operation" when symlinks form a loop
 */
export function locate(root: string, path: string, options: { readonly followLast: boolean }): Place {
  return locateAtOnce(root, path, options) ?? locateStepwise(root, path, options);
}

/** The quick way, when the directory is there: resolved by name, opened, and found to be where it was to be. */
function locateAtOnce(
  root: string,
  path: string,
  options: { readonly followLast: boolean },
): Place | undefined {
  const resolved = resolveInRoot(root, path, options);
  const relative = relativeToRoot(root, resolved);
  const slash = relative.lastIndexOf("/");
  const parent = under(root, relative.slice(0, Math.max(0, slash)));
  let directory: Directory;
  try {
    directory = Directory.open(parent);
  } catch {
    return undefined;
  }
  if (readlinkSync(directory.path) !== parent) {
    directory[Symbol.dispose]();
    return undefined;
  }
  return {
    directory,
    path: relativeToRoot(root, parent),
    names: relative === "" ? [] : [relative.slice(slash + 1)],
    [Symbol.dispose]: () => directory[Symbol.dispose](),
  };
}

function locateStepwise(root: string, path: string, { followLast }: { readonly followLast: boolean }): Place {
  const todo = path.split("/").reverse();
  /** From the root down; the names are those below the last one. */
  const open = [{ directory: openRoot(root), name: "" }];
  const names: string[] = [];
  let links = 0;
  try {
    while (todo.length > 0) {
      const part = todo.pop();
      if (part === undefined || part === "" || part === ".") continue;
      if (part === "..") {
        if (names.pop() === undefined && open.length > 1) open.pop()?.directory[Symbol.dispose]();
        continue;
      }
      names.push(part);
      const directory = open.at(-1)?.directory;
      // Below what does not exist, or is no directory, there is nothing to look at.
      if (directory === undefined || names.length > 1) continue;
      const isLast = !todo.some(rest => rest !== "" && rest !== ".");
      if (isLast && !followLast) continue;
      const entry = look(directory, part, isLast);
      if (entry === undefined) continue;
      names.pop();
      if (typeof entry !== "string") {
        open.push({ directory: entry, name: part });
        continue;
      }
      if (++links > MAX_LINKS)
        throw new BakeError("file-operation", `cannot resolve "${path}": too many symbolic links`);
      if (entry.startsWith("/")) for (const left of open.splice(1)) left.directory[Symbol.dispose]();
      todo.push(...entry.split("/").reverse());
    }
    const where = open.slice(1).map(({ name }) => name);
    const found = open.pop();
    if (found === undefined) throw new Error("BUG: the root was left");
    const { directory } = found;
    return { directory, path: where.join("/"), names, [Symbol.dispose]: () => directory[Symbol.dispose]() };
  } finally {
    // Those above the place; on failure all.
    for (const { directory } of open) directory[Symbol.dispose]();
  }
}

function openRoot(root: string): Directory {
  // "/" at the end: the root itself is trusted and may be a link.
  return Directory.open(`${root}/`);
}

/** The target of a symlink, an opened directory, or undefined for anything else. The last part is not opened. */
function look(directory: Directory, name: string, isLast: boolean): Directory | string | undefined {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    try {
      const stats = directory.stat(name);
      if (stats?.isSymbolicLink() === true) return readlinkSync(directory.at(name));
      if (stats?.isDirectory() !== true || isLast) return undefined;
      return directory.enter(name);
    } catch (thrown) {
      // It became another thing between two looks.
      if (!["ENOTDIR", "ELOOP", "EINVAL", "ENOENT"].includes(errnoOf(thrown) ?? "")) throw thrown;
    }
  }
  throw new BakeError("file-operation", `cannot resolve "${name}": it keeps changing`);
}

/** What is made of directories on the way to a place. */
export interface MadeDirectory {
  readonly parent: Directory;
  readonly name: string;
}

/** Directories opened one after the other, closed together. */
export class DirectoryTrail implements Disposable {
  readonly made: MadeDirectory[] = [];
  readonly #open: Directory[] = [];

  /** Takes over an open directory. */
  add(directory: Directory): Directory {
    this.#open.push(directory);
    return directory;
  }

  /** Enters `names` one below the other and makes what is missing with `make`, which gets the path of each. */
  enter(from: Directory, names: readonly string[], make: (path: string) => void): Directory {
    let at = from;
    for (const name of names) {
      if (at.stat(name) === undefined) {
        make(at.at(name));
        this.made.push({ parent: at, name });
      }
      at = this.add(at.enter(name));
    }
    return at;
  }

  [Symbol.dispose](): void {
    for (const directory of this.#open.splice(0)) directory[Symbol.dispose]();
  }
}

/** chmod(2) that does not follow: of the thing itself, whatever has its name by now. Symlinks have no mode. */
export function chmodEntry(path: string, mode: number): void {
  const fd = openSync(path, O_PATH | constants.O_NOFOLLOW);
  try {
    chmodSync(`${descriptors()}/${fd}`, mode);
  } finally {
    closeSync(fd);
  }
}

let known: string | undefined;

/** The folder of this process's descriptors. By number it is found faster than as `self`. */
function descriptors(): string {
  return (known ??= `/proc/${readlinkSync("/proc/self")}/fd`);
}
