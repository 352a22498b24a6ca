// Which item of a written list or object is the wrong one: so that it is underlined instead of the whole.
import { BakeError } from "../diagnostic/error.ts";
import type { Diagnostic } from "../diagnostic/diagnostic.ts";
import type { Range } from "../diagnostic/source.ts";
import { objectValue, tupleValue, type Value } from "./hcl/value.ts";
import type { Expression } from "./hcl/ast.ts";

/**
 * Reads the value of an expression. When that fails, every item of a written list or object is read by itself and
 * those that fail are reported at their own places; `read` must accept lists and objects of any size.
 * @throws BakeError with a range
 */
export function readAt<T>(expression: Expression, value: Value, read: (value: Value) => T): T {
  try {
    return read(value);
  } catch (thrown) {
    if (!(thrown instanceof BakeError)) throw thrown;
    if (thrown.diagnostics[0]?.range !== undefined) throw thrown;
    const failures: Diagnostic[] = [];
    for (const { part, range } of partsOf(expression, value)) {
      try {
        read(part);
      } catch (inner) {
        if (!(inner instanceof BakeError)) throw inner;
        failures.push(...inner.at(range).diagnostics);
      }
    }
    throw failures.length > 0 ? BakeError.ofDiagnostics(failures) : thrown.at(expression.range);
  }
}

/** The items of a list or object by themselves, each as a list or object of one; empty when it is not written out. */
function partsOf(
  expression: Expression,
  value: Value,
): readonly { readonly part: Value; readonly range: Range }[] {
  if (expression.kind === "parentheses" || expression.kind === "wrap")
    return partsOf(expression.inner, value);
  if (expression.kind === "tuple" && value.kind === "tuple") {
    return expression.items.flatMap((item, i) => {
      const part = value.items[i];
      return part === undefined ? [] : [{ part: tupleValue([part]), range: item.range }];
    });
  }
  if (expression.kind === "object" && value.kind === "object") {
    return expression.entries.flatMap(entry => {
      const key = literalText(entry.key);
      const part = key === undefined ? undefined : value.entries.get(key);
      if (key === undefined || part === undefined) return [];
      return [{ part: objectValue([[key, part]]), range: entry.value.range }];
    });
  }
  return [];
}

/** Where the strings of a written list, or the keys of a written object, stand. */
export function rangesByText(expression: Expression, texts: readonly string[]): ReadonlyMap<string, Range> {
  const out = new Map<string, Range>();
  if (expression.kind === "parentheses" || expression.kind === "wrap")
    return rangesByText(expression.inner, texts);
  if (expression.kind === "tuple" && expression.items.length === texts.length) {
    for (const [i, text] of texts.entries()) {
      const range = expression.items[i]?.range;
      if (range !== undefined && !out.has(text)) out.set(text, range);
    }
  } else if (expression.kind === "object") {
    for (const { key, value } of expression.entries) {
      const text = literalText(key);
      if (text !== undefined) out.set(text, value.range);
    }
  }
  return out;
}

function literalText(expression: Expression): string | undefined {
  return expression.kind === "literal" && expression.value.kind === "string"
    ? expression.value.value
    : undefined;
}
