// Setting times with full precision: Node's calls take floating-point seconds, which lose some hundred nanoseconds.
import { lutimesSync } from "node:fs";
import { loadNative } from "../system/native.ts";

/** Sets access and modification time, nanoseconds since the epoch, of a path without following a symlink at its end. */
export type SetTimes = (path: string, atimeNs: bigint, mtimeNs: bigint) => void;

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const BILLION = 1_000_000_000n;

let loading: Promise<SetTimes> | undefined;

/** Falls back to Node's own precision when the native library cannot be loaded. */
export function loadSetTimes(): Promise<SetTimes> {
  loading ??= load();
  return loading;
}

async function load(): Promise<SetTimes> {
  const rough: SetTimes = (path, atimeNs, mtimeNs) => {
    lutimesSync(path, Number(atimeNs) / 1e9, Number(mtimeNs) / 1e9);
  };
  const native = await loadNative();
  // The layout of struct timespec below is that of 64-bit machines.
  if (native === undefined || !/64|s390x/.test(process.arch)) return rough;
  const utimensat = native.bind(
    "int utimensat(int dirfd, const char *path, const uint8_t *times, int flags)",
  );
  /** Two of struct timespec: seconds and nanoseconds, in the byte order of the machine. */
  const fields = new BigInt64Array(4);
  const times = new Uint8Array(fields.buffer);
  return (path, atimeNs, mtimeNs) => {
    const atime = floorDiv(atimeNs);
    const mtime = floorDiv(mtimeNs);
    fields[0] = atime;
    fields[1] = atimeNs - atime * BILLION;
    fields[2] = mtime;
    fields[3] = mtimeNs - mtime * BILLION;
    if (utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) !== 0) {
      const code = native.lastError().code;
      throw Object.assign(new Error(`utimensat failed: ${code}`), { code });
    }
  };
}

function floorDiv(ns: bigint): bigint {
  const quotient = ns / BILLION;
  return ns < 0n && quotient * BILLION !== ns ? quotient - 1n : quotient;
}
