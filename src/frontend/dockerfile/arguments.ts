// Forms that several instructions share for their arguments: JSON lists, blank-separated words, NAME=value pairs, flags.
import type { Diagnostic } from "../../diagnostic/diagnostic.ts";
import { BakeError } from "../../diagnostic/error.ts";
import { didYouMean } from "../../diagnostic/suggest.ts";
import type { Range } from "../../diagnostic/source.ts";
import type { Flag, InstructionLine } from "./parse.ts";
import { cut, goQuote, isSpace, splitBlanks, trimLeft } from "./text.ts";

/** Arguments as a JSON list, or undefined for the shell form. @throws BakeError when the list holds other than strings */
export function readJsonList(rest: string, line: InstructionLine): readonly string[] | undefined {
  if (!trimLeft(rest).startsWith("[")) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(trimLeft(rest));
  } catch {
    return undefined;
  }
  if (!Array.isArray(value)) return undefined;
  return value.map((element: unknown) => {
    if (typeof element !== "string")
      throw syntaxError(`${line.word} takes a JSON list of strings only`, line);
    return element;
  });
}

/** A command: a JSON list of arguments, or text for a shell. */
export interface CommandLine {
  readonly arguments: readonly string[];
  /** Whether the shell of the stage runs it. */
  readonly shell: boolean;
}

export function readCommand(rest: string, line: InstructionLine): CommandLine {
  const list = rest === "" ? undefined : readJsonList(rest, line);
  if (list !== undefined) return { arguments: list, shell: false };
  return { arguments: rest === "" ? [] : [rest], shell: true };
}

/** A JSON list, else words between blanks. */
export function readListOrWords(line: InstructionLine): readonly string[] {
  return readJsonList(line.rest, line) ?? readWords(line.rest);
}

/** Words between blanks; quotes mean nothing. */
export function readWords(rest: string): readonly string[] {
  return rest === "" ? [] : splitBlanks(rest);
}

/** The one argument of an instruction, blanks and all. @throws BakeError when there is none */
export function readOne(line: InstructionLine): string {
  if (line.rest === "") throw syntaxError(`${line.word.toUpperCase()} needs an argument`, line);
  return line.rest;
}

export interface Pair {
  readonly name: string;
  readonly value: string;
  /** Written in the old form `NAME value`. */
  readonly legacy: boolean;
}

/** Pairs of ENV and LABEL. @throws BakeError "dockerfile-syntax" */
export function readPairs(line: InstructionLine): readonly Pair[] {
  const keyword = line.word.toUpperCase();
  const words = readQuotedWords(line.rest, line.escape);
  const first = words[0];
  if (first === undefined)
    throw syntaxError(`${keyword} needs at least one argument`, line, `write ${keyword} NAME=value`);
  if (!first.includes("=")) {
    const match = /^([^\t\v\f\r ]*)[\t\v\f\r ]+([^]*)$/.exec(line.rest);
    if (match === null)
      throw syntaxError(
        `${keyword} needs a value for ${goQuote(first)}`,
        line,
        `write ${keyword} ${first}=value`,
      );
    if (match[1] === "") throw syntaxError(`${keyword} has an empty name`, line);
    return [{ name: match[1] ?? "", value: match[2] ?? "", legacy: true }];
  }
  return words.map(word => {
    const parts = cut(word, "=");
    if (parts === undefined) {
      throw syntaxError(
        `${keyword} has ${goQuote(word)} where NAME=value is expected`,
        line,
        "quote values that contain blanks",
      );
    }
    if (parts[0] === "") throw syntaxError(`${keyword} has an empty name`, line);
    return { name: parts[0], value: parts[1], legacy: false };
  });
}

/** Words split at white space outside quotes; quotes and escapes stay in the words for the expansion to come. */
export function readQuotedWords(rest: string, escape: string): readonly string[] {
  const words: string[] = [];
  const runes = [...rest];
  let word = "";
  let inWord = false;
  let quote: string | undefined;
  for (let i = 0; i < runes.length; i++) {
    const rune = runes[i] ?? "";
    if (quote === undefined && isSpace(rune)) {
      if (inWord && word !== "") words.push(word);
      word = "";
      inWord = false;
      continue;
    }
    inWord = true;
    if (rune === escape && quote !== "'") {
      // At the end of the line an escape character is dropped.
      if (i + 1 >= runes.length) continue;
      i++;
      word += rune + (runes[i] ?? "");
      continue;
    }
    if (quote === undefined) {
      if (rune === "'" || rune === '"') quote = rune;
    } else if (rune === quote) quote = undefined;
    word += rune;
  }
  if (inWord && word !== "") words.push(word);
  return words;
}

type FlagKind = "bool" | "text" | "list";

type FlagValue<K extends FlagKind> = K extends "bool"
  ? boolean
  : K extends "text"
    ? string
    : readonly FlagItem[];

export interface FlagItem {
  readonly value: string;
  readonly range: Range;
}

export type FlagValues<T extends Readonly<Record<string, FlagKind>>> = {
  readonly [K in keyof T]?: FlagValue<T[K]>;
};

/** Reads an instruction's flags by a table of what it takes; absent flags are absent. @throws BakeError "dockerfile-syntax" */
export function readFlags<const T extends Readonly<Record<string, FlagKind>>>(
  line: InstructionLine,
  kinds: T,
): FlagValues<T> {
  const values: Record<string, boolean | string | FlagItem[]> = {};
  for (const flag of line.flags) {
    const parts = cut(flag.text, "=");
    const dashed = parts?.[0] ?? flag.text;
    const name = dashed.slice(2);
    const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
    if (kind === undefined) throw unknownFlag(line, flag, dashed, Object.keys(kinds));
    const before = values[name];
    if (before !== undefined && kind !== "list") throw flagError(`flag ${dashed} is given twice`, flag);
    if (kind === "bool") values[name] = readBool(parts?.[1], dashed, flag);
    else if (parts === undefined) throw flagError(`flag ${dashed} needs a value`, flag, `write ${dashed}=…`);
    else if (kind === "text") values[name] = parts[1];
    else values[name] = [...(Array.isArray(before) ? before : []), { value: parts[1], range: flag.range }];
  }
  // Each value was built for the kind in the table just above.
  return values as FlagValues<T>;
}

function readBool(value: string | undefined, dashed: string, flag: Flag): boolean {
  if (value === "") throw flagError(`flag ${dashed} needs a value after "="`, flag);
  switch ((value ?? "").toLowerCase()) {
    case "":
    case "true":
      return true;
    case "false":
      return false;
    default:
      throw flagError(`flag ${dashed} takes true or false, not ${goQuote(value ?? "")}`, flag);
  }
}

function unknownFlag(line: InstructionLine, flag: Flag, dashed: string, known: readonly string[]): BakeError {
  const message = `${line.word.toUpperCase()} has no flag ${dashed}`;
  const near = didYouMean(
    dashed,
    known.map(name => `--${name}`),
  );
  return flagError(
    message,
    flag,
    near ??
      (known.length === 0
        ? "it takes no flags"
        : `known flags: ${known.map(name => `--${name}`).join(", ")}`),
  );
}

function flagError(message: string, flag: Flag, hint?: string): BakeError {
  return new BakeError("dockerfile-syntax", message, { range: flag.range, hint });
}

/** An error about a whole instruction. */
export function syntaxError(
  message: string,
  line: InstructionLine,
  hint?: string,
  place: Pick<Diagnostic, "reported"> = {},
): BakeError {
  return new BakeError("dockerfile-syntax", message, { ...place, range: line.range, hint });
}

/** An error met while an instruction is turned into LLB. */
export function lowerError(message: string, line: InstructionLine, hint?: string): BakeError {
  return new BakeError("dockerfile-lower", message, { range: line.range, hint });
}
