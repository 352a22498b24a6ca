// Sizes of trees, remembered in one file of the state directory: snapshots never change, and walking them takes long.
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isCode, type StateRoot } from "../content/root.ts";
import type { Owner } from "../content/lease.ts";
import { isDeclared, readDeclaredSize } from "../content/declaredsize.ts";
import { measureTree } from "../content/treesize.ts";

export interface MeasuredSizes {
  /** The size of some paths together, in bytes: as remembered, unless they changed after that was measured. */
  of(key: string, paths: readonly string[], changedMs: number): Promise<number>;
  /** The size of a snapshot, by its folder. */
  ofSnapshot(folder: string, id: string, createdMs: number): Promise<number>;
  /** Remembers what was asked for, and nothing else. */
  save(): Promise<void>;
}

interface Measured {
  readonly sizeBytes: number;
  readonly atMs: number;
}

export async function openMeasuredSizes(
  { root, owner }: { readonly root: StateRoot; readonly owner: Owner },
  signal: AbortSignal | undefined,
): Promise<MeasuredSizes> {
  const file = join(root.facts, "sizes.json");
  const known = await readFile(file, "utf8").then(decodeSizes, () => new Map<string, Measured>());
  const seen = new Map<string, Measured>();
  let changed = false;
  const recall = (key: string, changedMs: number): number | undefined => {
    const before = known.get(key);
    if (before === undefined || before.atMs <= changedMs) return undefined;
    seen.set(key, before);
    return before.sizeBytes;
  };
  const sizes: MeasuredSizes = {
    async ofSnapshot(folder, id, createdMs) {
      // One that was measured has declared nothing, and never will.
      const measured = recall(`snapshot ${id}`, createdMs);
      if (measured !== undefined) return measured;
      const declared = readDeclaredSize(folder);
      if (declared !== undefined) return declared;
      if (!isDeclared(folder)) return await sizes.of(`snapshot ${id}`, [folder], createdMs);
      // What it shares is counted nowhere else any more.
      const key = `whole snapshot ${id}`;
      const before = recall(key, createdMs);
      if (before !== undefined) return before;
      const { wholeBytes: sizeBytes } = await measureTree(folder, signal);
      seen.set(key, { sizeBytes, atMs: Date.now() });
      changed = true;
      return sizeBytes;
    },
    async of(key, paths, changedMs) {
      const before = recall(key, changedMs);
      if (before !== undefined) return before;
      const atMs = Date.now();
      let sizeBytes = 0;
      // What shares files with others changes its size when they come and go, so that is measured each time.
      let lasts = Number.isFinite(changedMs);
      for (const path of paths) {
        const { bytes, isShared } = await measureTree(path, signal);
        sizeBytes += bytes;
        lasts &&= !isShared;
      }
      if (lasts) {
        seen.set(key, { sizeBytes, atMs });
        changed = true;
      }
      return sizeBytes;
    },
    async save() {
      if (!changed && seen.size === known.size) return;
      const rows = [...seen].map(([key, { sizeBytes, atMs }]) => [key, sizeBytes, atMs]);
      try {
        // The last of several processes wins; what the others measured is measured again.
        const draft = owner.newPath("temp");
        await writeFile(draft, JSON.stringify(rows));
        await rename(draft, file);
      } catch (thrown) {
        // On a full disk sizes can be told, though not remembered.
        if (!isCode(thrown, "ENOSPC") && !isCode(thrown, "EDQUOT")) throw thrown;
      }
    },
  };
  return sizes;
}

function decodeSizes(text: string): Map<string, Measured> {
  const sizes = new Map<string, Measured>();
  let rows: unknown;
  try {
    rows = JSON.parse(text);
  } catch {
    return sizes;
  }
  for (const row of Array.isArray(rows) ? (rows as readonly unknown[]) : []) {
    if (!Array.isArray(row)) continue;
    const [key, sizeBytes, atMs] = row as readonly unknown[];
    if (typeof key === "string" && typeof sizeBytes === "number" && typeof atMs === "number")
      sizes.set(key, { sizeBytes, atMs });
  }
  return sizes;
}
