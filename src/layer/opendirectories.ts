// Directories of a tree that are kept open while an archive is laid over it: most entries are in one of the last few.
import { mkdirSync } from "node:fs";
import { BakeError } from "../diagnostic/error.ts";
import { chmodEntry, type Directory, locate } from "./directory.ts";

/** So many are kept open. */
const MAX_OPEN = 32;

/** A directory of the tree and where it is: from the root, clean, without symlinks. */
export interface OpenDirectory {
  readonly directory: Directory;
  readonly path: string;
}

/** An entry: in a directory that is open, by its name. */
export interface Entry {
  readonly directory: Directory;
  readonly name: string;
  /** From the root, as that of directories; "" is the root itself. */
  readonly path: string;
}

/** The entry of that name in a directory. */
export function entryIn({ directory, path }: OpenDirectory, name: string): Entry {
  return { directory, name, path: path === "" ? name : `${path}/${name}` };
}

/** To be closed by whoever made it. */
export class OpenDirectories {
  readonly #root: string;
  readonly #onMade: (path: string) => void;
  /** By their names in the archive; an entry is valid until a path changes its kind. */
  readonly #opened = new Map<string, OpenDirectory>();
  /** Whether a path may lead elsewhere than when its directory was opened. */
  #stale = false;

  /** Below `root`, an absolute path without symlinks. `onMade` hears of every directory that had to be made. */
  constructor(root: string, onMade: (path: string) => void) {
    this.#root = root;
    this.#onMade = onMade;
  }

  /** To be called before each entry of the archive: closes all when a path may lead elsewhere now. */
  beginEntry(): void {
    if (this.#stale) this.close();
  }

  /** To be called when a directory or a symlink was removed. */
  pathsChanged(): void {
    this.#stale = true;
  }

  /**
   * A directory of the archive, symlinks resolved inside the root; made when missing, or undefined. It is closed here,
   * not before the next entry.
   * @throws BakeError "content-corrupt" when a part of the path is no directory
   */
  find(path: string, create: boolean): OpenDirectory | undefined {
    const known = this.#opened.get(path);
    if (known !== undefined) return known;
    const inner = this.#inner(path) ?? this.#resolve(path, create);
    if (inner === undefined) return undefined;
    const [oldest] = this.#opened;
    if (oldest !== undefined && this.#opened.size >= MAX_OPEN) {
      this.#opened.delete(oldest[0]);
      oldest[1].directory[Symbol.dispose]();
    }
    this.#opened.set(path, inner);
    return inner;
  }

  /** The short way: a directory in one that is open. */
  #inner(path: string): OpenDirectory | undefined {
    const slash = path.lastIndexOf("/");
    const name = path.slice(slash + 1);
    const outer = this.#opened.get(path.slice(0, Math.max(0, slash)));
    if (outer === undefined || name === "" || outer.directory.stat(name)?.isDirectory() !== true)
      return undefined;
    const entry = entryIn(outer, name);
    return { directory: entry.directory.enter(name), path: entry.path };
  }

  #resolve(path: string, create: boolean): OpenDirectory | undefined {
    const place = locate(this.#root, path, { followLast: true });
    let opened: OpenDirectory | undefined = place;
    try {
      for (const name of place.names) {
        const entry = entryIn(opened, name);
        const stats = entry.directory.stat(name);
        if (stats === undefined) {
          if (!create) return undefined;
          mkdirSync(entry.directory.at(name), 0o755);
          chmodEntry(entry.directory.at(name), 0o755);
          this.#onMade(entry.path);
        } else if (!stats.isDirectory()) {
          throw new BakeError(
            "content-corrupt",
            `the archive has entries below "${path}", which is not a directory`,
          );
        }
        const inner = entry.directory.enter(name);
        opened.directory[Symbol.dispose]();
        opened = { directory: inner, path: entry.path };
      }
      const found = opened;
      opened = undefined;
      return found;
    } finally {
      opened?.directory[Symbol.dispose]();
    }
  }

  /** Closes what is open; more can be opened afterwards. */
  close(): void {
    for (const { directory } of this.#opened.values()) directory[Symbol.dispose]();
    this.#opened.clear();
    this.#stale = false;
  }
}
