// Files with holes in tar archives, in the four forms that GNU tar writes (tar manual, "Storing Sparse Files"): the old
// header of type "S", and PAX 0.0, 0.1 and 1.0. All of them store only the data, and a map of where it belongs.
import { BakeError } from "../diagnostic/error.ts";

/** Where a piece of the stored data belongs in the file. */
export interface DataPiece {
  readonly offset: number;
  readonly size: number;
}

export interface SparseFile {
  /** Of the file with its holes. */
  readonly size: number;
  /** In order; together as long as the stored data. */
  readonly pieces: readonly DataPiece[];
}

/** Blocks of a map with so many entries are longer than any other header may be. */
const MAX_PIECES = 500_000;

/**
 * Reads the map of an old GNU header and the blocks that continue it.
 * @throws BakeError "content-corrupt"
 */
export async function readOldMap(
  block: Buffer,
  numberAt: (block: Buffer, at: number, width: number) => number,
  next: () => Promise<Buffer | undefined>,
): Promise<SparseFile> {
  const size = numberAt(block, 483, 12);
  const pieces: DataPiece[] = [];
  const take = (from: Buffer, first: number, count: number): void => {
    for (let i = 0; i < count; i++) {
      const at = first + i * 24;
      if (from[at] === 0) return;
      pieces.push({ offset: numberAt(from, at, 12), size: numberAt(from, at + 12, 12) });
    }
  };
  take(block, 386, 4);
  for (let continues = block[482] === 1; continues;) {
    const more = await next();
    if (more?.length !== 512 || pieces.length > MAX_PIECES) throw malformed();
    take(more, 0, 21);
    continues = more[504] === 1;
  }
  return { size, pieces };
}

/** The form of a map in PAX records: in them, at the start of the data, or none for a file without one. */
export function paxMapOf(
  pax: ReadonlyMap<string, Buffer>,
):
  | { readonly kind: "records"; readonly file: SparseFile }
  | { readonly kind: "data"; readonly size: number }
  | undefined {
  const text = (key: string): string | undefined => pax.get(key)?.toString("latin1");
  const major = text("GNU.sparse.major");
  if (major !== undefined) {
    const minor = text("GNU.sparse.minor");
    if (major === "1" && minor === "0") return { kind: "data", size: decimal(text("GNU.sparse.realsize")) };
    throw new BakeError(
      "not-supported",
      `cannot read the archive: its sparse files are of the unknown form ${major}.${minor ?? "?"}`,
    );
  }
  const map = text("GNU.sparse.map");
  if (map === undefined) return undefined;
  const numbers = map === "" ? [] : map.split(",").map(decimal);
  return { kind: "records", file: { size: decimal(text("GNU.sparse.size")), pieces: pairs(numbers) } };
}

/** Reads a map at the start of the data, which is padded to whole blocks. `next` gives the data block by block. */
export async function readDataMap(size: number, next: () => Promise<Buffer>): Promise<SparseFile> {
  let text = "";
  const line = async (): Promise<number> => {
    let end = text.indexOf("\n");
    for (; end < 0; end = text.indexOf("\n")) {
      // No number is as long as a block.
      if (text.length > 512) throw malformed();
      text += (await next()).toString("latin1");
    }
    const value = decimal(text.slice(0, end));
    text = text.slice(end + 1);
    return value;
  };
  const count = await line();
  if (count > MAX_PIECES) throw malformed();
  const pieces: DataPiece[] = [];
  for (let i = 0; i < count; i++) pieces.push({ offset: await line(), size: await line() });
  return { size, pieces };
}

/** @throws BakeError "content-corrupt" unless the pieces lie in the file one after the other and hold the stored data */
export function expectSound({ size, pieces }: SparseFile, storedBytes: number): void {
  let end = 0;
  let sum = 0;
  for (const piece of pieces) {
    if (piece.offset < end || piece.size < 0) throw malformed();
    end = piece.offset + piece.size;
    sum += piece.size;
  }
  if (!Number.isSafeInteger(end) || !Number.isSafeInteger(size) || end > size || sum !== storedBytes)
    throw malformed();
}

function pairs(numbers: readonly number[]): readonly DataPiece[] {
  if (numbers.length % 2 !== 0) throw malformed();
  return Array.from({ length: numbers.length / 2 }, (_, i) => ({
    offset: numbers[2 * i] ?? 0,
    size: numbers[2 * i + 1] ?? 0,
  }));
}

function decimal(text: string | undefined): number {
  if (text === undefined || !/^[0-9]{1,16}$/.test(text)) throw malformed();
  return Number(text);
}

function malformed(): BakeError {
  return new BakeError("content-corrupt", "cannot read the archive: the map of a sparse file is malformed");
}
