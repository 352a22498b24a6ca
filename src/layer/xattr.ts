// Extended attributes. Node has no calls for them, so libc is reached through koffi, loaded on first use.
import { loadNative } from "../system/native.ts";

export interface Xattr {
  readonly name: string;
  readonly value: Uint8Array;
}

export interface Xattrs {
  /** False when the native library cannot be loaded: reading gives nothing then, writing answers "unavailable". */
  readonly available: boolean;
  /** The attributes of a path (never following a symlink) that `keep` accepts, sorted by name. */
  read(path: string, keep: (name: string) => boolean): readonly Xattr[];
  /** One attribute, or undefined when the path has none of that name. */
  get(path: string, name: string): Uint8Array | undefined;
  /** Sets an attribute; the answer says why it could not be done, undefined on success. */
  set(path: string, name: string, value: Uint8Array): string | undefined;
  /** Removes an attribute; absence is success. */
  remove(path: string, name: string): string | undefined;
}

/**
 * Attributes that belong to the content of a tree and so travel in layers, copies and content keys. Others describe the
 * host (SELinux labels, ACL caches) or are overlayfs's own bookkeeping.
 */
export function isPortableXattr(name: string): boolean {
  if (name === "security.capability") return true;
  if (name.startsWith("user.")) return !name.startsWith("user.overlay.");
  return name.startsWith("trusted.") && !name.startsWith("trusted.overlay.");
}

const NONE: readonly Xattr[] = [];
const UNAVAILABLE: Xattrs = {
  available: false,
  read: () => NONE,
  get: () => undefined,
  set: () => "unavailable",
  remove: () => "unavailable",
};

let loading: Promise<Xattrs> | undefined;

/** The calls of this machine; loaded once. */
export function loadXattrs(): Promise<Xattrs> {
  loading ??= load();
  return loading;
}

/** Most files have no attribute and most values are short: one small buffer serves nearly every call. */
const FIRST_SIZE = 1024;
/** Linux allows lists and values up to 64 KiB. */
const MAX_SIZE = 65536;

async function load(): Promise<Xattrs> {
  const native = await loadNative();
  if (native === undefined) return UNAVAILABLE;
  const list = native.bind("int64_t llistxattr(const char *path, _Out_ uint8_t *list, size_t size)");
  const get = native.bind(
    "int64_t lgetxattr(const char *path, const char *name, _Out_ uint8_t *value, size_t size)",
  );
  const set = native.bind(
    "int lsetxattr(const char *path, const char *name, const uint8_t *value, size_t size, int flags)",
  );
  const remove = native.bind("int lremovexattr(const char *path, const char *name)");

  const scratch = Buffer.alloc(FIRST_SIZE);
  /** Calls with the small buffer and once more with the largest; undefined when there is nothing to read. */
  const fill = (call: (buffer: Buffer) => number): Buffer | undefined => {
    let buffer = scratch;
    for (;;) {
      const length = call(buffer);
      if (length >= 0) return buffer.subarray(0, length);
      const symbol = native.lastError().code;
      if (symbol === "ERANGE" && buffer.length < MAX_SIZE) buffer = Buffer.alloc(MAX_SIZE);
      else if (symbol === "ENODATA" || symbol === "ENOTSUP" || symbol === "EPERM" || symbol === "EACCES")
        return undefined;
      else throw Object.assign(new Error(`reading extended attributes failed: ${symbol}`), { code: symbol });
    }
  };

  return {
    available: true,
    read(path, keep) {
      const names = fill(buffer => list(path, buffer, buffer.length));
      if (names === undefined || names.length === 0) return NONE;
      const wanted = names
        .toString("utf8")
        .split("\0")
        .filter(name => name !== "" && keep(name))
        .sort();
      const found: Xattr[] = [];
      for (const name of wanted) {
        const value = fill(buffer => get(path, name, buffer, buffer.length));
        if (value !== undefined) found.push({ name, value: Uint8Array.from(value) });
      }
      return found;
    },
    get(path, name) {
      const value = fill(buffer => get(path, name, buffer, buffer.length));
      return value === undefined ? undefined : Uint8Array.from(value);
    },
    set(path, name, value) {
      return set(path, name, value, value.length, 0) === 0 ? undefined : native.lastError().code;
    },
    remove(path, name) {
      if (remove(path, name) === 0) return undefined;
      const symbol = native.lastError().code;
      return symbol === "ENODATA" ? undefined : symbol;
    },
  };
}
