// What is remembered of a snapshot that was made by laying known changes over another: `changes.json` beside its files.
// Such a snapshot keeps the changes as they were given, for its tree cannot say them all: a removal of what is not
// there, an entry that is equal to the one below.
import { writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { storeError } from "../content/blob.ts";
import { isCode } from "../content/root.ts";
import { type Change, parseSnapshotId, type SnapshotId } from "./snapshotter.ts";

export interface Laid {
  /** The snapshot that first had these changes; undefined when none has them as its own. */
  readonly layer: SnapshotId | undefined;
  readonly changes: readonly Change[];
}

const FILE = "changes.json";

/** Writes the record into the folder that becomes the snapshot. */
export function writeLaid(draft: string, { layer, changes }: Laid): void {
  const pairs = changes.map(({ kind, path }) => [kind === "delete" ? "-" : "+", path]);
  writeFileSync(join(draft, FILE), JSON.stringify({ layer, changes: pairs }));
}

/** The record of a snapshot, found by the folder of its files; undefined when its tree says all. */
export async function readLaid(files: string): Promise<Laid | undefined> {
  let text: string;
  try {
    text = await readFile(join(dirname(files), FILE), "utf8");
  } catch (thrown) {
    if (isCode(thrown, "ENOENT")) return undefined;
    throw storeError(thrown);
  }
  const value = JSON.parse(text) as {
    readonly layer?: unknown;
    readonly changes: readonly (readonly string[])[];
  };
  return {
    layer: typeof value.layer === "string" ? parseSnapshotId(value.layer) : undefined,
    changes: value.changes.map(([kind, path = ""]) => ({ kind: kind === "-" ? "delete" : "upsert", path })),
  };
}
