// The entrance of the bake language: sources, environment and flags in, evaluated definitions and problems out.
import { BakeError } from "../diagnostic/error.ts";
import { hasErrors, type Diagnosed, type Diagnostic } from "../diagnostic/diagnostic.ts";
import { formatPlatform, type Platform } from "../oci/platform.ts";
import type { Source } from "../diagnostic/source.ts";
import { mergeTargets } from "./attributes.ts";
import type { ComposeDefinitions, ComposeLanguage } from "./compose/language.ts";
import { parseBoolText } from "./csv.ts";
import type { Evaluated, TargetDefinition, VariableLayer } from "./definition.ts";
import { evaluateBodies } from "./evaluate.ts";
import { importFiles } from "./import.ts";
import { parseDotenv } from "./compose/dotenv.ts";
import { parseHcl } from "./hcl/parse.ts";
import { parseJson } from "./json.ts";
import type { Body } from "./hcl/ast.ts";
import { rebaseToFile } from "./relative.ts";

export interface BakeInput {
  /** In the order in which they were named; later ones extend earlier ones. */
  readonly files: readonly Source[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** `NAME=value` of `--var`; they win over the environment. */
  readonly vars?: readonly string[];
  readonly hostPlatform: Platform;
  /** For timestamp(); default: a fixed instant, 1970-01-01. */
  readonly now?: () => Date;
  /** 16 random bytes for uuidv4(); default: zeros. */
  readonly randomBytes?: () => Uint8Array;
  /** Whether contexts are relative to the file that sets them; default: BUILDX_BAKE_FILE_RELATIVE_PATHS is true. */
  readonly relativePaths?: boolean;
  /** Value of BAKE_CMD_CONTEXT; default "cwd://". */
  readonly commandContext?: string;
  /** What reads Compose files, from `loadComposeLanguage()`; needed when a file may be one (`mayBeCompose`). */
  readonly compose?: ComposeLanguage | undefined;
  /** Files that bake files import, or Compose files refer to, and `.env`: paths are relative to the working directory. Default: none exist. */
  readonly readFile?: (path: string) => string | undefined;
}

/** Everything the files define, evaluated. */
export interface BakeDocument extends Evaluated {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Whether BUILDX_BAKE_DISABLE_VARS_ENV_LOOKUP hides the environment from bake files. */
  readonly environmentHidden: boolean;
  /** Files that the bake files import, refer to or take variables from, as paths from the working directory. */
  readonly files: readonly string[];
  /** Whether there are Compose files and nothing else: such definitions have no variables. */
  readonly composeOnly: boolean;
}

/** Reads and evaluates all files, later ones over earlier ones; every problem at once. No value when there are errors. */
export function loadBakeFiles(input: BakeInput): Diagnosed<BakeDocument> {
  const problems: Diagnostic[] = [];
  const given = new Map<string, string>();
  for (const flag of input.vars ?? []) {
    if (flag === "") continue;
    const equals = flag.indexOf("=");
    if (equals < 1)
      problems.push({
        severity: "error",
        code: "usage",
        message: `--var "${flag}" is not of the form NAME=value`,
      });
    else given.set(flag.slice(0, equals), flag.slice(equals + 1));
  }
  const relativeText = input.env["BUILDX_BAKE_FILE_RELATIVE_PATHS"] ?? "";
  const relativePaths = input.relativePaths ?? parseBoolText(relativeText);
  if (relativePaths === undefined && relativeText !== "") {
    const message = `BUILDX_BAKE_FILE_RELATIVE_PATHS is neither true nor false: "${relativeText}"`;
    problems.push({ severity: "error", code: "usage", message });
  }
  const environmentHidden = parseBoolText(input.env["BUILDX_BAKE_DISABLE_VARS_ENV_LOOKUP"] ?? "") === true;
  const environment: Readonly<Record<string, string | undefined>> = environmentHidden ? {} : input.env;
  const inEnvironment = (name: string): string | undefined =>
    Object.hasOwn(environment, name) ? environment[name] : undefined;
  const composeReads = new Set<string>();
  const { readFile = () => undefined } = input;
  const composeHost = {
    readFile: (path: string) => {
      composeReads.add(path);
      return readFile(path);
    },
    env: environment,
    vars: given,
  };
  const parsedFiles: { source: Source; body: Body }[] = [];
  const composeFiles: Source[] = [];
  for (const source of input.files) {
    if (source.text === "") continue;
    const byTrial = kindOfName(source.name) === "unknown" && mayBeCompose(source);
    if (kindOfName(source.name) === "compose" || (byTrial && input.compose?.isCompose(source, composeHost))) {
      composeFiles.push(source);
      continue;
    }
    const { value, diagnostics } = parseSource(source);
    if (
      byTrial &&
      input.compose !== undefined &&
      hasErrors(diagnostics) &&
      /^services\s*:/m.test(source.text)
    ) {
      // Wrong as a bake file, too, and written as a Compose file: its problems as such are the ones that help.
      composeFiles.push(source);
      continue;
    }
    problems.push(...diagnostics);
    if (value !== undefined) parsedFiles.push({ source, body: value });
  }
  if (parsedFiles.length === 0 && composeFiles.length === 0 && problems.length === 0) {
    problems.push({ severity: "error", code: "bake-schema", message: "no bake file has any content" });
  }
  let compose: ComposeDefinitions | undefined;
  const [firstCompose] = composeFiles;
  if (firstCompose !== undefined) {
    if (input.compose === undefined) throw new Error("BUG: a Compose file without its language");
    const { value, diagnostics } = input.compose.readCompose(composeFiles, composeHost);
    problems.push(...diagnostics);
    compose = value && {
      ...value,
      targets: relativePaths
        ? value.targets.map(target => rebaseToFile(target, firstCompose.name))
        : value.targets,
    };
  }
  const { bodies, sources, envFiles, ...imported } = importFiles(parsedFiles, {
    readFile,
    parse: parseSource,
  });
  problems.push(...imported.diagnostics);
  const levels = [
    [
      { kind: "flag", file: undefined, lookUp: name => given.get(name) },
      { kind: "environment", file: undefined, lookUp: inEnvironment },
    ],
    ...envFileLayers(envFiles, inEnvironment, problems),
  ] satisfies VariableLayer[][];
  if (hasErrors(problems)) return { value: undefined, diagnostics: problems };
  const evaluated = evaluateBodies(
    bodies,
    {
      levels,
      others: new Set([...(compose?.targets ?? []), ...(compose?.groups ?? [])].map(one => one.name)),
      builtins: new Map([
        ["BAKE_CMD_CONTEXT", input.commandContext ?? "cwd://"],
        ["BAKE_LOCAL_PLATFORM", formatPlatform(input.hostPlatform)],
      ]),
      host: {
        now: input.now ?? (() => new Date(0)),
        randomBytes: input.randomBytes ?? (() => new Uint8Array(16)),
        homeDirectory: input.env["HOME"],
      },
      isRelative:
        relativePaths === true ? () => true : sources.size > 0 ? source => sources.has(source) : undefined,
    },
    problems,
  );
  const value = evaluated && {
    ...(compose === undefined ? evaluated : extendCompose(compose, evaluated)),
    environment: input.env,
    environmentHidden,
    files: [...new Set([...[...sources, ...envFiles].map(file => file.name), ...composeReads])],
    composeOnly: compose !== undefined && bodies.length === 0,
  };
  return { value, diagnostics: problems };
}

/** One level for each file: later files win over earlier ones, and all are below the environment. */
function envFileLayers(
  files: readonly Source[],
  inEnvironment: (name: string) => string | undefined,
  problems: Diagnostic[],
): VariableLayer[][] {
  const known = new Map<string, string>();
  const layers = files.map(file => {
    let values: ReadonlyMap<string, string> = new Map();
    try {
      values = parseDotenv(file, name => inEnvironment(name) ?? known.get(name));
    } catch (thrown) {
      if (!(thrown instanceof BakeError)) throw thrown;
      problems.push(...thrown.diagnostics);
    }
    for (const [name, value] of values) known.set(name, value);
    return [{ kind: "env-file", file, lookUp: name => values.get(name) } satisfies VariableLayer];
  });
  return layers.reverse();
}

/** Compose files come below bake files, whatever their order: targets merge, groups of bake files replace. */
function extendCompose(compose: ComposeDefinitions, { groups, targets, variables }: Evaluated): Evaluated {
  const above = new Map(targets.map(target => [target.name, target]));
  const merged = compose.targets.map((target): TargetDefinition => {
    const over = above.get(target.name);
    above.delete(target.name);
    if (over === undefined) return target;
    return {
      ...target,
      fields: mergeTargets(target.fields, over.fields),
      ...(over.fieldsFor && { fieldsFor: heir => mergeTargets(target.fields, over.fieldsFor?.(heir) ?? {}) }),
      ...(over.itemRanges && { itemRanges: over.itemRanges }),
      attributeRanges: new Map([...target.attributeRanges, ...over.attributeRanges]),
    };
  });
  const written = groups.filter(group => group.range !== undefined);
  const names = new Set(written.map(group => group.name));
  return {
    groups: [
      ...written,
      ...compose.groups.filter(group => !names.has(group.name)),
      // Groups that a matrix makes come last.
      ...groups.filter(group => group.range === undefined),
    ],
    targets: [...merged, ...above.values()],
    variables,
  };
}

/** Whether a file can only be told from a Compose file, or read, with `BakeInput.compose`. */
export function mayBeCompose({ name, text }: Source): boolean {
  const kind = kindOfName(name);
  if (kind === "compose") return text !== "";
  // Upper-case .HCL and .JSON are never tried.
  return kind === "unknown" && !/\.(?:hcl|json)$/i.test(name) && /services|secrets|include/.test(text);
}

type Kind = "hcl" | "json" | "compose" | "unknown";

/** What a file is by its name: compose files are YAML. */
function kindOfName(name: string): Kind {
  if (/\.ya?ml$/i.test(name)) return "compose";
  if (name.endsWith(".hcl")) return "hcl";
  if (name.endsWith(".json")) return "json";
  return "unknown";
}

function parseSource(source: Source): Diagnosed<Body> {
  switch (kindOfName(source.name)) {
    case "hcl":
      return parseHcl(source);
    case "json":
      return parseJson(source);
    case "compose":
    case "unknown": {
      // By content: JSON begins with a brace, which HCL cannot.
      return /^\ufeff?\s*[{[]/.test(source.text) ? parseJson(source) : parseHcl(source);
    }
  }
}
