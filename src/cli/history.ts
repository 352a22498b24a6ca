// How runs are remembered for `bake explain`: by the bake files they come from.
import { watchedBakeFiles } from "./bakefiles.ts";
import type { Definition } from "./definition.ts";
import type { Environment } from "./environment.ts";

/** A text that is the same whenever the same bake files are meant. */
export function definitionName(
  { url }: Pick<Definition, "url">,
  file: readonly string[],
  environment: Environment,
): string {
  return JSON.stringify([url ?? "", watchedBakeFiles(file, environment)]);
}
