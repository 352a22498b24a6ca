// HCL files: bodies of attributes and blocks (hashicorp/hcl hclsyntax/spec.md, "Structural Elements").
// A mistake ends the item it is in; parsing goes on with the next line, so that one run shows all of them.
import { BakeError } from "../../diagnostic/error.ts";
import type { Diagnosed } from "../../diagnostic/diagnostic.ts";
import type { Source } from "../../diagnostic/source.ts";
import { parseExpression } from "./parse-expression.ts";
import {
  accept,
  createCursor,
  describeToken,
  nested,
  peek,
  rangeOf,
  scanToken,
  syntaxError,
  take,
  type Cursor,
  type Token,
} from "./scan.ts";
import type { Attribute, Block, Body, Label } from "./ast.ts";

/** More problems than this are not reported: one slip can make a whole file unreadable. */
const MAX_PROBLEMS = 20;

/** Parses a whole HCL file. The body holds what could be read even when there are problems. */
export function parseHcl(source: Source): Diagnosed<Body> {
  const cursor = createCursor(source);
  const body = parseItems(cursor, undefined);
  return { value: body, diagnostics: cursor.problems };
}

function parseItems(cursor: Cursor, opening: Token | undefined): Body {
  const attributes = new Map<string, Attribute>();
  const blocks: Block[] = [];
  for (;;) {
    const token = peek(cursor);
    if (token.kind === "newline") {
      take(cursor);
      continue;
    }
    if (token.kind === "end") {
      if (opening !== undefined) {
        throw syntaxError(
          cursor,
          `the block is not closed: expected "}", found the end of the file`,
          opening.start,
          opening.end,
        );
      }
      break;
    }
    if (opening !== undefined && token.text === "}" && token.kind === "punctuation") break;
    try {
      const item = parseItem(cursor);
      if ("expression" in item) {
        const first = attributes.get(item.name);
        if (first === undefined) attributes.set(item.name, item);
        else if (cursor.problems.length < MAX_PROBLEMS) {
          cursor.problems.push({
            severity: "error",
            code: "bake-syntax",
            message: `the attribute "${item.name}" is set twice`,
            range: item.nameRange,
            related: [{ message: "first set here", range: first.nameRange }],
          });
        }
      } else blocks.push(item);
      expectLineEnd(cursor, item);
    } catch (thrown) {
      if (!(thrown instanceof BakeError) || thrown.code !== "bake-syntax") throw thrown;
      cursor.problems.push(...thrown.diagnostics);
      if (cursor.problems.length >= MAX_PROBLEMS) {
        cursor.at = cursor.text.length;
        break;
      }
      skipItem(cursor, token);
    }
  }
  return { attributes: [...attributes.values()], blocks };
}

function expectLineEnd(cursor: Cursor, item: Attribute | Block): void {
  const token = peek(cursor);
  if (
    token.kind === "newline" ||
    token.kind === "end" ||
    (token.text === "}" && token.kind === "punctuation")
  )
    return;
  const what = "expression" in item ? `the attribute "${item.name}"` : `the block "${item.type}"`;
  throw syntaxError(
    cursor,
    `expected a new line after ${what}, found ${describeToken(token)}`,
    token.start,
    token.end,
  );
}

function parseItem(cursor: Cursor): Attribute | Block {
  const name = take(cursor);
  if (name.kind !== "identifier") {
    const hint =
      name.kind === "quote" ? "names of attributes and blocks are written without quotes" : undefined;
    const message = `expected the name of an attribute or block, found ${describeToken(name)}`;
    throw syntaxError(cursor, message, name.start, name.end, hint);
  }
  if (accept(cursor, "=") !== undefined) {
    const expression = parseExpression(cursor);
    const nameRange = rangeOf(cursor, name.start, name.end);
    return {
      name: name.text,
      nameRange,
      expression,
      range: { ...nameRange, end: Math.max(nameRange.end, expression.range.end) },
    };
  }
  return parseBlock(cursor, name);
}

function parseBlock(cursor: Cursor, type: Token): Block {
  const labels: Label[] = [];
  let headEnd = type.end;
  for (;;) {
    const token = take(cursor);
    if (token.kind === "identifier") {
      labels.push({ text: token.text, range: rangeOf(cursor, token.start, token.end) });
    } else if (token.kind === "quote") {
      labels.push(readLabel(cursor, token));
    } else if (token.text === "{") {
      const body = nested(cursor, true, () => parseBlockBody(cursor, token));
      return { type: type.text, labels, body, headRange: rangeOf(cursor, type.start, headEnd) };
    } else {
      const hint =
        labels.length === 0
          ? `write ${type.text} = ... for an attribute, ${type.text} "name" { ... } for a block`
          : undefined;
      const message = `expected "=" or "{" after "${type.text}", found ${describeToken(token)}`;
      throw syntaxError(cursor, message, token.start, token.end, hint);
    }
    headEnd = cursor.at;
  }
}

function readLabel(cursor: Cursor, open: Token): Label {
  const start = cursor.at;
  const found = /^(?:[^"\\\n]|\\.)*(?=")/.exec(cursor.text.slice(start, start + 2000));
  if (found === null)
    throw syntaxError(cursor, "the label of a block is not closed on its line", open.start, open.end);
  cursor.at = start + found[0].length + 1;
  const range = rangeOf(cursor, open.start, cursor.at);
  if (/(^|[^$])\$\{|(^|[^%])%\{/.test(found[0])) {
    throw syntaxError(
      cursor,
      "the label of a block must be a plain string",
      open.start,
      cursor.at,
      "use a matrix to make several targets",
    );
  }
  const text = found[0].replace(
    /\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))/g,
    (whole, four: string, eight: string, one: string) => {
      const code = four || eight;
      if (code) return parseInt(code, 16) <= 0x10ffff ? String.fromCodePoint(parseInt(code, 16)) : whole;
      return { n: "\n", r: "\r", t: "\t" }[one] ?? one;
    },
  );
  return { text, range };
}

/** `{ name = value }` may stand on one line, with one attribute; otherwise a new line follows the brace. */
function parseBlockBody(cursor: Cursor, opening: Token): Body {
  const first = peek(cursor);
  if (first.kind !== "newline" && first.kind !== "end" && first.text !== "}") {
    const item = parseItem(cursor);
    const close = peek(cursor);
    if (!("expression" in item)) {
      throw syntaxError(cursor, "a block within a block needs its own line", first.start, first.end);
    }
    if (close.text !== "}" || close.kind !== "punctuation") {
      const message = `expected "}" after the only attribute of a block on one line, found ${describeToken(close)}`;
      throw syntaxError(cursor, message, close.start, close.end, "write each attribute on its own line");
    }
    take(cursor);
    return { attributes: [item], blocks: [] };
  }
  const body = parseItems(cursor, opening);
  accept(cursor, "}");
  return body;
}

/**
 * After a mistake: forward to the end of the line on which all brackets opened since are closed. A brace that
 * closes no brace of this item closes the block around it.
 */
function skipItem(cursor: Cursor, first: Token): void {
  if (cursor.at >= cursor.text.length) return;
  const open: string[] = [];
  let at = first.start;
  const stop = Math.max(cursor.at, first.end);
  for (;;) {
    const token = scanToken(cursor.text, at);
    if (token.kind === "end") break;
    if (token.kind === "newline" && open.length === 0 && token.start >= stop - 1) break;
    if (token.kind === "punctuation") {
      if ("{[(".includes(token.text)) open.push(token.text);
      else if (token.text === "}") {
        if (!open.includes("{") && token.start > first.start) break;
        while (open.length > 0 && open.pop() !== "{");
      } else if ("])".includes(token.text)) open.pop();
    }
    at = token.end;
    if (token.kind === "quote") {
      const rest = /^(?:[^"\\\n]|\\.)*"?/.exec(cursor.text.slice(at, at + 10_000));
      at += rest?.[0].length ?? 0;
    }
  }
  cursor.at = Math.max(at, first.end);
}
