// The system calls that snapshots, locks and sweeps need and Node does not offer. Linux only.
import { BakeError } from "../diagnostic/error.ts";
import { loadNative } from "../system/native.ts";

/** A failed call throws a `SystemError`; nothing here returns -1. */
export interface Libc {
  /** Takes or drops a flock(2) without waiting; false when another open file holds it. */
  flock(fd: number, mode: "exclusive" | "shared" | "unlock"): boolean;
  /** Locks a byte of a file, which need not exist, for this process (fcntl(2), F_SETLK); false when another has it. */
  lockByte(fd: number, at: number): boolean;
  unlockByte(fd: number, at: number): void;
  /** The other process that has a byte locked, which may not be seen from here; undefined when none has. */
  holderOfByte(fd: number, at: number): number | "unseen" | undefined;
  mount(source: string, target: string, type: string, flags: number, data: string): void;
  umount(target: string, flags: number): void;
  /** As `umount`, which takes some milliseconds, on another thread; false when it failed. */
  umountAway(target: string, flags: number): Promise<boolean>;
  /** The value of an extended attribute, or undefined when the file has none of that name. Links are not followed. */
  getXattr(path: string, name: string): Buffer | undefined;
  setXattr(path: string, name: string, value: Uint8Array): void;
  removeXattr(path: string, name: string): void;
  listXattr(path: string): readonly string[];
  /** Makes a device, fifo or socket node; `device` is the number as stat reports it in `rdev`. */
  mknod(path: string, mode: number, device: number): void;
  /** Writes everything of the file system that holds `fd` to disk, on another thread. */
  syncfs(fd: number): Promise<void>;
}

/** A system call that failed, with the name of the errno as `code`. */
export class SystemError extends Error {
  override readonly name = "SystemError";
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;

  constructor(syscall: string, subject: string, errno: number, code: string) {
    super(`${syscall} ${JSON.stringify(subject)}: ${code}`);
    this.syscall = syscall;
    this.errno = errno;
    this.code = code;
  }
}

const LOCK = { shared: 1, exclusive: 2, unlock: 8 } as const;
const LOCK_NB = 4;
/** Commands and lock types of fcntl(2), the same on all 64-bit Linux machines that Node runs on. */
const FCNTL = { getLock: 5, setLock: 6, write: 1, unlock: 2 } as const;
const XATTR_ROOM = 256;

let loaded: Promise<Libc> | undefined;

/** @throws BakeError "not-supported" where koffi has no build for this machine */
export function loadLibc(): Promise<Libc> {
  loaded ??= bind();
  return loaded;
}

async function bind(): Promise<Libc> {
  const native = await loadNative();
  if (native === undefined) {
    throw new BakeError(
      "not-supported",
      "cannot call the operating system: the koffi library does not load here",
      { hint: "install llbake with its optional native parts on Linux x64 or arm64, with Node's own libc" },
    );
  }
  const raw = {
    flock: native.bind("int flock(int, int)"),
    fcntl: native.bind("int fcntl(int, int, _Inout_ uint8_t *)"),
    mount: native.bind("int mount(const char *, const char *, const char *, unsigned long, const char *)"),
    umount2: native.bind("int umount2(const char *, int)"),
    umount2Away: native.bindAsync("int umount2(const char *, int)"),
    lgetxattr: native.bind("int64_t lgetxattr(const char *, const char *, _Out_ uint8_t *, size_t)"),
    lsetxattr: native.bind("int lsetxattr(const char *, const char *, const uint8_t *, size_t, int)"),
    lremovexattr: native.bind("int lremovexattr(const char *, const char *)"),
    llistxattr: native.bind("int64_t llistxattr(const char *, _Out_ uint8_t *, size_t)"),
    mknod: native.bind("int mknod(const char *, unsigned int, uint64_t)"),
    syncfs: native.bindAsync("int syncfs(int)"),
  };
  const failure = (syscall: string, subject: string): SystemError => {
    const { errno, code } = native.lastError();
    return new SystemError(syscall, subject, errno, code);
  };
  const succeed = (result: unknown, syscall: string, subject: string): void => {
    if (result !== 0) throw failure(syscall, subject);
  };
  /** Reads a value of unknown size: tries a small buffer, asks for the size when it is too small. */
  const readSized = (call: (room: Buffer, size: number) => unknown, syscall: string, path: string) => {
    let room = Buffer.alloc(XATTR_ROOM);
    for (;;) {
      const size = Number(call(room, room.length));
      if (size >= 0) return room.subarray(0, size);
      const error = failure(syscall, path);
      if (error.code === "ENODATA" || error.code === "ENOTSUP" || error.code === "EOPNOTSUPP")
        return undefined;
      if (error.code !== "ERANGE" || room.length >= 1 << 20) throw error;
      room = Buffer.alloc(room.length * 16);
    }
  };
  return {
    flock(fd, mode) {
      if (raw.flock(fd, LOCK[mode] | LOCK_NB) === 0) return true;
      const error = failure("flock", String(fd));
      if (error.code === "EAGAIN" || error.code === "EWOULDBLOCK" || error.code === "EINTR") return false;
      throw error;
    },
    lockByte(fd, at) {
      if (raw.fcntl(fd, FCNTL.setLock, byteLock(FCNTL.write, at)) === 0) return true;
      const error = failure("fcntl", String(fd));
      if (["EAGAIN", "EWOULDBLOCK", "EACCES", "EINTR"].includes(error.code)) return false;
      throw error;
    },
    unlockByte(fd, at) {
      succeed(raw.fcntl(fd, FCNTL.setLock, byteLock(FCNTL.unlock, at)), "fcntl", String(fd));
    },
    holderOfByte(fd, at) {
      const lock = byteLock(FCNTL.write, at);
      if (raw.fcntl(fd, FCNTL.getLock, lock) !== 0 || lock.readInt16LE(0) === FCNTL.unlock) return undefined;
      const pid = lock.readInt32LE(24);
      return pid > 0 ? pid : "unseen";
    },
    mount(source, target, type, flags, data) {
      succeed(raw.mount(source, target, type, flags, data), "mount", target);
    },
    umount(target, flags) {
      succeed(raw.umount2(target, flags), "umount", target);
    },
    async umountAway(target, flags) {
      return (await raw.umount2Away(target, flags)) === 0;
    },
    getXattr: (path, name) =>
      readSized((room, size): unknown => raw.lgetxattr(path, name, room, size), "lgetxattr", path),
    setXattr(path, name, value) {
      succeed(raw.lsetxattr(path, name, value, value.length, 0), "lsetxattr", path);
    },
    removeXattr(path, name) {
      succeed(raw.lremovexattr(path, name), "lremovexattr", path);
    },
    listXattr(path) {
      const list = readSized((room, size): unknown => raw.llistxattr(path, room, size), "llistxattr", path);
      return list === undefined ? [] : list.toString().split("\0").filter(Boolean);
    },
    mknod(path, mode, device) {
      succeed(raw.mknod(path, mode, device), "mknod", path);
    },
    async syncfs(fd) {
      if ((await raw.syncfs(fd)) !== 0) throw new SystemError("syncfs", String(fd), 0, "EIO");
    },
  };
}

/** A struct flock of one byte: type, whence (0: from the start), start, length, process. */
function byteLock(type: number, at: number): Buffer {
  const lock = Buffer.alloc(32);
  lock.writeInt16LE(type, 0);
  lock.writeBigInt64LE(BigInt(at), 8);
  lock.writeBigInt64LE(1n, 16);
  return lock;
}
