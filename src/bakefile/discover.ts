// Which files of a folder are bake files when none is named.

/** In the order in which they are merged; all that exist are loaded, as by buildx. */
const BUILDX_NAMES = [
  "compose.yaml",
  "compose.yml",
  "docker-compose.yml",
  "docker-compose.yaml",
  "docker-bake.json",
  "docker-bake.hcl",
  "docker-bake.override.json",
  "docker-bake.override.hcl",
] as const;

/** llbake's own names, for folders without any of the above; the first that exists is loaded. */
const OWN_NAMES = ["bake.hcl", "bake.json"] as const;

/** All names discovery looks for. */
export const bakeFileNames: readonly string[] = [...BUILDX_NAMES, ...OWN_NAMES];

/** The files to load, given the names that exist in the folder. */
export function discoverBakeFiles(existing: ReadonlySet<string>): readonly string[] {
  const found = BUILDX_NAMES.filter(name => existing.has(name));
  return found.length > 0 ? found : OWN_NAMES.filter(name => existing.has(name)).slice(0, 1);
}
