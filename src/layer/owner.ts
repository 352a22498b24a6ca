// Owners of files. Where a process has but one id, files cannot be given to others: then the owner that a file is to have
// is written into an attribute of it, from which layers are packed. Attributes travel with files as owners do: through
// copies, links, overlays and comparisons. Symlinks can have none; they are root's then.
import { chmodSync, lchownSync, lstatSync } from "node:fs";
import { keepsOwners } from "../system/privilege.ts";
import { loadXattrs, type Xattrs } from "./xattr.ts";

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Holds "uid:gid"; absent when both are 0. */
export const OWNER_XATTR = "user.llbake.owner";

let recorder: Xattrs | undefined;

/** Finds out whether this process can give files away; to be awaited before the first file is made. */
export async function loadOwners(): Promise<void> {
  if (!keepsOwners()) recorder ??= await loadXattrs();
}

/** Whether owners are asked for at all: root has its files given away, others have it noted. */
export function givesOwners(): boolean {
  return process.geteuid?.() === 0 || recorder !== undefined;
}

/** Whether owners are noted here instead of given. */
export function notesOwners(): boolean {
  return recorder !== undefined;
}

/** As lchown(2), or the note of it. Drops the setuid bit and capabilities, as that does. */
export function setOwner(path: string, uid: number, gid: number): void {
  if (recorder === undefined) return lchownSync(path, uid, gid);
  if (uid === 0 && gid === 0) return void recorder.remove(path, OWNER_XATTR);
  const value = Buffer.from(`${uid}:${gid}`);
  if (recorder.set(path, OWNER_XATTR, value) !== "EACCES") return;
  // One's own file, without the right to write to it.
  const { mode } = lstatSync(path);
  chmodSync(path, (mode & 0o7777) | 0o200);
  recorder.set(path, OWNER_XATTR, value);
  chmodSync(path, mode & 0o7777);
}

/** The owner a file has in a layer. */
export function ownerOf(path: string, stats: { readonly uid: bigint; readonly gid: bigint }): Owner {
  if (recorder === undefined) return { uid: Number(stats.uid), gid: Number(stats.gid) };
  const noted = recorder.get(path, OWNER_XATTR);
  const [, uid, gid] = /^(\d+):(\d+)$/.exec(noted === undefined ? "" : Buffer.from(noted).toString()) ?? [];
  return { uid: Number(uid ?? 0), gid: Number(gid ?? 0) };
}
