// The text of `--explain-var`: which of all the places that could give a value to a variable gave it, and what that
// place has shadowed.
import { BakeError } from "../diagnostic/error.ts";
import { positionAt, type Range, type Source } from "../diagnostic/source.ts";
import { didYouMean } from "../diagnostic/suggest.ts";
import type { VariableInfo, VariableSource } from "./definition.ts";
import type { BakeDocument } from "./load.ts";

/** @throws BakeError "usage" for a name that no file declares */
export function explainVariable(document: BakeDocument, name: string): string {
  const variable = document.variables.find(one => one.name === name);
  if (variable === undefined) {
    const hint = didYouMean(
      name,
      document.variables.map(one => one.name),
    );
    throw new BakeError("usage", `no bake file declares the variable "${name}"`, {
      hint: hint ?? "bake --list variables shows all variables",
    });
  }
  const [source, ...shadowed] = variable.sources;
  const rows: (readonly [string, string])[] = [
    ["value", variable.value ?? "null"],
    ...(variable.type === undefined ? [] : [["type", variable.type] as const]),
    ["from", source === undefined ? missing(variable) : describeSource(source)],
    ...shadowed.map(one => ["shadows", describeSource(one)] as const),
    ["declared", placeOf(variable.range)],
    ...(variable.description === "" ? [] : [["description", variable.description] as const]),
  ];
  return `${name}\n${rows.map(([label, text]) => `  ${label.padEnd(12)} ${text}\n`).join("")}`;
}

function missing({ type }: VariableInfo): string {
  return type === undefined ? "nothing: a variable without type and default is empty" : "nothing: it is null";
}

function describeSource(source: VariableSource): string {
  switch (source.kind) {
    case "flag":
      return `--var ${source.name}=${oneLine(source.text)}${form(source.json)}`;
    case "environment":
      return `environment ${source.name}=${oneLine(source.text)}${form(source.json)}`;
    case "env-file":
      return `${placeInEnvFile(source.file, source.name)} ${source.name}=${oneLine(source.text)}${form(source.json)}`;
    case "default":
    case "global": {
      const { range } = source.attribute.expression;
      const text = oneLine(range.source.text.slice(range.start, range.end));
      const what = source.kind === "default" ? "default" : "attribute of the same name,";
      return `${what} at ${placeOf(range)}: ${text}`;
    }
    default: {
      const never: never = source;
      return never;
    }
  }
}

function form(json: boolean): string {
  return json ? " (as JSON)" : "";
}

function placeOf({ source, start }: Range): string {
  const { line, column } = positionAt(source, start);
  return `${source.name}:${line}:${column}`;
}

/** The last line of an env file that sets the name. */
function placeInEnvFile(file: Source | undefined, name: string): string {
  if (file === undefined) return "env file";
  const lines = file.text.split("\n");
  const at = lines.findLastIndex(line => {
    const words = line.trimStart().replace(/^export\s+/, "");
    return words.startsWith(name) && /^\s*(?:[=:]|$)/.test(words.slice(name.length));
  });
  return at < 0 ? file.name : `${file.name}:${at + 1}`;
}

const MAX_SHOWN = 120;

function oneLine(text: string): string {
  const line = text.replace(/\s*\n\s*/g, " ");
  return line.length > MAX_SHOWN ? `${line.slice(0, MAX_SHOWN)}…` : line;
}
