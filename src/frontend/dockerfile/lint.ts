// Warnings about Dockerfiles that build but probably do not do what was meant. Rule names and texts are those users
// know from build checks (docs.docker.com/reference/build-checks) and put into `# check=skip=…`.
import type { Diagnostic } from "../../diagnostic/diagnostic.ts";
import { BakeError } from "../../diagnostic/error.ts";
import { editDistance } from "../../diagnostic/suggest.ts";
import type { Range } from "../../diagnostic/source.ts";
import { createDirectiveReader } from "./directive.ts";
import { lintRule, type LintRule } from "./lintrules.ts";
import { cut, parseGoBool, trimSpace } from "./text.ts";

/** What `# check=…` says. */
export interface LintOptions {
  readonly skip: "all" | readonly string[];
  readonly experimental: "all" | readonly string[];
  /** Warnings fail the build. */
  readonly error: boolean;
}

/** What to do about a warning, beside the warning itself. */
export type LintAdvice = Pick<Diagnostic, "hint" | "related">;

export interface Linter {
  readonly warn: (rule: LintRule, message: string, range: Range, advice?: LintAdvice) => void;
  /** The same linter with the `check=` comment above an instruction applied. */
  readonly withComments: (comments: readonly string[]) => Linter;
}

export interface LintRun {
  readonly linter: Linter;
  /** The warnings so far, each `Rule: message`. */
  readonly warnings: readonly Diagnostic[];
  /** @throws BakeError "dockerfile-lint" when the file wants warnings to be errors and there are some */
  readonly finish: () => void;
}

export function createLintRun(options: LintOptions): LintRun {
  const warnings: Diagnostic[] = [];
  const create = (current: LintOptions): Linter => ({
    warn(rule, message, range, advice) {
      const on = lintRule(rule)?.experimental
        ? includes(current.experimental, rule)
        : !includes(current.skip, rule);
      if (on)
        warnings.push({
          severity: "warning",
          code: "dockerfile-lint",
          message: `${rule}: ${message}`,
          range,
          ...advice,
        });
    },
    withComments(comments) {
      const more = optionsOfComments(comments);
      if (more === undefined) return this;
      return create({
        ...current,
        skip: union(current.skip, more.skip),
        experimental: union(current.experimental, more.experimental),
      });
    },
  });
  return {
    linter: create(options),
    warnings,
    finish() {
      if (!options.error || warnings.length === 0) return;
      const rules = new Set(warnings.map(warning => cut(warning.message, ":")?.[0] ?? ""));
      const message = `the checks of the Dockerfile are errors, and it breaks ${[...rules].sort().join(", ")}`;
      throw BakeError.ofDiagnostics([{ severity: "error", code: "dockerfile-lint", message }, ...warnings]);
    },
  };
}

function optionsOfComments(comments: readonly string[]): LintOptions | undefined {
  for (const comment of comments) {
    const directive = createDirectiveReader("").read(comment, 1);
    if (directive?.name !== "check") continue;
    const parsed = parseLintOptions(cut(directive.value, " ")?.[0] ?? directive.value);
    return typeof parsed === "string" ? undefined : parsed;
  }
  return undefined;
}

/** Reads `skip=A,B;experimental=all;error=true`; a string says what is wrong. */
export function parseLintOptions(text: string): LintOptions | string {
  let skip: LintOptions["skip"] = [];
  let experimental: LintOptions["experimental"] = [];
  let error = false;
  const trimmed = trimSpace(text);
  for (const part of trimmed === "" ? [] : splitAtMost(trimmed, ";", 3)) {
    const [key, value] = cut(part, "=")?.map(trimSpace) ?? [part];
    if (value === undefined) return `"${part}" is not a check option`;
    const names = value === "all" ? "all" : value.split(",").map(trimSpace);
    if (key === "skip") skip = names;
    else if (key === "experimental") experimental = names;
    else if (key === "error") {
      const flag = parseGoBool(value);
      if (flag === undefined) return `check option "error" must be true or false, not "${value}"`;
      error = flag;
    } else return `unknown check option "${key ?? ""}"`;
  }
  return { skip, experimental, error };
}

function splitAtMost(text: string, separator: string, parts: number): string[] {
  const all = text.split(separator);
  return all.length <= parts ? all : [...all.slice(0, parts - 1), all.slice(parts - 1).join(separator)];
}

function includes(names: "all" | readonly string[], rule: string): boolean {
  return names === "all" || names.includes(rule);
}

function union(a: "all" | readonly string[], b: "all" | readonly string[]): "all" | readonly string[] {
  return a === "all" || b === "all" ? "all" : [...a, ...b];
}

/** The option within two edits of a name; none when the name itself is an option. Ties go to the first by name. */
export function closestName(name: string, options: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = 3;
  for (const option of [...options].sort()) {
    if (option === name) return undefined;
    const distance = editDistance(name, option, 3);
    if (distance < bestDistance) [best, bestDistance] = [option, distance];
  }
  return best;
}

const SECRET = /(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)/i;
const NO_SECRET = /(?:_|^)(?:public|file|version)(?:_|$)/i;

/** Warns about `KEY value` where `KEY=value` is the form of today. */
export function warnLegacyPair(linter: Linter, line: { readonly word: string; readonly range: Range }): void {
  const message = `"${line.word} key=value" should be used instead of legacy "${line.word} key value" format`;
  linter.warn("LegacyKeyValueFormat", message, line.range);
}

/** Warns about names that look like secrets, which ARG and ENV would write into the image. */
export function checkSecretName(
  instruction: "ARG" | "ENV",
  name: string,
  linter: Linter,
  range: Range,
): void {
  if (!SECRET.test(name) || NO_SECRET.test(name)) return;
  const message = `Do not use ARG or ENV instructions for sensitive data (${instruction} ${JSON.stringify(name)})`;
  linter.warn("SecretsUsedInArgOrEnv", message, range);
}
