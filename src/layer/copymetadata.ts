// What a copied file or directory has beside its content: owner, mode, attributes and times, those of the source unless
// the copy is asked for others.
import { chmodSync, lchownSync, lstatSync } from "node:fs";
import { type ModeChange, parseModeChange } from "./modestring.ts";
import { notesOwners, type Owner, setOwner } from "./owner.ts";
import type { SetTimes } from "./times.ts";
import type { WalkEntry } from "./walk.ts";
import { isPortableXattr, type Xattrs } from "./xattr.ts";

export interface MetadataOptions {
  /** Of everything copied and made; default is the owner of the source. */
  readonly owner?: Owner | undefined;
  /** Permission bits of everything copied and made; default is the mode of the source. */
  readonly mode?: number | undefined;
  /** The same as a symbolic change (`u+x`) of the source's mode; goes before `mode`. */
  readonly modeStr?: string | undefined;
  /** Time of everything copied and made, nanoseconds since the epoch; default is the time of the source. */
  readonly timestampNs?: bigint | undefined;
  /** Sources count as owned by 0:0: for users' directories. */
  readonly resetOwner?: boolean;
}

/** The directory that a new file is in. */
export interface ParentDirectory {
  /** Who owns new files in it; undefined before the first was made. */
  givesOwner: Owner | undefined;
}

export class CopiedMetadata {
  readonly #options: MetadataOptions;
  readonly #xattrs: Xattrs;
  readonly #setTimes: SetTimes;
  readonly #mode: ModeChange | undefined;
  readonly #isPrivileged = process.geteuid?.() === 0;

  constructor(
    options: MetadataOptions,
    { xattrs, setTimes }: { readonly xattrs: Xattrs; readonly setTimes: SetTimes },
  ) {
    this.#options = options;
    this.#xattrs = xattrs;
    this.#setTimes = setTimes;
    const { mode, modeStr } = options;
    this.#mode =
      modeStr !== undefined ? parseModeChange(modeStr) : mode !== undefined ? () => mode & 0o7777 : undefined;
  }

  /** Of a copy: permission bits. */
  modeOf({ stats, kind }: WalkEntry): number {
    const oldMode = Number(stats.mode & 0o7777n);
    return this.#mode?.(oldMode, kind === "directory") ?? oldMode;
  }

  /** Gives the copy all it is to have. `parent` is the directory of a new file that has its mode already. */
  set(entry: WalkEntry, target: string, parent: ParentDirectory | undefined): void {
    const { stats, kind } = entry;
    const { owner, resetOwner } = this.#options;
    const uid = owner?.uid ?? (resetOwner === true ? 0 : Number(stats.uid));
    const gid = owner?.gid ?? (resetOwner === true ? 0 : Number(stats.gid));
    const changesOwner = this.#isPrivileged && !notesOwners() && !this.#ownerFits(target, uid, gid, parent);
    if (changesOwner) lchownSync(target, uid, gid);
    // After the owner, because changing that drops the setuid bit and capabilities.
    if (kind !== "symlink" && (changesOwner || parent === undefined)) chmodSync(target, this.modeOf(entry));
    if (entry.isPlain !== true)
      for (const { name, value } of this.#xattrs.read(entry.absolute, isPortableXattr))
        this.#xattrs.set(target, name, value);
    // The note of an owner has come along, unless another one is wanted.
    if (notesOwners() && (owner !== undefined || resetOwner === true)) setOwner(target, uid, gid);
    this.setTimes(entry, target);
  }

  /**
   * Whether a new file has the owner it is to have. That depends on its directory (setgid, mount options), so of each
   * directory the first file tells.
   */
  #ownerFits(target: string, uid: number, gid: number, parent: ParentDirectory | undefined): boolean {
    if (parent === undefined) return false;
    parent.givesOwner ??= lstatSync(target);
    return parent.givesOwner.uid === uid && parent.givesOwner.gid === gid;
  }

  /** The times alone: of a directory whose owner and mode stay. */
  setTimes({ stats }: WalkEntry, target: string): void {
    const { timestampNs } = this.#options;
    this.#setTimes(target, timestampNs ?? stats.atimeNs, timestampNs ?? stats.mtimeNs);
  }
}
