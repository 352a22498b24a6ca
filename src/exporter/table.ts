// The kinds of exporters: one row each, loaded when first used.
import { BakeError } from "../diagnostic/error.ts";
import { didYouMean } from "../diagnostic/suggest.ts";
import type { Exporter } from "./exporter.ts";
import type { ImageExportDeps } from "./image.ts";

export type ExporterDeps = ImageExportDeps;

const exporters = {
  image: async deps => (await import("./image.ts")).createImageExporter(deps),
  registry: async deps => (await import("./image.ts")).createImageExporter(deps),
  oci: async deps => (await import("./archive.ts")).createArchiveExporter("oci", deps),
  docker: async deps => (await import("./archive.ts")).createArchiveExporter("docker", deps),
  local: async deps => (await import("./files.ts")).createLocalExporter(deps),
  tar: async deps => (await import("./files.ts")).createTarExporter(deps),
  cacheonly: async () => (await import("./cacheonly.ts")).createCacheOnlyExporter(),
} as const satisfies Readonly<Record<string, (deps: ExporterDeps) => Promise<Exporter>>>;

export type ExporterKind = keyof typeof exporters;

function isExporterKind(type: string): type is ExporterKind {
  return Object.hasOwn(exporters, type);
}

/** @throws BakeError "usage" when there is no such kind */
export function expectExporterKind(type: string): ExporterKind {
  if (isExporterKind(type)) return type;
  const kinds = Object.keys(exporters);
  throw new BakeError("usage", `unknown output type "${type}"`, {
    hint: didYouMean(type, kinds) ?? `use ${kinds.join(", ")}`,
  });
}

/** @throws BakeError "usage" when there is no such kind */
export async function loadExporter(type: string, deps: ExporterDeps): Promise<Exporter> {
  return exporters[expectExporterKind(type)](deps);
}
