// Staging areas beside a destination: content is complete in a hidden neighbour before one rename shows it.
import { randomBytes } from "node:crypto";
import { constants, type Dirent } from "node:fs";
import { access, lstat, mkdir, readdir, rename, rm, stat } from "node:fs/promises";
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
export async function stageBeside(dest: string, owner: Pick<Owner, "noteOutside">): Promise<StagingPath> {
  const parent = path.dirname(dest);
  try {
    await mkdir(parent, { recursive: true });
    await access(parent, constants.W_OK);
  } catch (cause) {
    throw new BakeError("export-failed", `cannot write to "${parent}": ${(cause as Error).message}`, {
      cause,
    });
  }
  const staged = path.join(parent, `.${path.basename(dest)}.llbake-${randomBytes(6).toString("hex")}`);
  owner.noteOutside(staged);
  return {
    path: staged,
    [Symbol.asyncDispose]: () => rm(staged, { recursive: true, force: true }),
  };
}

/** An export to standard output: nothing can be staged, so all of it is written on commit. */
export function stagedForStdout(write: () => Promise<ExportReport>): StagedExport {
  return { commit: write, [Symbol.asyncDispose]: () => Promise.resolve() };
}

/** Throws unless `dest` is absent or a plain file: a folder there must not be replaced by a file. */
export async function expectFileDestination(dest: string, type: string): Promise<void> {
  const found = await stat(dest).catch(() => undefined);
  if (found?.isDirectory()) {
    throw new BakeError("export-failed", `cannot write output type=${type} to "${dest}": it is a folder`, {
      hint: `give a file name, as in dest=${path.join(dest, "image.tar")}`,
    });
  }
}

/** Throws unless `dest` is absent or a folder. */
export async function expectFolderDestination(dest: string, type: string): Promise<void> {
  const found = await stat(dest).catch(() => undefined);
  if (found !== undefined && !found.isDirectory()) {
    throw new BakeError("export-failed", `cannot write output type=${type} to "${dest}": it is a file`, {
      hint: "give a folder",
    });
  }
}

/**
 * Moves the tree `from` over the tree `to`: files replace files of the same name by rename, folders are merged, nothing
 * else in `to` is touched.
 */
export async function moveTreeInto(from: string, to: string): Promise<void> {
  if ((await lstat(to).catch(() => undefined)) === undefined) {
    await rename(from, to);
    return;
  }
  await mergeFolder(from, to);
}

async function mergeFolder(from: string, to: string): Promise<void> {
  const entries: Dirent[] = await readdir(from, { withFileTypes: true });
  for (const entry of entries) {
    const source = path.join(from, entry.name);
    const target = path.join(to, entry.name);
    const existing = await lstat(target).catch(() => undefined);
    if (entry.isDirectory() && existing?.isDirectory()) {
      await mergeFolder(source, target);
      continue;
    }
    if (existing?.isDirectory()) await rm(target, { recursive: true });
    else if (existing !== undefined && entry.isDirectory()) await rm(target);
    await rename(source, target);
  }
}
