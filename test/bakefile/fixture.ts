// Loads and resolves bake files given as texts, for the tests of the bake language.
import { isCompose, readCompose } from "../../src/bakefile/compose/read.ts";
import { hasErrors, type Diagnostic } from "../../src/diagnostic/diagnostic.ts";
import { renderDiagnostics } from "../../src/diagnostic/render.ts";
import { loadBakeFiles, type BakeInput } from "../../src/bakefile/load.ts";
import { printBake } from "../../src/bakefile/print.ts";
import { resolveTargets } from "../../src/bakefile/resolve.ts";

export interface RunOptions {
  readonly targets?: readonly string[];
  readonly overrides?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly vars?: readonly string[];
  readonly relativePaths?: boolean;
  /** Files that the bake files name, by their path from the working directory. */
  readonly others?: Readonly<Record<string, string>>;
  /** Files that the bake files refer to. */
  readonly readFile?: (path: string) => string | undefined;
}

export interface RunResult {
  /** The text of --print; undefined when there are errors. */
  readonly printed: string | undefined;
  readonly diagnostics: readonly Diagnostic[];
}

export function bakeInput(files: Readonly<Record<string, string>>, options: RunOptions = {}): BakeInput {
  return {
    files: Object.entries(files).map(([name, text]) => ({ name, text })),
    env: options.env ?? {},
    vars: options.vars ?? [],
    hostPlatform: { os: "linux", architecture: "amd64" },
    compose: { isCompose, readCompose },
    readFile:
      options.readFile ??
      (path => (options.others && Object.hasOwn(options.others, path) ? options.others[path] : undefined)),
    ...(options.relativePaths !== undefined && { relativePaths: options.relativePaths }),
  };
}

export function runBake(files: Readonly<Record<string, string>>, options: RunOptions = {}): RunResult {
  const loaded = loadBakeFiles(bakeInput(files, options));
  if (loaded.value === undefined || hasErrors(loaded.diagnostics))
    return { printed: undefined, diagnostics: loaded.diagnostics };
  const resolved = resolveTargets(loaded.value, {
    targets: options.targets ?? [],
    overrides: options.overrides ?? [],
  });
  const diagnostics = [...loaded.diagnostics, ...resolved.diagnostics];
  return { printed: resolved.value && printBake(resolved.value), diagnostics };
}

/** The print of one HCL text, parsed; throws with the rendered problems when there are any errors. */
export function bake(
  text: string,
  options: RunOptions = {},
): { group: Record<string, unknown>; target: Record<string, Record<string, unknown>> } {
  const { printed, diagnostics } = runBake({ "bake.hcl": text }, options);
  if (printed === undefined) throw new Error(renderDiagnostics(diagnostics));
  return JSON.parse(printed) as ReturnType<typeof bake>;
}

/** All problems of one HCL text, rendered. */
export function problems(text: string, options: RunOptions = {}): string {
  return renderDiagnostics(runBake({ "bake.hcl": text }, options).diagnostics);
}

/** The value of an expression as JSON. */
export function evaluateText(expression: string, before = ""): unknown {
  const { target } = bake(
    `${before}\ntarget "default" {\n  args = {\n    V = jsonencode(${expression})\n  }\n}\n`,
  );
  const args = target["default"]?.["args"] as Record<string, string> | undefined;
  return JSON.parse((args?.["V"] ?? "null").replaceAll("$${", "${").replaceAll("%%{", "%{"));
}
