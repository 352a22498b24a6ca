// Heads of ELF programs (System V ABI, "ELF Header" and "Program Header"): which processor a file is for, whether it
// runs without a loader, and the smallest programs there are, to ask a kernel what it runs.
import { closeSync, openSync, readSync } from "node:fs";

export interface ElfKind {
  readonly bits: 32 | 64;
  readonly order: "little" | "big";
  /** The e_machine number. */
  readonly machine: number;
}

export interface ElfHead extends ElfKind {
  /** No loader and no libraries: it starts in any root. */
  readonly isStatic: boolean;
}

const MAGIC = [0x7f, 0x45, 0x4c, 0x46] as const;
const EXECUTABLE = 2;
const PT_LOAD = 1;
const PT_INTERP = 3;
/** Program headers follow the ELF header at once in every program linkers make. */
const HEAD_BYTES = 4096;

/** Undefined for what is no ELF file, or cannot be read. */
export function readElfHead(path: string): ElfHead | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(path, "r");
    const head = Buffer.alloc(HEAD_BYTES);
    if (readSync(fd, head, 0, head.length, 0) < 52 || MAGIC.some((byte, index) => head[index] !== byte))
      return undefined;
    const bits = head[4] === 2 ? 64 : 32;
    const order = head[5] === 2 ? "big" : "little";
    const u16 = (at: number): number => (order === "big" ? head.readUInt16BE(at) : head.readUInt16LE(at));
    const u32 = (at: number): number => (order === "big" ? head.readUInt32BE(at) : head.readUInt32LE(at));
    const big64 = (at: number): bigint =>
      order === "big" ? head.readBigUInt64BE(at) : head.readBigUInt64LE(at);
    const table = bits === 64 ? Number(big64(32)) : u32(28);
    const [size, count] = bits === 64 ? [u16(54), u16(56)] : [u16(42), u16(44)];
    let isStatic = true;
    for (let index = 0; index < count; index++) {
      const at = table + index * size;
      if (at + 4 > head.length || u32(at) === PT_INTERP) isStatic = false;
    }
    return { bits, order, machine: u16(18), isStatic };
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/**
 * The first 20 bytes of programs of a kind, and which bits of them count: not the operating system's mark, and
 * position-independent programs (type 3) are as good as others (type 2).
 */
export function elfPattern({ bits, order, machine }: ElfKind): {
  readonly magic: Uint8Array;
  readonly mask: Uint8Array;
} {
  const pair = (value: number): readonly number[] =>
    order === "big" ? [value >> 8, value & 0xff] : [value & 0xff, value >> 8];
  const start = [...MAGIC, bits === 64 ? 2 : 1, order === "big" ? 2 : 1, 1, 0];
  const magic = [...start, ...Array<number>(8).fill(0), ...pair(EXECUTABLE), ...pair(machine)];
  const mask = Array<number>(20).fill(0xff);
  mask[7] = 0;
  mask[order === "big" ? 17 : 16] = 0xfe;
  return { magic: Uint8Array.from(magic), mask: Uint8Array.from(mask) };
}

/** A 32-bit little-endian program that does nothing but run `code`. */
export function smallElf(machine: number, flags: number, code: Uint8Array): Uint8Array {
  const base = 0x10000;
  const header = 52;
  const programHeader = 32;
  const file = Buffer.alloc(header + programHeader + code.length);
  file.set(elfPattern({ bits: 32, order: "little", machine }).magic);
  file.writeUInt32LE(1, 20);
  file.writeUInt32LE(base + header + programHeader, 24);
  file.writeUInt32LE(header, 28);
  file.writeUInt32LE(flags, 36);
  [header, programHeader, 1].forEach((value, index) => file.writeUInt16LE(value, 40 + index * 2));
  const readExecute = 5;
  [PT_LOAD, 0, base, base, file.length, file.length, readExecute, 0x1000].forEach((value, index) =>
    file.writeUInt32LE(value, header + index * 4),
  );
  file.set(code, header + programHeader);
  return file;
}
