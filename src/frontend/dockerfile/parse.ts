// The text of a Dockerfile as a list of instruction lines: parser directives, comments, continuation lines, flags and
// heredocs (Dockerfile reference, "Format"). What the arguments mean is the business of each instruction.
import type { Diagnosed, Diagnostic } from "../../diagnostic/diagnostic.ts";
import { rangeOfLines, type Range, type Source } from "../../diagnostic/source.ts";
import { BakeError } from "../../diagnostic/error.ts";
import { createDirectiveReader, type Directive } from "./directive.ts";
import { parseHeredocWord, type HeredocWord } from "./heredoc.ts";
import { expandWord, emptyEnvironment } from "./words.ts";
import { isSpace, trimLeft, trimSpace } from "./text.ts";

export interface ParsedFile {
  readonly source: Source;
  /** `\` or, by directive, a backquote. */
  readonly escape: string;
  readonly lines: readonly InstructionLine[];
  /** Lines (from 1) where an instruction with blank continuation lines ends. */
  readonly emptyContinuations: readonly number[];
}

/** One instruction with everything that belongs to it, continuation lines joined. */
export interface InstructionLine {
  /** The instruction as it was written: `RUN`, `run`. */
  readonly word: string;
  readonly flags: readonly Flag[];
  /** What follows the flags, trimmed. */
  readonly rest: string;
  /** The joined line as it was written. */
  readonly original: string;
  readonly heredocs: readonly Heredoc[];
  /** Texts of the comment lines directly above. */
  readonly comments: readonly string[];
  readonly startLine: number;
  /** The last line, that of a heredoc's terminator included. */
  readonly endLine: number;
  readonly escape: string;
  /** The whole instruction. */
  readonly range: Range;
  /** Where the instruction's word stands. */
  readonly wordRange: Range;
}

export interface Flag {
  /** With its leading `--`, quotes and escapes removed. */
  readonly text: string;
  readonly range: Range;
}

export interface Heredoc extends HeredocWord {
  /** The body with its line ends, tabs not yet removed. */
  readonly body: string;
}

export interface ParseOptions {
  /** Lower-case words of the instructions that take heredocs. */
  readonly heredocs: ReadonlySet<string>;
  /** Lower-case words that wrap another instruction (ONBUILD). */
  readonly wrappers: ReadonlySet<string>;
  /** What counts as the instruction's word at the start of a line, anchored; default: all up to the first blank. */
  readonly word?: RegExp;
  /** The escape character until a directive says otherwise; default `\`. */
  readonly escape?: string;
  /** Whether a file without instructions is no problem; default false. */
  readonly mayBeEmpty?: boolean;
}

/** Bytes of a line that BuildKit's reader takes at most. */
const MAX_LINE_BYTES = 65535;

/** Reads a Dockerfile. Never throws; problems come back as diagnostics with ranges. */
export function parseDockerfile(source: Source, options: ParseOptions): Diagnosed<ParsedFile> {
  const diagnostics: Diagnostic[] = [];
  const report = (
    message: string,
    range: Range,
    { hint, reported }: { readonly hint?: string; readonly reported?: readonly number[] } = {},
  ): void => {
    diagnostics.push({
      severity: "error",
      code: "dockerfile-syntax",
      message,
      range,
      ...(hint !== undefined && { hint }),
      ...(reported !== undefined && { reported: [reported] }),
    });
  };
  /**
   * A problem of a physical line itself. BuildKit's reader finds it before it counts the line, so it names the one
   * before.
   */
  const reportLine = (message: string, line: number, hint?: string): void => {
    report(message, rangeOfLines(source, line, line), {
      reported: [line - 1],
      ...(hint !== undefined && { hint }),
    });
  };
  const raw = splitLines(source);
  const lines: InstructionLine[] = [];
  const emptyContinuations: number[] = [];
  const directives = createDirectiveReader("#");
  let escape = options.escape ?? "\\";
  let comments: string[] = [];
  let index = 0;

  /** Directives may stand on any line until the first that is none, so every physical line passes here. */
  const readDirective = (text: string, line: number): Directive | undefined => {
    const directive = directives.read(text, line);
    if (directive === undefined) return undefined;
    if (directive.repeats !== undefined)
      reportLine(
        `directive "${directive.name}" is given twice`,
        line,
        `keep one of them; the first is in line ${directive.repeats}`,
      );
    else if (directive.name === "escape") {
      if (directive.value === "\\" || directive.value === "`") escape = directive.value;
      else reportLine(`invalid escape character "${directive.value}"`, line, "it must be \\ or `");
    }
    return directive;
  };

  for (; index < raw.length;) {
    const line = raw[index] ?? "";
    const startLine = index + 1;
    if (isTooLong(line)) {
      reportLine(`line ${startLine} is longer than ${MAX_LINE_BYTES} bytes`, startLine);
      break;
    }
    index++;
    const trimmed = trimLeft(line.replace(/[\r\n]+$/, ""));
    const directive = readDirective(trimmed, startLine);
    if (trimmed.startsWith("#")) {
      const comment = trimSpace(trimLeft(line).slice(1));
      if (comment === "") comments = [];
      else if (directive === undefined) comments.push(comment);
      continue;
    }
    const joined = createJoinedLine();
    let continues = joined.add(
      trimmed,
      offsetOfLine(source, startLine) + (line.length - trimLeft(line).length),
      escape,
    );
    if (!continues && joined.text() === "") continue;
    let sawEmpty = false;
    while (continues && index < raw.length) {
      const following = raw[index] ?? "";
      if (isTooLong(following)) {
        reportLine(`line ${index + 1} is longer than ${MAX_LINE_BYTES} bytes`, index + 1);
        return { value: undefined, diagnostics };
      }
      index++;
      const text = following.replace(/[\r\n]+$/, "");
      readDirective(text, index);
      const body = trimLeft(text);
      if (body.startsWith("#")) continue;
      if (body === "") {
        sawEmpty = true;
        continue;
      }
      continues = joined.add(text, offsetOfLine(source, index), escape);
    }
    if (sawEmpty) emptyContinuations.push(index);
    const parts = splitInstruction(joined.text(), escape, options.word);
    const heredocs: Heredoc[] = [];
    if (takesHeredocs(parts, options, escape)) {
      for (const word of heredocWords(joined.text())) {
        const body = readHeredoc(word);
        if (body === undefined) {
          report(`heredoc "${word.name}" has no end`, rangeOfLines(source, startLine, raw.length), {
            hint: `end it by a line that is just ${word.name}`,
          });
          index = raw.length;
          break;
        }
        heredocs.push({ ...word, body });
      }
    }
    const rangeAt = (start: number, end: number): Range => ({
      source,
      start: joined.offset(start),
      end: joined.offset(end - 1) + 1,
    });
    lines.push({
      word: parts.word,
      flags: parts.flags.map(flag => ({ text: flag.text, range: rangeAt(flag.start, flag.end) })),
      rest: parts.rest,
      original: joined.text(),
      heredocs,
      comments,
      startLine,
      endLine: index,
      escape,
      range: rangeOfInstruction(source, startLine, index),
      wordRange:
        parts.word === ""
          ? rangeOfLines(source, startLine, startLine)
          : rangeAt(parts.wordStart, parts.wordStart + parts.word.length),
    });
    comments = [];
  }
  if (lines.length === 0 && diagnostics.length === 0 && options.mayBeEmpty !== true) {
    const what = source.text.length === 0 ? "is empty" : "has no instructions";
    report(`the Dockerfile ${what}`, rangeOfLines(source, 1, Math.max(1, raw.length)), {
      hint: "it must begin with FROM",
      reported: [raw.length],
    });
  }
  return { value: { source, escape, lines, emptyContinuations }, diagnostics };

  function readHeredoc(word: HeredocWord): string | undefined {
    let body = "";
    while (index < raw.length) {
      const line = raw[index] ?? "";
      index++;
      const end = line.replace(/[\r\n]+$/, "");
      if ((word.chomp ? end.replace(/^\t+/, "") : end) === word.name) return body;
      body += line;
    }
    return undefined;
  }
}

const WORD = /^[^\t\v\f\r ]+/;

export interface InstructionParts {
  readonly word: string;
  readonly wordStart: number;
  readonly flags: readonly { readonly text: string; readonly start: number; readonly end: number }[];
  readonly rest: string;
}

/** Splits a joined line into its word, its `--flags` and the rest. Offsets are those of `line`. */
export function splitInstruction(line: string, escape: string, wordForm = WORD): InstructionParts {
  const wordStart = line.length - trimLeft(line).length;
  const text = trimSpace(line);
  const [word = text] = wordForm.exec(text) ?? [];
  const gap = /^[\t\v\f\r ]+/.exec(text.slice(word.length));
  if (gap === null) return { word: text, wordStart, flags: [], rest: "" };
  const argumentsStart = word.length + gap[0].length;
  const { flags, rest } = splitFlags(text.slice(argumentsStart), escape);
  const shift = wordStart + argumentsStart;
  return {
    word,
    wordStart,
    flags: flags.map(flag => ({ text: flag.text, start: flag.start + shift, end: flag.end + shift })),
    rest: trimSpace(text.slice(argumentsStart).slice(rest)),
  };
}

interface FlagPiece {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/** Reads leading words that begin with `--`; a lone `--` ends them. `rest` is the offset of what follows. */
function splitFlags(
  line: string,
  escape: string,
): { readonly flags: readonly FlagPiece[]; readonly rest: number } {
  const flags: FlagPiece[] = [];
  let at = 0;
  for (;;) {
    while (at < line.length && isSpace(line[at] ?? "")) at++;
    if (!line.startsWith("--", at)) return { flags, rest: at };
    const start = at;
    let text = "";
    let quote: string | undefined;
    let quoted = false;
    for (; at < line.length; at++) {
      let character = line[at] ?? "";
      if (quote === undefined && isSpace(character)) break;
      if (quote === undefined ? character === "'" || character === '"' : character === quote) {
        quote = quote === undefined ? character : undefined;
        quoted = true;
        continue;
      }
      if (character === escape) {
        if (at + 1 >= line.length) continue;
        at++;
        character = line[at] ?? "";
      }
      text += character;
    }
    if (text === "--") return { flags, rest: at };
    if (text !== "" || quoted) flags.push({ text: bytesAsRunes(text), start, end: at });
  }
}

/** BuildKit reads flags byte by byte, so text beyond ASCII arrives as Latin-1; digests depend on it. */
function bytesAsRunes(text: string): string {
  return /^[\x00-\x7f]*$/.test(text) ? text : Buffer.from(text, "utf8").toString("latin1");
}

function takesHeredocs(parts: InstructionParts, options: ParseOptions, escape: string): boolean {
  const word = parts.word.toLowerCase();
  if (options.wrappers.has(word)) {
    return (
      parts.rest !== "" &&
      takesHeredocs(splitInstruction(parts.rest, escape), { ...options, wrappers: new Set() }, escape)
    );
  }
  return options.heredocs.has(word) && !isJsonForm(parts.rest);
}

/** Whether arguments are a JSON list; text that only looks like one is the shell form. */
function isJsonForm(rest: string): boolean {
  if (!trimLeft(rest).startsWith("[")) return false;
  try {
    return Array.isArray(JSON.parse(trimLeft(rest)));
  } catch {
    return false;
  }
}

function heredocWords(line: string): HeredocWord[] {
  if (!line.includes("<<")) return [];
  let words: readonly string[];
  try {
    words = expandWord(line, emptyEnvironment, { rawQuotes: true, rawEscapes: true, keepUnset: true }).words;
  } catch (thrown) {
    if (thrown instanceof BakeError) return [];
    throw thrown;
  }
  return words.flatMap(word => parseHeredocWord(word) ?? []);
}

/** Pieces of physical lines put together, with the way back to offsets of the source. */
function createJoinedLine() {
  let joined = "";
  const pieces: { readonly at: number; readonly offset: number }[] = [];
  return {
    text: () => joined,
    /** Adds a line; returns whether it ends in a continuation mark. */
    add(text: string, offset: number, escape: string): boolean {
      pieces.push({ at: joined.length, offset });
      const mark = escape === "`" ? /(^|[^`])`[ \t]*$/ : /(^|[^\\])\\[ \t]*$/;
      const body = text.replace(mark, "$1");
      joined += body;
      return body.length !== text.length;
    },
    offset(at: number): number {
      const piece = pieces.findLast(candidate => candidate.at <= at) ?? { at: 0, offset: 0 };
      return piece.offset + (at - piece.at);
    },
  };
}

function splitLines(source: Source): string[] {
  const lines = source.text.replace(/^\ufeff/, "").match(/[^\n]*\n|[^\n]+$/g);
  return lines ?? [];
}

function isTooLong(line: string): boolean {
  return line.length * 3 > MAX_LINE_BYTES && Buffer.byteLength(line.replace(/\n$/, "")) > MAX_LINE_BYTES;
}

function offsetOfLine(source: Source, line: number): number {
  const { start } = rangeOfLines(source, line, line);
  return line === 1 && source.text.startsWith("\ufeff") ? start + 1 : start;
}

function rangeOfInstruction(source: Source, first: number, last: number): Range {
  const range = rangeOfLines(source, first, last);
  const text = source.text.slice(range.start, range.end);
  return { ...range, start: range.start + (text.length - trimLeft(text.replace(/^\ufeff/, " ")).length) };
}
