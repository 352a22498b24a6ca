// What the maker of a snapshot knew of its size, in `note-size` beside the tree: spares walking it, and says what of
// it is shared. Files linked to those of an older snapshot are counted there as long as that exists.
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

export interface DeclaredSize {
  /** Allocated for what the snapshot alone has. */
  readonly bytes: number;
  /** Ids of the snapshots whose files it shares. */
  readonly beside: readonly string[];
}

/** The name of the note. */
export const SIZE_NOTE = "size";

export function encodeDeclaredSize(size: DeclaredSize): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(size));
}

/** Of a snapshot by its folder; undefined when it has to be measured, also since what it shares is gone elsewhere. */
export function readDeclaredSize(folder: string): number | undefined {
  const size = readSize(folder);
  if (size?.beside.every(id => existsSync(join(dirname(folder), id))) !== true) return undefined;
  return size.bytes;
}

/** Whether others may share files with the snapshot: its size is then that of all its files. */
export function isDeclared(folder: string): boolean {
  return readSize(folder) !== undefined;
}

function readSize(folder: string): DeclaredSize | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(join(folder, `note-${SIZE_NOTE}`), "utf8"));
    if (typeof value !== "object" || value === null) return undefined;
    const { bytes, beside } = value as Readonly<Record<string, unknown>>;
    if (typeof bytes !== "number" || !Array.isArray(beside)) return undefined;
    return { bytes, beside: beside.filter((id): id is string => typeof id === "string") };
  } catch {
    return undefined;
  }
}
