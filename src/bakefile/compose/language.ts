// The door to Compose files: reading them needs a YAML parser, which is only loaded when such a file is there.
import type { Diagnosed } from "../../diagnostic/diagnostic.ts";
import type { Source } from "../../diagnostic/source.ts";
import type { Evaluated } from "../definition.ts";
import type { ComposeHost } from "./host.ts";

/** Targets, and the group "default" with all of them when there are services. */
export type ComposeDefinitions = Pick<Evaluated, "groups" | "targets">;

export interface ComposeLanguage {
  /** Reads Compose files that extend each other, in order. */
  readonly readCompose: (sources: readonly Source[], host: ComposeHost) => Diagnosed<ComposeDefinitions>;
  /** Whether a file of an unknown kind is a Compose file: it reads as one on its own. */
  readonly isCompose: (source: Source, host: ComposeHost) => boolean;
}

export async function loadComposeLanguage(): Promise<ComposeLanguage> {
  const { readCompose, isCompose } = await import("./read.ts");
  return { readCompose, isCompose };
}
