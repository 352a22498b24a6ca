// Tokens of HCL outside of templates (hashicorp/hcl hclsyntax/spec.md, "Lexical Elements").
import { BakeError } from "../../diagnostic/error.ts";
import type { Diagnostic } from "../../diagnostic/diagnostic.ts";
import type { Range, Source } from "../../diagnostic/source.ts";

export type TokenKind =
  "identifier" | "number" | "quote" | "heredoc" | "newline" | "end" | "punctuation" | "invalid";

export interface Token {
  readonly kind: TokenKind;
  readonly start: number;
  readonly end: number;
  /** The characters of the token; of a heredoc only its introduction. */
  readonly text: string;
}

/** Where a parser stands in a text. The text may be a decoded piece of `source`: `place` maps its offsets back. */
export interface Cursor {
  readonly source: Source;
  readonly text: string;
  readonly place: (offset: number) => number;
  readonly problems: Diagnostic[];
  at: number;
  /** Newlines end items in bodies and objects and are blanks inside brackets. */
  newlines: boolean;
  depth: number;
}

/** Deeper nesting than any written file has; keeps recursion far from the end of the stack. */
const MAX_DEPTH = 150;

export function createCursor(
  source: Source,
  text = source.text,
  place = (offset: number): number => offset,
): Cursor {
  return {
    source,
    text,
    place,
    problems: [],
    at: text.startsWith("\ufeff") ? 1 : 0,
    newlines: true,
    depth: 0,
  };
}

export function rangeOf(cursor: Cursor, start: number, end: number): Range {
  const from = cursor.place(start);
  return { source: cursor.source, start: from, end: Math.max(from, cursor.place(end)) };
}

export function syntaxError(
  cursor: Cursor,
  message: string,
  start: number,
  end: number,
  hint?: string,
): BakeError {
  return new BakeError("bake-syntax", message, { range: rangeOf(cursor, start, end), hint });
}

const PUNCTUATION = ["...", "==", "!=", "<=", ">=", "&&", "||", "=>", "~}"];
const SINGLE = "{}[](),.=<>+-*/%!?:";
const BLANK = /[ \t\r]+/y;
const IDENTIFIER = /[\p{ID_Start}_][\p{ID_Continue}-]*/uy;
const NUMBER = /\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const HEREDOC = /<<-?([\p{ID_Start}_][\p{ID_Continue}-]*)\r?\n/uy;
const LINE_COMMENT = /(?:#|\/\/)[^\n]*/y;

function match(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}

/** The token at or after `at`, blanks and comments skipped. A line comment ends with its line's newline token. */
export function scanToken(text: string, at: number): Token {
  for (;;) {
    const blank = match(BLANK, text, at);
    if (blank !== undefined) at += blank.length;
    const comment = match(LINE_COMMENT, text, at);
    if (comment !== undefined) at += comment.length;
    else if (text.startsWith("/*", at)) {
      const close = text.indexOf("*/", at + 2);
      if (close < 0) return { kind: "invalid", start: at, end: text.length, text: "/*" };
      at = close + 2;
    } else break;
  }
  const token = (kind: TokenKind, value: string): Token => ({
    kind,
    start: at,
    end: at + value.length,
    text: value,
  });
  const character = text[at];
  if (character === undefined) return token("end", "");
  if (character === "\n") return token("newline", "\n");
  if (character === '"') return token("quote", character);
  const identifier = match(IDENTIFIER, text, at);
  if (identifier !== undefined) return token("identifier", identifier);
  const number = match(NUMBER, text, at);
  if (number !== undefined) return token("number", number);
  const heredoc = match(HEREDOC, text, at);
  if (heredoc !== undefined) return token("heredoc", heredoc);
  for (const long of PUNCTUATION) if (text.startsWith(long, at)) return token("punctuation", long);
  if (SINGLE.includes(character)) return token("punctuation", character);
  return token("invalid", String.fromCodePoint(text.codePointAt(at) ?? 0));
}

/** The next token without taking it. */
export function peek(cursor: Cursor): Token {
  let token = scanToken(cursor.text, cursor.at);
  while (token.kind === "newline" && !cursor.newlines) token = scanToken(cursor.text, token.end);
  return token;
}

export function take(cursor: Cursor): Token {
  const token = peek(cursor);
  cursor.at = token.end;
  return token;
}

/** Takes the next token when it is `text`. */
export function accept(cursor: Cursor, text: string): Token | undefined {
  const token = peek(cursor);
  if (token.text !== text || token.kind === "quote") return undefined;
  cursor.at = token.end;
  return token;
}

export function expect(cursor: Cursor, text: string, context: string): Token {
  const token = accept(cursor, text);
  if (token !== undefined) return token;
  const found = peek(cursor);
  throw syntaxError(
    cursor,
    `expected "${text}" ${context}, found ${describeToken(found)}`,
    found.start,
    found.end,
  );
}

export function describeToken(token: Token): string {
  switch (token.kind) {
    case "end":
      return "the end of the file";
    case "newline":
      return "the end of the line";
    case "quote":
      return "a string";
    case "heredoc":
      return "a heredoc";
    case "invalid":
      return token.text === "/*" ? "a comment without end" : JSON.stringify(token.text);
    default:
      return `"${token.text}"`;
  }
}

/** Runs `parse` with newlines counted or not, one level deeper. */
export function nested<T>(cursor: Cursor, newlines: boolean, parse: () => T): T {
  const before = cursor.newlines;
  if (cursor.depth >= MAX_DEPTH) {
    const token = peek(cursor);
    // Nothing after this can be read in a useful way.
    cursor.at = cursor.text.length;
    throw syntaxError(
      cursor,
      `expressions and blocks nest deeper than ${MAX_DEPTH} levels`,
      token.start,
      token.end,
    );
  }
  cursor.depth++;
  cursor.newlines = newlines;
  try {
    return parse();
  } finally {
    cursor.depth--;
    cursor.newlines = before;
  }
}
