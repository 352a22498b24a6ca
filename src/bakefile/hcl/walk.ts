// What an expression mentions: names outside of its own loops, and functions.
import type { Expression, TemplatePart } from "./ast.ts";
import type { Range } from "../../diagnostic/source.ts";

export interface Mentions {
  /** Root names with the fixed steps after them, in source order. */
  readonly names: readonly Mention[];
  readonly functions: readonly { readonly name: string; readonly range: Range }[];
}

export interface Mention {
  readonly name: string;
  /** `.step` and `["step"]`, as far as they are fixed; undefined stands for an index. */
  readonly steps: readonly (string | undefined)[];
  readonly range: Range;
}

const cache = new WeakMap<Expression, Mentions>();

/** Found out once for each expression. */
export function mentionsOf(expression: Expression): Mentions {
  let found = cache.get(expression);
  if (found === undefined) {
    const names: Mention[] = [];
    const functions: { name: string; range: Range }[] = [];
    visit(expression, new Set(), names, functions);
    found = { names, functions };
    cache.set(expression, found);
  }
  return found;
}

/** The fixed steps of `a.b["c"]`, or undefined when the expression is no such path. */
export function pathOf(expression: Expression): Mention | undefined {
  switch (expression.kind) {
    case "variable":
      return { name: expression.name, steps: [], range: expression.range };
    case "attribute": {
      const base = pathOf(expression.object);
      return base && { ...base, steps: [...base.steps, expression.name], range: expression.range };
    }
    case "index": {
      const base = pathOf(expression.object);
      return base && expression.key.kind === "literal"
        ? { ...base, steps: [...base.steps, undefined], range: expression.range }
        : undefined;
    }
    default:
      return undefined;
  }
}

function visit(
  expression: Expression,
  bound: ReadonlySet<string>,
  names: Mention[],
  functions: { name: string; range: Range }[],
): void {
  const go = (one: Expression, inside = bound): void => visit(one, inside, names, functions);
  const path = pathOf(expression);
  if (path !== undefined) {
    if (!bound.has(path.name)) names.push(path);
    return;
  }
  switch (expression.kind) {
    case "literal":
    case "item":
    case "variable":
      return;
    case "template":
      visitParts(expression.parts, bound, go);
      return;
    case "wrap":
    case "parentheses":
      go(expression.inner);
      return;
    case "attribute":
      go(expression.object);
      return;
    case "index":
      go(expression.object);
      go(expression.key);
      return;
    case "splat":
      go(expression.object);
      go(expression.each);
      return;
    case "call":
      functions.push({ name: expression.name, range: expression.nameRange });
      for (const arg of expression.args) go(arg);
      return;
    case "conditional":
      go(expression.condition);
      go(expression.yes);
      go(expression.no);
      return;
    case "binary":
      go(expression.left);
      go(expression.right);
      return;
    case "unary":
      go(expression.operand);
      return;
    case "tuple":
      for (const item of expression.items) go(item);
      return;
    case "object":
      for (const { key, value } of expression.entries) {
        go(key);
        go(value);
      }
      return;
    case "for": {
      go(expression.collection);
      const inside = withNames(bound, expression.keyName, expression.valueName);
      if (expression.key !== undefined) go(expression.key, inside);
      go(expression.value, inside);
      if (expression.condition !== undefined) go(expression.condition, inside);
      return;
    }
    default: {
      const never: never = expression;
      return never;
    }
  }
}

function visitParts(
  parts: readonly TemplatePart[],
  bound: ReadonlySet<string>,
  go: (one: Expression, inside: ReadonlySet<string>) => void,
): void {
  for (const part of parts) {
    switch (part.kind) {
      case "text":
        break;
      case "interpolation":
        go(part.expression, bound);
        break;
      case "if":
        go(part.condition, bound);
        visitParts(part.yes, bound, go);
        visitParts(part.no, bound, go);
        break;
      case "for":
        go(part.collection, bound);
        visitParts(part.parts, withNames(bound, part.keyName, part.valueName), go);
        break;
      default: {
        const never: never = part;
        return never;
      }
    }
  }
}

function withNames(
  bound: ReadonlySet<string>,
  keyName: string | undefined,
  valueName: string,
): ReadonlySet<string> {
  return new Set([...bound, ...(keyName === undefined ? [] : [keyName]), valueName]);
}
