// Archives that the kernel unpacks as its first root (initramfs; Documentation/driver-api/early-userspace/buffer-format,
// the "newc" form of cpio).

export interface CpioEntry {
  /** Without a leading slash. Folders come before what is in them. */
  readonly path: string;
  /** The type of the file too, as in stat: 0o100755, 0o040755. */
  readonly mode: number;
  readonly data?: Uint8Array;
}

const END = "TRAILER!!!";
const ALIGNMENT = 4;

export function cpioArchive(entries: readonly CpioEntry[]): Uint8Array {
  const pieces = entries.flatMap((entry, index) => pack(entry, index + 1));
  pieces.push(...pack({ path: END, mode: 0 }, 0));
  return Buffer.concat(pieces);
}

function pack({ path, mode, data = new Uint8Array() }: CpioEntry, inode: number): readonly Uint8Array[] {
  const name = Buffer.from(`${path}\0`);
  // inode, mode, uid, gid, links, time, size, device and node numbers, length of the name, checksum
  const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length, 0];
  const head = Buffer.from(`070701${fields.map(field => field.toString(16).padStart(8, "0")).join("")}`);
  return [padded(Buffer.concat([head, name])), padded(data)];
}

function padded(bytes: Uint8Array): Uint8Array {
  const rest = bytes.length % ALIGNMENT;
  return rest === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(ALIGNMENT - rest)]);
}
