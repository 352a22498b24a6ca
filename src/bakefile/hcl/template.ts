// Templates of HCL: quoted strings, heredocs and JSON strings with `${...}` and `%{...}` sequences
// (hashicorp/hcl hclsyntax/spec.md, "Templates").
import { countGraphemes } from "../../diagnostic/source.ts";
import { describeToken, nested, peek, rangeOf, syntaxError, take, type Cursor, type Token } from "./scan.ts";
import { stringValue } from "./value.ts";
import type { Expression, TemplatePart } from "./ast.ts";
import type { Range } from "../../diagnostic/source.ts";

/** A template as a flat list, before directives are nested. */
type Piece =
  | { kind: "text"; text: string; start: number; end: number }
  | { kind: "interpolation"; expression: Expression }
  | { kind: "directive"; directive: Directive; start: number; end: number };

type Directive =
  | { readonly kind: "if"; readonly condition: Expression }
  | { readonly kind: "else" | "endif" | "endfor" }
  | {
      readonly kind: "for";
      readonly keyName: string | undefined;
      readonly valueName: string;
      readonly collection: Expression;
    };

/** How expressions within templates are read: the two parsers need each other. */
export interface Grammar {
  readonly expression: (cursor: Cursor) => Expression;
  readonly loopHead: (cursor: Cursor) => {
    readonly keyName: string | undefined;
    readonly valueName: string;
    readonly collection: Expression;
  };
}

interface Style {
  /** Offset of the first character after the template. */
  readonly end: number | undefined;
  readonly escapes: boolean;
  /** Heredocs are read line by line, which limits how far strip markers reach. */
  readonly byLine: boolean;
}

/** A quoted string; `open` is its quote, which has been taken. */
export function parseQuoted(cursor: Cursor, open: Token, grammar: Grammar): Expression {
  const pieces = readPieces(cursor, grammar, { end: undefined, escapes: true, byLine: false });
  const range = rangeOf(cursor, open.start, cursor.at);
  return finish(cursor, pieces, range);
}

/** A heredoc; `open` is `<<NAME` or `<<-NAME` with its line end. */
export function parseHeredoc(cursor: Cursor, open: Token, grammar: Grammar): Expression {
  const marker = open.text.trim().replace(/^<<-?/, "");
  let line = open.end;
  for (;;) {
    const next = cursor.text.indexOf("\n", line);
    const text = cursor.text.slice(line, next < 0 ? undefined : next);
    if (text.trim() === marker) break;
    if (next < 0)
      throw syntaxError(cursor, `the heredoc is not closed by a line "${marker}"`, open.start, open.end - 1);
    line = next + 1;
  }
  const pieces = readPieces(cursor, grammar, { end: line, escapes: false, byLine: true });
  if (open.text.startsWith("<<-")) removeIndent(pieces);
  cursor.at = cursor.text.indexOf(marker, line) + marker.length;
  return finish(cursor, pieces, rangeOf(cursor, open.start, cursor.at));
}

/** A whole text as a template, as strings of JSON bake files are. */
export function parseTemplateText(cursor: Cursor, grammar: Grammar): Expression {
  const pieces = readPieces(cursor, grammar, { end: cursor.text.length, escapes: false, byLine: false });
  return finish(cursor, pieces, rangeOf(cursor, 0, cursor.text.length));
}

function finish(cursor: Cursor, pieces: readonly Piece[], range: Range): Expression {
  const [only] = pieces;
  if (pieces.length === 1 && only?.kind === "interpolation")
    return { kind: "wrap", inner: only.expression, range };
  const parts = nestDirectives(cursor, pieces);
  if (parts.every(part => part.kind === "text")) {
    return {
      kind: "literal",
      value: stringValue(
        parts
          .map(part => part.text)
          .join("")
          .normalize("NFC"),
      ),
      range,
    };
  }
  return { kind: "template", parts, range };
}

function readPieces(cursor: Cursor, grammar: Grammar, style: Style): Piece[] {
  const pieces: Piece[] = [];
  const { text } = cursor;
  let buffer = "";
  let bufferStart = cursor.at;
  let stripNext = false;
  const flush = (stripEnd: boolean): void => {
    let value = stripNext ? buffer.trimStart() : buffer;
    if (stripEnd) value = value.trimEnd();
    if (buffer !== "") stripNext = false;
    if (value !== "") pieces.push({ kind: "text", text: value, start: bufferStart, end: cursor.at });
    buffer = "";
    bufferStart = cursor.at;
  };
  for (;;) {
    const at = cursor.at;
    if (style.end !== undefined && at >= style.end) break;
    const character = text[at];
    if (style.end === undefined) {
      if (character === '"') {
        flush(false);
        cursor.at = at + 1;
        return pieces;
      }
      if (character === undefined || character === "\n") {
        throw syntaxError(
          cursor,
          "a string is not closed on its line",
          at,
          at,
          "use a heredoc for text of several lines",
        );
      }
    }
    const two = text.slice(at, at + 2);
    const three = text.slice(at, at + 3);
    if (three === "$${" || three === "%%{") {
      buffer += two.slice(1) + "{";
      cursor.at = at + 3;
    } else if (two === "${" || two === "%{") {
      const stripBefore = text[at + 2] === "~";
      flush(stripBefore);
      stripNext = false;
      cursor.at = at + (stripBefore ? 3 : 2);
      pieces.push(two === "${" ? readInterpolation(cursor, grammar) : readDirective(cursor, grammar, at));
      stripNext = closeSequence(cursor, at);
      bufferStart = cursor.at;
    } else if (style.escapes && character === "\\") {
      buffer += readEscape(cursor);
    } else {
      buffer += character ?? "";
      cursor.at = at + 1;
      if (style.byLine && character === "\n") flush(false);
    }
  }
  flush(false);
  return pieces;
}

function readInterpolation(cursor: Cursor, grammar: Grammar): Piece {
  return { kind: "interpolation", expression: nested(cursor, false, () => grammar.expression(cursor)) };
}

/** Takes `}` or `~}`; says whether blanks after it go. */
function closeSequence(cursor: Cursor, start: number): boolean {
  return nested(cursor, false, () => {
    const token = take(cursor);
    if (token.text === "}" || token.text === "~}") return token.text === "~}";
    const message = `expected "}" at the end of a template sequence, found ${describeToken(token)}`;
    throw syntaxError(
      cursor,
      message,
      token.kind === "end" ? start : token.start,
      token.kind === "end" ? start + 2 : token.end,
    );
  });
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", '"': '"', "\\": "\\" };

function readEscape(cursor: Cursor): string {
  const { text, at } = cursor;
  const letter = text[at + 1] ?? "";
  const simple = Object.hasOwn(ESCAPES, letter) ? ESCAPES[letter] : undefined;
  if (simple !== undefined) {
    cursor.at = at + 2;
    return simple;
  }
  const digits = letter === "u" ? 4 : letter === "U" ? 8 : 0;
  const code = text.slice(at + 2, at + 2 + digits);
  if (digits > 0 && code.length === digits && /^[0-9a-fA-F]+$/.test(code) && parseInt(code, 16) <= 0x10ffff) {
    cursor.at = at + 2 + digits;
    return String.fromCodePoint(parseInt(code, 16));
  }
  const hint = 'known escapes: \\n \\r \\t \\" \\\\ \\uXXXX \\UXXXXXXXX; write \\\\ for a backslash';
  throw syntaxError(cursor, `unknown escape "\\${letter}" in a string`, at, at + 1 + letter.length, hint);
}

function readDirective(cursor: Cursor, grammar: Grammar, start: number): Piece {
  const directive = nested(cursor, false, (): Directive => {
    const token = peek(cursor);
    switch (token.text) {
      case "if":
        take(cursor);
        return { kind: "if", condition: grammar.expression(cursor) };
      case "else":
      case "endif":
      case "endfor":
        take(cursor);
        return { kind: token.text };
      case "for":
        return { kind: "for", ...grammar.loopHead(cursor) };
      default:
        throw syntaxError(
          cursor,
          `expected if, else, endif, for or endfor after "%{", found ${describeToken(token)}`,
          token.start,
          token.end,
          'write "%%{" for the characters themselves',
        );
    }
  });
  return { kind: "directive", directive, start, end: cursor.at };
}

/** Removes the smallest indentation of all lines, as `<<-` asks for. A line that begins with a sequence has none. */
function removeIndent(pieces: Piece[]): void {
  let smallest = Infinity;
  let lineStart = true;
  const indented: Extract<Piece, { kind: "text" }>[] = [];
  for (const piece of pieces) {
    if (lineStart) {
      lineStart = false;
      let indent = 0;
      if (piece.kind === "text") {
        const trimmed = piece.text.trimStart();
        if (trimmed === "" && piece.text.endsWith("\n")) indent = Infinity;
        else {
          indent = countGraphemes(piece.text.slice(0, piece.text.length - trimmed.length));
          indented.push(piece);
        }
      }
      smallest = Math.min(smallest, indent);
    }
    if (piece.kind === "text" && piece.text.endsWith("\n")) lineStart = true;
  }
  if (smallest === Infinity) return;
  for (const piece of indented) piece.text = piece.text.slice(smallest);
}

type Frame =
  | { kind: "root"; parts: TemplatePart[] }
  | {
      kind: "if";
      condition: Expression;
      yes: TemplatePart[];
      no: TemplatePart[];
      inElse: boolean;
      range: Range;
    }
  | { kind: "for"; head: Extract<Directive, { kind: "for" }>; parts: TemplatePart[]; range: Range };

function nestDirectives(cursor: Cursor, pieces: readonly Piece[]): TemplatePart[] {
  const root: Frame = { kind: "root", parts: [] };
  const stack: Frame[] = [root];
  const top = (): Frame => stack[stack.length - 1] ?? root;
  const partsOf = (frame: Frame): TemplatePart[] =>
    frame.kind === "if" ? (frame.inElse ? frame.no : frame.yes) : frame.parts;
  for (const piece of pieces) {
    const frame = top();
    if (piece.kind === "text") {
      partsOf(frame).push({ kind: "text", text: piece.text, range: rangeOf(cursor, piece.start, piece.end) });
      continue;
    }
    if (piece.kind === "interpolation") {
      partsOf(frame).push(piece);
      continue;
    }
    const { directive } = piece;
    const range = rangeOf(cursor, piece.start, piece.end);
    const unexpected = (opening: string): Error =>
      syntaxError(cursor, `"${directive.kind}" without a matching "%{ ${opening} }"`, piece.start, piece.end);
    switch (directive.kind) {
      case "if":
        if (stack.length > 50)
          throw syntaxError(cursor, "template directives nest too deeply", piece.start, piece.end);
        stack.push({ kind: "if", condition: directive.condition, yes: [], no: [], inElse: false, range });
        break;
      case "for":
        if (stack.length > 50)
          throw syntaxError(cursor, "template directives nest too deeply", piece.start, piece.end);
        stack.push({ kind: "for", head: directive, parts: [], range });
        break;
      case "else":
        if (frame.kind !== "if" || frame.inElse) throw unexpected("if");
        frame.inElse = true;
        break;
      case "endif":
        if (frame.kind !== "if") throw unexpected("if");
        stack.pop();
        partsOf(top()).push({ kind: "if", condition: frame.condition, yes: frame.yes, no: frame.no });
        break;
      case "endfor": {
        if (frame.kind !== "for") throw unexpected("for");
        stack.pop();
        const { keyName, valueName, collection } = frame.head;
        partsOf(top()).push({
          kind: "for",
          keyName,
          valueName,
          collection,
          parts: frame.parts,
          range: frame.range,
        });
        break;
      }
      default: {
        const never: never = directive;
        return never;
      }
    }
  }
  const open = top();
  if (open.kind !== "root") {
    throw syntaxError(
      cursor,
      `"%{ ${open.kind} }" is not closed by "%{ end${open.kind} }"`,
      open.range.start,
      open.range.end,
    );
  }
  return root.parts;
}
