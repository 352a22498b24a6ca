// Parser directives (`# syntax=`, `# escape=`, `# check=`): comments of a fixed form in the first lines of a file.
import { cut, trimLeft } from "./text.ts";

export interface Directive {
  readonly name: "syntax" | "escape" | "check";
  readonly value: string;
  /** Line from 1. */
  readonly line: number;
  /** The line of the first directive of that name, when this one repeats it. */
  readonly repeats?: number;
}

const NAMES = ["syntax", "escape", "check"] as const;

/** Reads directives line by line; the first line that is none ends them for good. */
export function createDirectiveReader(mark: string) {
  const seen = new Map<string, number>();
  let done = false;
  return {
    read(line: string, number: number): Directive | undefined {
      if (done) return undefined;
      const match = line.startsWith(mark)
        ? /^([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$/.exec(trimLeft(line.slice(mark.length)))
        : null;
      const name = NAMES.find(candidate => candidate === match?.[1]?.toLowerCase());
      if (name === undefined) {
        done = true;
        return undefined;
      }
      const first = seen.get(name);
      if (first === undefined) seen.set(name, number);
      return { name, value: match?.[2] ?? "", line: number, ...(first !== undefined && { repeats: first }) };
    },
  };
}

export interface SyntaxRequest {
  /** The first word: an image reference. */
  readonly image: string;
  /** The whole value. */
  readonly commandLine: string;
  /** Line from 1; 0 when the file is JSON. */
  readonly line: number;
}

/** The frontend image a file asks for: by `# syntax=`, by `// syntax=`, or by a key of a JSON file. */
export function detectSyntax(text: string): SyntaxRequest | undefined {
  const directive = findDirective(text, "syntax", "#") ?? findDirective(text, "syntax", "//");
  if (directive !== undefined) {
    return { image: firstWord(directive.value), commandLine: directive.value, line: directive.line };
  }
  const value = syntaxOfJson(text);
  return value === undefined ? undefined : { image: value, commandLine: value, line: 0 };
}

/** The value of a directive; a `#!` line may precede it. */
export function findDirective(text: string, name: Directive["name"], mark = "#"): Directive | undefined {
  const lines = text.replace(/^\ufeff/, "").split("\n");
  const first = lines[0]?.startsWith("#!") === true ? 1 : 0;
  const reader = createDirectiveReader(mark);
  for (let i = first; i < lines.length; i++) {
    const directive = reader.read((lines[i] ?? "").replace(/\r$/, ""), i + 1);
    if (directive === undefined || directive.repeats !== undefined) return undefined;
    if (directive.name === name) return directive;
  }
  return undefined;
}

function syntaxOfJson(text: string): string | undefined {
  if (!/^\s*\{/.test(text)) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    const found = typeof value === "object" && value !== null && "syntax" in value ? value.syntax : undefined;
    return typeof found === "string" ? found : undefined;
  } catch {
    return undefined;
  }
}

function firstWord(value: string): string {
  return cut(value, " ")?.[0] ?? value;
}
