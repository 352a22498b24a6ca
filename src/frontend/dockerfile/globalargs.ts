// ARG before the first FROM: defaults of the platform, then the file's own, overridden by build args.
import { BakeError } from "../../diagnostic/error.ts";
import { formatPlatform, type Platform } from "../../oci/platform.ts";
import { describedIn, type NotedArg } from "./outline.ts";
import type { FileStages } from "./stage.ts";
import { formatFullPlatform } from "./platform.ts";
import { type Environment, environmentFromPairs, expandWord } from "./words.ts";

export interface GlobalArgOptions {
  readonly buildPlatform: Platform;
  readonly targetPlatform: Platform;
  /** The target as asked for, else the name of the last stage. */
  readonly target: string;
  readonly buildArgs: ReadonlyMap<string, string>;
  readonly escape: string;
}

/** Arguments known without any declaration. */
function predefined({
  buildPlatform: build,
  targetPlatform: target,
  target: stage,
  buildArgs,
}: GlobalArgOptions): Map<string, string> {
  const rows: readonly (readonly [string, string | undefined])[] = [
    ["BUILDPLATFORM", formatPlatform(build)],
    ["BUILDOS", build.os],
    ["BUILDOSVERSION", build.osVersion],
    ["BUILDARCH", build.architecture],
    ["BUILDVARIANT", build.variant],
    ["TARGETPLATFORM", formatFullPlatform(target)],
    ["TARGETOS", target.os],
    ["TARGETOSVERSION", target.osVersion],
    ["TARGETARCH", target.architecture],
    ["TARGETVARIANT", target.variant],
    ["TARGETSTAGE", stage === "" ? "default" : stage],
  ];
  return new Map(rows.map(([name, value = ""]) => [name, buildArgs.get(name) ?? value]));
}

export interface GlobalArgs {
  readonly values: ReadonlyMap<string, string>;
  /** Names the file declares, with a value or without. */
  readonly declared: ReadonlySet<string>;
  /** What an outline says of each that the file declares. */
  readonly notes: ReadonlyMap<string, NotedArg>;
}

/** @throws BakeError at the ARG that cannot be expanded */
export function computeGlobalArgs({ globalArgs }: FileStages, options: GlobalArgOptions): GlobalArgs {
  const values = predefined(options);
  const environment: Environment = { get: name => values.get(name), keys: () => [...values.keys()] };
  const declared = new Set<string>();
  const notes = new Map<string, NotedArg>();
  for (const { line, declarations } of globalArgs) {
    for (const { name, value: written } of declarations) {
      declared.add(name);
      let value = options.buildArgs.get(name);
      let uses: ReadonlySet<string> = new Set();
      if (value === undefined && written !== undefined) {
        try {
          const expansion = expandWord(written, environment, { escape: options.escape });
          value = expansion.text;
          uses = expansion.matched;
        } catch (thrown) {
          throw thrown instanceof BakeError ? thrown.at(line.range) : thrown;
        }
      }
      // ARG A=x$A: what the A before was made of.
      if (uses.has(name))
        uses = new Set([...uses, ...(notes.get(name)?.uses ?? [])].filter(use => use !== name));
      const description = describedIn(line, name);
      notes.set(name, { name, description, value: value ?? "", range: line.range, uses });
      if (value === undefined) continue;
      values.delete(name);
      values.set(name, value);
    }
  }
  return { values, declared, notes };
}

/** The arguments as if no build args were given; undefined when they cannot be expanded. */
export function defaultGlobalArgs(stages: FileStages, options: GlobalArgOptions): Environment | undefined {
  try {
    // Overrides of the predefined ones stay, as upstream has it.
    const { values } = computeGlobalArgs(stages, { ...options, buildArgs: new Map() });
    return environmentFromPairs(values);
  } catch (thrown) {
    if (thrown instanceof BakeError) return undefined;
    throw thrown;
  }
}
