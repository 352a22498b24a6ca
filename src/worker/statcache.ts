// What was learned of the files of users' directories, by their stat: kept in the state directory so that an unchanged
// file is not read again. One file for each directory, so that a small one does not wait for what is known of a large
// one. Losing it costs time only.
import { createHash } from "node:crypto";
import { readFileSync, statSync, utimesSync } from "node:fs";
import { mkdir, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Owner } from "../content/lease.ts";
import type { StateRoot } from "../content/root.ts";
import type { StatCache } from "../layer/filehash.ts";
import { StatTable } from "../layer/stattable.ts";

export interface SavedStatCache extends StatCache {
  /** Writes what was learned, for later runs. */
  save(): Promise<void>;
}

export interface StatCacheOptions {
  /** Nothing that was learned in earlier runs is believed. Default false. */
  readonly verify?: boolean | undefined;
}

/** sha256, and a byte that is 1 for a file without attributes. */
const DIGEST_BYTES = 32;
const VALUE_BYTES = DIGEST_BYTES + 1;
/** Files that were not seen in this run are kept while they are not many more than those that were. */
const SPARE_FILES = 10_000;
/** What is known of so many directories is kept; then that of those used least recently goes. */
const MAX_DIRECTORIES = 200;
const DAY_MS = 24 * 3600_000;

/** Reads what is known of the files below `directory`; a damaged file counts as empty. */
export async function openStatCache(
  root: StateRoot,
  owner: Owner,
  directory: string,
  { verify = false }: StatCacheOptions = {},
): Promise<SavedStatCache> {
  const folder = path.join(root.facts, "hashes");
  const file = path.join(folder, createHash("sha256").update(directory).digest("hex").slice(0, 32));
  const table = (verify ? undefined : readTable(file)) ?? new StatTable(VALUE_BYTES);
  const known = table.size;
  const seen = new Set<string>();
  const value = Buffer.alloc(VALUE_BYTES);
  const from = directory === "/" ? 1 : directory.length + 1;
  let changed = false;
  return {
    get(absolute, stats) {
      const name = absolute.slice(from);
      const at = table.positionOf(name, stats);
      if (at === undefined) return undefined;
      if (known > SPARE_FILES) seen.add(name);
      const end = at + DIGEST_BYTES;
      return { digest: table.values.toString("hex", at, end), isPlain: table.values[end] === 1 };
    },
    set(absolute, stats, { digest, isPlain }) {
      const name = absolute.slice(from);
      value.write(digest, "hex");
      value[DIGEST_BYTES] = isPlain ? 1 : 0;
      table.set(name, stats, value);
      seen.add(name);
      changed = true;
    },
    async save() {
      if (!changed) return;
      const kept = table.size > 2 * seen.size + SPARE_FILES ? table.filter(name => seen.has(name)) : table;
      const draft = owner.newPath("temp");
      await mkdir(folder, { recursive: true });
      await writeFile(draft, kept.encode());
      // The last of several processes wins; what the others learned is learned again.
      await rename(draft, file);
      await forgetOldest(folder);
      changed = false;
    },
  };
}

/** At once: to ask another thread for a small file takes several times as long, and nothing else is to be done yet. */
function readTable(file: string): StatTable | undefined {
  try {
    const bytes = readFileSync(file);
    noteUse(file);
    return StatTable.decode(bytes, VALUE_BYTES);
  } catch {
    return undefined;
  }
}

/** Sets the time of last use, now and then; not being able to is no failure. */
function noteUse(file: string): void {
  const now = Date.now();
  try {
    if (statSync(file).mtimeMs + DAY_MS < now) utimesSync(file, new Date(now), new Date(now));
  } catch {
    // Its next reader may.
  }
}

async function forgetOldest(folder: string): Promise<void> {
  const names = await readdir(folder);
  if (names.length <= MAX_DIRECTORIES) return;
  const files = await Promise.all(
    names.map(async name => {
      const file = path.join(folder, name);
      const { mtimeMs } = await stat(file).catch(() => ({ mtimeMs: 0 }));
      return { file, mtimeMs };
    }),
  );
  files.sort((a, b) => a.mtimeMs - b.mtimeMs);
  for (const { file } of files.slice(0, MAX_DIRECTORIES / 2)) await rm(file, { force: true });
}
