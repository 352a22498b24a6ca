// Expressions of HCL (hashicorp/hcl hclsyntax/spec.md, "Expressions"): a recursive descent over scanned tokens.
import { parseNumber } from "./number.ts";
import {
  accept,
  describeToken,
  expect,
  nested,
  peek,
  rangeOf,
  syntaxError,
  take,
  type Cursor,
  type Token,
} from "./scan.ts";
import { parseHeredoc, parseQuoted, parseTemplateText, type Grammar } from "./template.ts";
import { FALSE, NULL, TRUE, numberValue, stringValue, type Value } from "./value.ts";
import type { BinaryOperator, Expression, ObjectEntry } from "./ast.ts";

/** Operators by precedence, the loosest first. */
const LEVELS: readonly (readonly BinaryOperator[])[] = [
  ["||"],
  ["&&"],
  ["==", "!="],
  ["<", "<=", ">", ">="],
  ["+", "-"],
  ["*", "/", "%"],
];
/** How many operators or accesses may follow each other: evaluation recurses into such chains. */
const MAX_CHAIN = 500;

const KEYWORDS: Readonly<Record<string, Value>> = { true: TRUE, false: FALSE, null: NULL };

const GRAMMAR: Grammar = { expression: parseExpression, loopHead: parseLoopHead };

/** The whole text under the cursor as a template. @throws BakeError "bake-syntax" */
export function parseTemplate(cursor: Cursor): Expression {
  return parseTemplateText(cursor, GRAMMAR);
}

/** @throws BakeError "bake-syntax" */
export function parseExpression(cursor: Cursor): Expression {
  return nested(cursor, cursor.newlines, () => {
    const condition = parseBinary(cursor, 0);
    if (accept(cursor, "?") === undefined) return condition;
    const yes = parseExpression(cursor);
    expect(cursor, ":", "between the two results of a condition");
    const no = parseExpression(cursor);
    return { kind: "conditional", condition, yes, no, range: { ...condition.range, end: no.range.end } };
  });
}

function parseBinary(cursor: Cursor, level: number): Expression {
  const operators = LEVELS[level];
  if (operators === undefined) return parseUnary(cursor);
  let left = parseBinary(cursor, level + 1);
  for (let count = 0; ; count++) {
    const token = peek(cursor);
    const operator = token.kind === "punctuation" ? operators.find(one => one === token.text) : undefined;
    if (operator === undefined) return left;
    if (count >= MAX_CHAIN) throw tooLong(cursor, token);
    cursor.at = token.end;
    const right = parseBinary(cursor, level + 1);
    left = { kind: "binary", operator, left, right, range: { ...left.range, end: right.range.end } };
  }
}

function tooLong(cursor: Cursor, token: Token): Error {
  return syntaxError(
    cursor,
    `an expression has more than ${MAX_CHAIN} operators in a row`,
    token.start,
    token.end,
  );
}

function parseUnary(cursor: Cursor): Expression {
  const token = peek(cursor);
  if (token.kind !== "punctuation" || (token.text !== "-" && token.text !== "!")) return parsePostfix(cursor);
  const operator = token.text;
  cursor.at = token.end;
  const operand = nested(cursor, cursor.newlines, () => parseUnary(cursor));
  const range = { ...rangeOf(cursor, token.start, token.end), end: operand.range.end };
  return { kind: "unary", operator, operand, range };
}

function parsePostfix(cursor: Cursor): Expression {
  return parseSteps(cursor, parsePrimary(cursor));
}

/** All accesses and splats that follow `expression`. */
function parseSteps(cursor: Cursor, expression: Expression): Expression {
  for (let count = 0; ; count++) {
    const token = peek(cursor);
    if (token.text !== "." && token.text !== "[") return expression;
    if (count >= MAX_CHAIN) throw tooLong(cursor, token);
    const splat = parseSplat(cursor, expression);
    expression = splat ?? parseAccess(cursor, expression);
  }
}

/** One `.name`, `.0` or `[key]` after `object`. */
function parseAccess(cursor: Cursor, object: Expression): Expression {
  const token = take(cursor);
  const to = (end: number): Expression["range"] => ({
    ...object.range,
    end: Math.max(object.range.end, cursor.place(end)),
  });
  if (token.text === ".") {
    const name = take(cursor);
    if (name.kind === "identifier") {
      return {
        kind: "attribute",
        object,
        name: name.text,
        nameRange: rangeOf(cursor, name.start, name.end),
        range: to(name.end),
      };
    }
    if (name.kind === "number" && /^\d+$/.test(name.text)) {
      return { kind: "index", object, key: numberLiteral(cursor, name), range: to(name.end) };
    }
    const hint = name.kind === "number" ? "write an index in brackets: [0][1]" : undefined;
    throw syntaxError(
      cursor,
      `expected a name after ".", found ${describeToken(name)}`,
      name.start,
      name.end,
      hint,
    );
  }
  const key = nested(cursor, false, () => parseExpression(cursor));
  const close = nested(cursor, false, () => expect(cursor, "]", "after an index"));
  return { kind: "index", object, key, range: to(close.end) };
}

/** `.*` takes the names after it along, `[*]` names and indexes. */
function parseSplat(cursor: Cursor, object: Expression): Expression | undefined {
  const start = cursor.at;
  const open = take(cursor);
  const star = open.text === "[" ? nested(cursor, false, () => accept(cursor, "*")) : accept(cursor, "*");
  if (star === undefined) {
    cursor.at = start;
    return undefined;
  }
  let end = star.end;
  if (open.text === "[") end = nested(cursor, false, () => expect(cursor, "]", "after [*")).end;
  let each: Expression = { kind: "item", range: rangeOf(cursor, open.start, end) };
  if (open.text === "[") each = nested(cursor, cursor.newlines, () => parseSteps(cursor, each));
  else {
    for (let count = 0; count < MAX_CHAIN && peek(cursor).text === "."; count++) {
      const before = cursor.at;
      take(cursor);
      const another = accept(cursor, "*");
      cursor.at = before;
      if (another !== undefined) break;
      each = parseAccess(cursor, each);
    }
  }
  return {
    kind: "splat",
    object,
    each,
    range: { ...object.range, end: Math.max(object.range.end, each.range.end) },
  };
}

function numberLiteral(cursor: Cursor, token: Token): Expression {
  const value = parseNumber(token.text);
  if (value === undefined)
    throw syntaxError(cursor, `the number "${token.text}" is too large`, token.start, token.end);
  return { kind: "literal", value: numberValue(value), range: rangeOf(cursor, token.start, token.end) };
}

function parsePrimary(cursor: Cursor): Expression {
  const token = take(cursor);
  switch (token.kind) {
    case "number":
      return numberLiteral(cursor, token);
    case "quote":
      return parseQuoted(cursor, token, GRAMMAR);
    case "heredoc":
      return parseHeredoc(cursor, token, GRAMMAR);
    case "identifier":
      return parseName(cursor, token);
    case "punctuation":
      if (token.text === "(") {
        const inner = nested(cursor, false, () => parseExpression(cursor));
        const close = nested(cursor, false, () => expect(cursor, ")", "after an expression in parentheses"));
        return { kind: "parentheses", inner, range: rangeOf(cursor, token.start, close.end) };
      }
      if (token.text === "[") return parseTuple(cursor, token);
      if (token.text === "{") return parseObject(cursor, token);
      break;
    case "newline":
    case "end":
    case "invalid":
      break;
  }
  throw syntaxError(
    cursor,
    `expected an expression, found ${describeToken(token)}`,
    token.start,
    token.end,
    token.text === "'" ? "strings are written in double quotes" : undefined,
  );
}

function parseName(cursor: Cursor, token: Token): Expression {
  const range = rangeOf(cursor, token.start, token.end);
  const next = peek(cursor);
  if (next.text === "(") return parseCall(cursor, token);
  const constant = Object.hasOwn(KEYWORDS, token.text) ? KEYWORDS[token.text] : undefined;
  if (constant !== undefined) return { kind: "literal", value: constant, range };
  return { kind: "variable", name: token.text, range };
}

function parseCall(cursor: Cursor, name: Token): Expression {
  take(cursor);
  return nested(cursor, false, () => {
    const args: Expression[] = [];
    let expand = false;
    let close = accept(cursor, ")");
    while (close === undefined) {
      args.push(parseExpression(cursor));
      expand = accept(cursor, "...") !== undefined;
      if (expand) close = expect(cursor, ")", 'after "..."');
      else if (accept(cursor, ",") === undefined)
        close = expect(cursor, ")", `after the arguments of "${name.text}"`);
      else close = accept(cursor, ")");
    }
    const nameRange = rangeOf(cursor, name.start, name.end);
    return {
      kind: "call",
      name: name.text,
      nameRange,
      args,
      expand,
      range: rangeOf(cursor, name.start, close.end),
    };
  });
}

function parseTuple(cursor: Cursor, open: Token): Expression {
  return nested(cursor, false, () => {
    if (isFor(cursor)) return parseFor(cursor, open, "]");
    const items: Expression[] = [];
    let close = accept(cursor, "]");
    while (close === undefined) {
      items.push(parseExpression(cursor));
      if (accept(cursor, ",") === undefined)
        close = expect(cursor, "]", "or a comma after an item of a list");
      else close = accept(cursor, "]");
    }
    return { kind: "tuple", items, range: rangeOf(cursor, open.start, close.end) };
  });
}

function isFor(cursor: Cursor): boolean {
  const next = peek(cursor);
  return next.kind === "identifier" && next.text === "for";
}

function parseObject(cursor: Cursor, open: Token): Expression {
  const start = cursor.at;
  const first = nested(cursor, false, () => {
    if (!isFor(cursor)) return undefined;
    // `{ for = 1 }` is an ordinary key.
    take(cursor);
    const isLoop = peek(cursor).kind === "identifier";
    cursor.at = start;
    return isLoop ? parseFor(cursor, open, "}") : undefined;
  });
  if (first !== undefined) return first;
  return nested(cursor, true, () => {
    const entries: ObjectEntry[] = [];
    for (;;) {
      while (peek(cursor).kind === "newline") take(cursor);
      const close = accept(cursor, "}");
      if (close !== undefined)
        return { kind: "object", entries, range: rangeOf(cursor, open.start, close.end) };
      const key = parseKey(cursor);
      const separator = take(cursor);
      if (separator.text !== "=" && separator.text !== ":") {
        const message = `expected "=" or ":" after a key of an object, found ${describeToken(separator)}`;
        throw syntaxError(cursor, message, separator.start, separator.end);
      }
      while (peek(cursor).kind === "newline") take(cursor);
      const value = parseExpression(cursor);
      entries.push({ key, value });
      const next = peek(cursor);
      if (next.text === "," || next.kind === "newline") take(cursor);
      else if (next.text !== "}") {
        const message = `expected a new line, a comma or "}" after an entry of an object, found ${describeToken(next)}`;
        throw syntaxError(cursor, message, next.start, next.end);
      }
    }
  });
}

/** A bare name is a text; anything else is an expression. */
function parseKey(cursor: Cursor): Expression {
  const token = peek(cursor);
  const start = cursor.at;
  if (token.kind === "identifier") {
    take(cursor);
    const next = peek(cursor).text;
    if (next === "=" || next === ":") {
      return {
        kind: "literal",
        value: stringValue(token.text),
        range: rangeOf(cursor, token.start, token.end),
      };
    }
    cursor.at = start;
  }
  return parseExpression(cursor);
}

/** The names and the collection of a loop, from `for` up to and including the collection. */
function parseLoopHead(cursor: Cursor): {
  keyName: string | undefined;
  valueName: string;
  collection: Expression;
} {
  take(cursor);
  const name = (): string => {
    const token = take(cursor);
    if (token.kind === "identifier") return token.text;
    throw syntaxError(
      cursor,
      `expected a name after "for", found ${describeToken(token)}`,
      token.start,
      token.end,
    );
  };
  const firstName = name();
  const secondName = accept(cursor, ",") === undefined ? undefined : name();
  expect(cursor, "in", "after the names of a loop");
  const collection = parseExpression(cursor);
  return secondName === undefined
    ? { keyName: undefined, valueName: firstName, collection }
    : { keyName: firstName, valueName: secondName, collection };
}

function parseFor(cursor: Cursor, open: Token, closing: "]" | "}"): Expression {
  const head = parseLoopHead(cursor);
  expect(cursor, ":", "after the collection of a loop");
  let value = parseExpression(cursor);
  let key: Expression | undefined;
  if (closing === "}") {
    expect(cursor, "=>", "after the key of an object loop");
    key = value;
    value = parseExpression(cursor);
  }
  const dots = accept(cursor, "...");
  if (dots !== undefined && key === undefined) {
    throw syntaxError(cursor, 'grouping with "..." needs an object loop', dots.start, dots.end);
  }
  const condition = accept(cursor, "if") === undefined ? undefined : parseExpression(cursor);
  const close = expect(cursor, closing, "at the end of a loop");
  const range = rangeOf(cursor, open.start, close.end);
  return { kind: "for", ...head, key, value, condition, group: dots !== undefined, range };
}
