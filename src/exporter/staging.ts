// Staging areas beside a destination: content is complete in a hidden neighbour before one rename shows it. What takes a
// single call is done at once: to hand it to another thread takes longer.
import { randomBytes } from "node:crypto";
import { accessSync, constants, lstatSync, mkdirSync, type Stats, statSync } from "node:fs";
import { lstat, readdir, rename, rm } from "node:fs/promises";
import path from "node:path";
import type { Owner } from "../content/lease.ts";
import { BakeError } from "../diagnostic/error.ts";
import type { ExportReport, StagedExport } from "./exporter.ts";

export interface StagingPath extends AsyncDisposable {
  readonly path: string;
}

/**
 * A name beside `dest` (same file system, so rename is atomic). Creates missing parents. Disposing removes what is left;
 * if this process is killed, the next one does.
 */
export function stageBeside(dest: string, owner: Pick<Owner, "noteOutside">): StagingPath {
  const parent = path.dirname(dest);
  try {
    mkdirSync(parent, { recursive: true });
    accessSync(parent, constants.W_OK);
  } catch (cause) {
    throw new BakeError("export-failed", `cannot write to "${parent}": ${(cause as Error).message}`, {
      cause,
    });
  }
  const staged = path.join(parent, `.${path.basename(dest)}.llbake-${randomBytes(6).toString("hex")}`);
  owner.noteOutside(staged);
  return {
    path: staged,
    async [Symbol.asyncDispose]() {
      if (lstatSync(staged, { throwIfNoEntry: false }) !== undefined)
        await rm(staged, { recursive: true, force: true });
    },
  };
}

/** An export to standard output: nothing can be staged, so all of it is written on commit. */
export function stagedForStdout(write: () => Promise<ExportReport>): StagedExport {
  return { commit: write, [Symbol.asyncDispose]: () => Promise.resolve() };
}

/** Throws unless `dest` is absent or a plain file: a folder there must not be replaced by a file. */
export function expectFileDestination(dest: string, type: string): void {
  const found = look(dest);
  if (found?.isDirectory()) {
    throw new BakeError("export-failed", `cannot write output type=${type} to "${dest}": it is a folder`, {
      hint: `give a file name, as in dest=${path.join(dest, "image.tar")}`,
    });
  }
}

/** Throws unless `dest` is absent or a folder. */
export function expectFolderDestination(dest: string, type: string): void {
  const found = look(dest);
  if (found !== undefined && !found.isDirectory()) {
    throw new BakeError("export-failed", `cannot write output type=${type} to "${dest}": it is a file`, {
      hint: "give a folder",
    });
  }
}

function look(dest: string): Stats | undefined {
  try {
    return statSync(dest, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

/** What rename(2) says when something else is at the destination than was there a moment ago. */
const CHANGED_MEANWHILE = new Set(["ENOTEMPTY", "EEXIST", "ENOTDIR", "EISDIR"]);
/** Two builds that write to one folder meet a few times at one name, not for ever. */
const MEETINGS = 100;

/**
 * Moves the tree `from` over the tree `to`: files replace files of the same name by rename, folders are merged, nothing
 * else in `to` is touched. Other processes may do the same to the same folder at the same time.
 */
export async function moveTreeInto(from: string, to: string): Promise<void> {
  // A link to a folder counts as that folder here, at the top; below it is an entry like any other.
  if (look(to)?.isDirectory()) await mergeFolder(from, to);
  else await place(from, to, true);
}

async function mergeFolder(from: string, to: string): Promise<void> {
  for (const entry of await readdir(from, { withFileTypes: true }))
    await place(path.join(from, entry.name), path.join(to, entry.name), entry.isDirectory());
}

async function place(source: string, target: string, isFolder: boolean): Promise<void> {
  for (let meeting = 1; ; meeting += 1) {
    const existing = await lstat(target).catch(() => undefined);
    if (isFolder && existing?.isDirectory()) return mergeFolder(source, target);
    if (existing !== undefined && (isFolder || existing.isDirectory()))
      await rm(target, { recursive: true, force: true });
    try {
      return await rename(source, target);
    } catch (error) {
      const { code = "" } = error as NodeJS.ErrnoException;
      if (meeting === MEETINGS || !CHANGED_MEANWHILE.has(code)) throw error;
    }
  }
}
