// Where a copy goes: a directory, or the upper directory of an overlay that is not mounted, seen together with the tree
// it will lie over. Writing there needs no mount, is several times as quick as through one, and files can be linked in.
// Only additions and replacements of files are done this way: nothing in it needs whiteouts or opaque directories
// (Documentation/filesystems/overlayfs.rst).
import { chmodSync, lchownSync, lstatSync, mkdirSync, type Stats } from "node:fs";
import { lstatIfThere } from "../system/lstat.ts";
import { type Owner, setOwner } from "./owner.ts";
import { relativeToRoot, resolveInRoot, under } from "./rootpath.ts";
import type { SetTimes } from "./times.ts";
import { isPortableXattr, type Xattrs } from "./xattr.ts";

export interface DestinationPlace {
  /** Absolute, without symlinks. */
  readonly root: string;
  /** The tree that `root` will lie over, also without symlinks; undefined when `root` is all there is. */
  readonly below: string | undefined;
}

export interface DirectoryDetails {
  readonly mode: number;
  /** Default is the user of this process. */
  readonly owner: Owner | undefined;
}

export class Destination {
  readonly root: string;
  readonly #below: string | undefined;
  readonly #xattrs: Xattrs;
  readonly #setTimes: SetTimes;
  /** Paths relative to the root: whether the tree below has a directory there that shows. */
  readonly #foldersBelow = new Map<string, boolean>();

  constructor({ root, below }: DestinationPlace, xattrs: Xattrs, setTimes: SetTimes) {
    this.root = root;
    this.#below = below;
    this.#xattrs = xattrs;
    this.#setTimes = setTimes;
    this.#foldersBelow.set("", below !== undefined);
  }

  /** What shows at an absolute path below the root; undefined for nothing, also when a parent is no directory. */
  lstat(absolute: string): Stats | undefined {
    return lstatIfThere(absolute) ?? this.#entryBelow(absolute);
  }

  /** The absolute path below the root that a path of the tree leads to through symlinks. */
  resolve(path: string): string {
    return resolveInRoot(this.root, path, {
      followLast: true,
      ...(this.#below !== undefined && {
        seenAt: absolute =>
          lstatIfThere(absolute) === undefined && this.#entryBelow(absolute) !== undefined
            ? this.#pathBelow(absolute)
            : absolute,
      }),
    });
  }

  /** Makes a directory and its missing parents, all alike; `target` is resolved. Gives those made, outermost first. */
  makeDirectories(target: string, { mode, owner }: DirectoryDetails): readonly string[] {
    const made: string[] = [];
    let at = this.root;
    for (const part of relativeToRoot(this.root, target).split("/")) {
      const above = at;
      at = under(at, part);
      const stats = this.lstat(at);
      if (stats?.isDirectory() === true) continue;
      if (stats !== undefined) {
        const message = `"${relativeToRoot(this.root, at)}" is not a directory`;
        throw Object.assign(new Error(message), { code: "ENOTDIR" });
      }
      this.raise(above);
      mkdirSync(at, { mode });
      if (owner !== undefined) setOwner(at, owner.uid, owner.gid);
      chmodSync(at, mode);
      made.push(at);
    }
    return made;
  }

  /** Whether the tree below has a directory at the path, which nothing but a directory may cover. */
  coversDirectory(absolute: string): boolean {
    return this.#below !== undefined && this.#entryBelow(absolute)?.isDirectory() === true;
  }

  /** Whether anything of the tree below would show at the path if nothing were made there. */
  showsBelow(absolute: string): boolean {
    return this.#entryBelow(absolute) !== undefined;
  }

  /** Makes directories that are only in the tree below, so that something can be put into the last of them. */
  raise(absolute: string): void {
    if (this.#below === undefined || lstatIfThere(absolute) !== undefined) return;
    const stats = lstatSync(this.#pathBelow(absolute), { bigint: true });
    this.raise(absolute.slice(0, absolute.lastIndexOf("/")));
    mkdirSync(absolute, 0o700);
    if (process.geteuid?.() === 0) lchownSync(absolute, Number(stats.uid), Number(stats.gid));
    chmodSync(absolute, Number(stats.mode & 0o7777n));
    for (const { name, value } of this.#xattrs.read(this.#pathBelow(absolute), isPortableXattr))
      this.#xattrs.set(absolute, name, value);
    this.#setTimes(absolute, stats.atimeNs, stats.mtimeNs);
  }

  #entryBelow(absolute: string): Stats | undefined {
    if (this.#below === undefined) return undefined;
    const path = relativeToRoot(this.root, absolute);
    const parent = path.slice(0, Math.max(0, path.lastIndexOf("/")));
    return this.#hasFolderBelow(parent) ? lstatIfThere(this.#pathBelow(absolute)) : undefined;
  }

  #hasFolderBelow(path: string): boolean {
    const known = this.#foldersBelow.get(path);
    if (known !== undefined) return known;
    const has =
      this.#entryBelow(under(this.root, path))?.isDirectory() === true &&
      lstatIfThere(under(this.root, path))?.isDirectory() !== false;
    this.#foldersBelow.set(path, has);
    return has;
  }

  #pathBelow(absolute: string): string {
    return under(this.#below ?? this.root, relativeToRoot(this.root, absolute));
  }
}
