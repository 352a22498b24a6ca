// Owners of files. Where a process lacks an id, files cannot be given to it: then the owner that a file is to have is
// written into an attribute of it, from which layers are packed. Attributes travel with files as owners do: through
// copies, links, overlays and comparisons. Symlinks can have none; they are root's then.
import { chmodSync, lchownSync, lstatSync } from "node:fs";
import { isInitialNamespace, isMappedId, keepsOwners } from "../system/privilege.ts";
import { loadXattrs, type Xattrs } from "./xattr.ts";

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Holds "uid:gid" of a file that is root's on disk. */
export const OWNER_XATTR = "user.llbake.owner";

/** Notes the owners of all files, or of those whose ids are missing; undefined where none is. */
let recorder: { readonly xattrs: Xattrs; readonly ofAll: boolean } | undefined;

/** Finds out whether this process can give files away; to be awaited before the first file is made. */
export async function loadOwners(): Promise<void> {
  const ofAll = !keepsOwners();
  if (ofAll || !isInitialNamespace()) recorder ??= { xattrs: await loadXattrs(), ofAll };
}

/** Whether owners are asked for at all: root has its files given away, others have it noted. */
export function givesOwners(): boolean {
  return process.geteuid?.() === 0 || recorder !== undefined;
}

/** Whether owners are noted here instead of given. */
export function notesOwners(): boolean {
  return recorder?.ofAll === true;
}

/** As lchown(2), or the note of it. Drops the setuid bit and capabilities, as that does. */
export function setOwner(path: string, uid: number, gid: number): void {
  if (recorder === undefined) return lchownSync(path, uid, gid);
  const { xattrs, ofAll } = recorder;
  const isNoted = ofAll || !isMappedId("uid", uid) || !isMappedId("gid", gid);
  if (!ofAll) lchownSync(path, isNoted ? 0 : uid, isNoted ? 0 : gid);
  if (!isNoted || (uid === 0 && gid === 0)) return void xattrs.remove(path, OWNER_XATTR);
  const value = Buffer.from(`${uid}:${gid}`);
  if (xattrs.set(path, OWNER_XATTR, value) !== "EACCES") return;
  // One's own file, without the right to write to it.
  const { mode } = lstatSync(path);
  chmodSync(path, (mode & 0o7777) | 0o200);
  xattrs.set(path, OWNER_XATTR, value);
  chmodSync(path, mode & 0o7777);
}

/** The owner a file has in a layer. */
export function ownerOf(path: string, stats: { readonly uid: bigint; readonly gid: bigint }): Owner {
  const own = { uid: Number(stats.uid), gid: Number(stats.gid) };
  if (recorder === undefined) return own;
  // A file that was given to somebody since is that one's.
  if (!recorder.ofAll && (own.uid !== 0 || own.gid !== 0)) return own;
  const noted = recorder.xattrs.get(path, OWNER_XATTR);
  const [, uid, gid] = /^(\d+):(\d+)$/.exec(noted === undefined ? "" : Buffer.from(noted).toString()) ?? [];
  return { uid: Number(uid ?? 0), gid: Number(gid ?? 0) };
}
