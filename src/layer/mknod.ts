// Device nodes and fifos. Node has no mknod(2), so libc is reached through koffi, loaded on first use.
import { loadNative } from "../system/native.ts";

export type MakeNode = (path: string, mode: number, major: number, minor: number) => string | undefined;

export const S_IFIFO = 0o010000;
export const S_IFCHR = 0o020000;
export const S_IFBLK = 0o060000;

/** The major and minor number in a `st_rdev` of Linux (gnu_dev_major, gnu_dev_minor). */
export function splitDevice(rdev: bigint): { readonly major: number; readonly minor: number } {
  return {
    major: Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n)),
    minor: Number((rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n)),
  };
}

function joinDevice(major: number, minor: number): bigint {
  const a = BigInt(major);
  const b = BigInt(minor);
  return ((a & 0xfffn) << 8n) | ((a & 0xfffff000n) << 32n) | (b & 0xffn) | ((b & 0xffffff00n) << 12n);
}

let loading: Promise<MakeNode> | undefined;

/**
 * A function that makes a fifo or device; `mode` has the type bits. It answers the reason of a failure ("EPERM",
 * "EEXIST", …), "unavailable" when the native library cannot be loaded, or undefined on success.
 */
export function loadMakeNode(): Promise<MakeNode> {
  loading ??= load();
  return loading;
}

async function load(): Promise<MakeNode> {
  const native = await loadNative();
  if (native === undefined) return () => "unavailable";
  const mknod = native.bind("int mknod(const char *path, uint32_t mode, uint64_t dev)");
  return (path, mode, major, minor) =>
    mknod(path, mode, joinDevice(major, minor)) === 0 ? undefined : native.lastError().code;
}
