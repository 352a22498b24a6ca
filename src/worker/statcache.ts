// Digests of files of users' directories by their stat: kept in the state directory so that an unchanged file is not
// read again. Losing it costs time only.
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Owner } from "../content/lease.ts";
import type { StateRoot } from "../content/root.ts";
import type { StatCache } from "../layer/filehash.ts";

export interface SavedStatCache extends StatCache {
  /** Writes what was learned, for later runs. */
  save(): Promise<void>;
}

const FORM = "llbake stats 1";
/** Beyond this many files only those seen in this run are kept. */
const MAX_ENTRIES = 500_000;

/** Reads the saved cache; a damaged file counts as empty. */
export async function openStatCache(root: StateRoot, owner: Owner): Promise<SavedStatCache> {
  const file = path.join(root.facts, "stats");
  const known = await readEntries(file);
  const seen = new Map<string, string>();
  let changed = false;
  return {
    get(key) {
      const value = known.get(key);
      if (value !== undefined) seen.set(key, value);
      return value;
    },
    set(key, value) {
      known.set(key, value);
      seen.set(key, value);
      changed = true;
    },
    async save() {
      if (!changed) return;
      const entries = known.size > MAX_ENTRIES ? seen : known;
      const lines = [FORM];
      for (const [key, value] of entries) lines.push(JSON.stringify([key, value]));
      const draft = owner.newPath("temp");
      await mkdir(path.dirname(draft), { recursive: true });
      await writeFile(draft, `${lines.join("\n")}\n`);
      // The last of several processes wins; what the others learned is learned again.
      await rename(draft, file);
      changed = false;
    },
  };
}

async function readEntries(file: string): Promise<Map<string, string>> {
  const entries = new Map<string, string>();
  const text = await readFile(file, "utf8").catch(() => "");
  const [form, ...lines] = text.split("\n");
  if (form !== FORM) return entries;
  for (const line of lines) {
    try {
      const pair: unknown = JSON.parse(line);
      if (Array.isArray(pair) && typeof pair[0] === "string" && typeof pair[1] === "string")
        entries.set(pair[0], pair[1]);
    } catch {
      // A line cut off by a crash; the file it describes is hashed again.
    }
  }
  return entries;
}
