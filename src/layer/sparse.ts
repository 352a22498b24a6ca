// Copies of sparse files that stay sparse: only what is allocated is read and written (lseek(2), SEEK_DATA).
import { ftruncateSync, readSync, writeSync } from "node:fs";
import { loadNative } from "../system/native.ts";
import type { Slicer } from "./slice.ts";

/** Copies the content of one open file into another, empty one. */
export type CopySparse = (from: number, to: number, size: number, slicer: Slicer) => Promise<void>;

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const CHUNK_BYTES = 1024 * 1024;
/** Holes smaller than this are not worth the calls. */
const WORTH_BYTES = 64n * 1024n;

/** Whether a file has holes: it takes clearly less of its disk than it is long. */
export function isSparse({ size, blocks }: { readonly size: bigint; readonly blocks: bigint }): boolean {
  return blocks * 512n + WORTH_BYTES < size;
}

let loading: Promise<CopySparse | undefined> | undefined;

/** Undefined when the native library cannot be loaded: sparse files are copied like others then. */
export function loadCopySparse(): Promise<CopySparse | undefined> {
  loading ??= load();
  return loading;
}

async function load(): Promise<CopySparse | undefined> {
  const native = await loadNative();
  if (native === undefined) return undefined;
  const lseek = native.bind("int64_t lseek(int fd, int64_t offset, int whence)");
  return async (from, to, size, slicer) => {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    for (let at = 0; at < size;) {
      const data = lseek(from, at, SEEK_DATA);
      if (data < 0) {
        // ENXIO: nothing but a hole up to the end. Where holes cannot be asked for, all of it is data.
        if (native.lastError().code === "ENXIO") break;
      }
      const start = data < 0 ? at : data;
      const hole = data < 0 ? -1 : lseek(from, start, SEEK_HOLE);
      const end = hole < 0 ? size : hole;
      for (at = start; at < end;) {
        const paused = slicer.pause();
        if (paused !== undefined) await paused;
        const read = readSync(from, chunk, 0, Math.min(CHUNK_BYTES, end - at), at);
        if (read === 0) break;
        for (let written = 0; written < read;)
          written += writeSync(to, chunk, written, read - written, at + written);
        at += read;
      }
      // It became shorter meanwhile.
      if (at < end) break;
    }
    ftruncateSync(to, size);
  };
}
