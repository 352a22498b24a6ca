// The metadata file: what was built, by target, as `docker buildx bake --metadata-file` writes it.
import { randomBytes } from "node:crypto";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { SolveReport } from "../engine/engine.ts";

/** Target names with the merged responses of their exports, sorted. */
export function metadataFromReports(
  reports: readonly SolveReport[],
): Readonly<Record<string, Readonly<Record<string, unknown>>>> {
  const sorted = [...reports].sort((a, b) => (a.name < b.name ? -1 : 1));
  return Object.fromEntries(
    sorted.map(({ name, exports }) => [
      name,
      sortKeys(Object.fromEntries(exports.flatMap(({ response }) => Object.entries(response)))),
    ]),
  );
}

/** Writes the metadata file whole or not at all. */
export async function writeMetadata(path: string, reports: readonly SolveReport[]): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  await mkdir(dirname(path), { recursive: true });
  try {
    await writeFile(temporary, `${JSON.stringify(metadataFromReports(reports), undefined, 2)}\n`);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

function sortKeys(object: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
}
