// Small files beside a snapshot's tree, for what is known of it and is worth nothing without it. They come and go with
// the snapshot; one that cannot be read counts as missing.
import { writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { BakeError } from "../diagnostic/error.ts";
import type { Noted, SnapshotId } from "./snapshotter.ts";
import type { SnapshotStore } from "./snapshotstore.ts";

/** Writes a note into the folder that becomes the snapshot. */
export function writeNote(draft: string, name: string, bytes: Uint8Array): void {
  writeFileSync(join(draft, fileName(name)), bytes);
}

/** A note and the folder of the snapshot's own files; leases the snapshot. */
export async function readNote(
  store: SnapshotStore,
  id: SnapshotId,
  name: string,
): Promise<Noted | undefined> {
  if ((await store.use(id)) === undefined) return undefined;
  const own = store.files(id);
  const bytes = await readFile(join(dirname(own), fileName(name))).catch(() => undefined);
  return bytes && { own, bytes };
}

function fileName(name: string): string {
  if (!/^[a-z0-9]+$/.test(name))
    throw new BakeError("internal", `BUG: "${name}" cannot be the name of a note`);
  return `note-${name}`;
}
