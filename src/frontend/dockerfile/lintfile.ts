// Build checks that need only the text of a file: casing, names, deprecated forms.
import { parseReference } from "../../oci/reference.ts";
import { BakeError } from "../../diagnostic/error.ts";
import { rangeOfLines } from "../../diagnostic/source.ts";
import type { WholeFile } from "./include.ts";
import { readArgs } from "./instruction/arg.ts";
import type { Linter } from "./lint.ts";
import type { InstructionLine } from "./parse.ts";
import type { FileStages } from "./stage.ts";
import { readWords } from "./arguments.ts";
import { type Environment, expandWord } from "./words.ts";

export function lintFile(file: WholeFile, { stages }: FileStages, linter: Linter): void {
  for (const { parsed } of file.parts)
    for (const line of parsed.emptyContinuations)
      linter.warn("NoEmptyContinuation", "Empty continuation line", rangeOfLines(parsed.source, line, line));
  for (const line of file.lines) lintLine(line, linter.withComments(line.comments));
  const names = new Set<string>();
  for (const { from } of stages) {
    const { name, line } = from;
    if (name === "") continue;
    if (name === "scratch" || name === "context")
      linter.warn(
        "ReservedStageName",
        `Stage name should not use the same name as reserved stage "${name}"`,
        line.range,
      );
    if (names.has(name))
      linter.warn(
        "DuplicateStageName",
        `Duplicate stage name "${name}", stage names should be unique`,
        line.range,
      );
    names.add(name);
  }
  lintCasing(
    stages.flatMap(({ from, commands }) => [from.line, ...commands.map(command => command.line)]),
    linter,
  );
}

function lintLine(line: InstructionLine, linter: Linter): void {
  switch (line.word.toLowerCase()) {
    case "maintainer":
      linter.warn(
        "MaintainerDeprecated",
        "Maintainer instruction is deprecated in favor of using label",
        line.range,
      );
      break;
    case "from":
      lintFrom(line, linter);
      break;
    case "arg":
      lintDescription(
        "ARG",
        readArgs(line).map(({ name }) => name),
        line,
        linter,
      );
      break;
  }
}

function lintFrom(line: InstructionLine, linter: Linter): void {
  const words = readWords(line.rest);
  const [, as = "", name = ""] = words;
  if (words.length !== 3) return;
  if (name !== name.toLowerCase())
    linter.warn("StageNameCasing", `Stage name '${name}' should be lowercase`, line.range);
  const isLower = line.word === line.word.toLowerCase();
  const isUpper = line.word === line.word.toUpperCase();
  if ((isLower || isUpper) && as !== (isLower ? as.toLowerCase() : as.toUpperCase())) {
    linter.warn("FromAsCasing", `'${as}' and '${line.word}' keywords' casing do not match`, line.range);
  }
  lintDescription("FROM", [name.toLowerCase()], line, linter);
}

function lintDescription(
  keyword: string,
  names: readonly string[],
  line: InstructionLine,
  linter: Linter,
): void {
  const word = line.comments.at(-1)?.split(" ")[0];
  if (word === undefined || names.includes(word)) return;
  const example = names.length > 1 ? "<arg_key>" : (names[0] ?? "");
  linter.warn(
    "InvalidDefinitionDescription",
    `Comment for ${keyword} should follow the format: \`# ${example} <description>\``,
    line.range,
  );
}

/** All instructions should be written in the case of most; mixed ones like `Run` have no vote. */
function lintCasing(lines: readonly InstructionLine[], linter: Linter): void {
  const lower = lines.filter(({ word }) => word === word.toLowerCase()).length;
  const upper = lines.filter(({ word }) => word === word.toUpperCase() && word !== word.toLowerCase()).length;
  const wanted = lower > upper ? "lowercase" : "uppercase";
  for (const { word, range } of lines) {
    if (word === (wanted === "lowercase" ? word.toLowerCase() : word.toUpperCase())) continue;
    linter.warn(
      "ConsistentInstructionCasing",
      `Command '${word}' should match the case of the command majority (${wanted})`,
      range,
    );
  }
}

/** Warns when a FROM names no valid image as long as no build args are given. */
export function lintDefaultImages(
  { stages }: FileStages,
  defaults: Environment | undefined,
  escape: string,
  linter: Linter,
): void {
  if (defaults === undefined) return;
  for (const { from } of stages) {
    let name: string;
    try {
      name = expandWord(from.base, defaults, { escape }).text;
    } catch {
      return;
    }
    try {
      parseReference(name);
    } catch (thrown) {
      if (!(thrown instanceof BakeError)) throw thrown;
      linter.warn(
        "InvalidDefaultArgInFrom",
        `Default value for ARG ${from.base} results in empty or invalid base image name`,
        from.line.range,
      );
    }
  }
}
