// Evaluation of HCL expressions (hashicorp/hcl hclsyntax/spec.md). Every failure is a BakeError that points into the
// source.
import { BakeError } from "../../diagnostic/error.ts";
import type { Diagnostic } from "../../diagnostic/diagnostic.ts";
import type { Range } from "../../diagnostic/source.ts";
import { convert, describe, unify } from "./convert.ts";
import { getAttribute, getIndex, keyText, lookUp } from "./access.ts";
import {
  conditionHolds,
  convertAt,
  failAt,
  hintFor,
  spend,
  weighed,
  type Evaluation,
  type Scope,
} from "./evaluation.ts";
import { MAX_TEXT } from "./functions/function.ts";
import * as number from "./number.ts";
import { typeFromExpression } from "./type-expression.ts";
import {
  BOOL,
  NULL,
  NUMBER,
  boolValue,
  equalValues,
  listValue,
  numberValue,
  objectValue,
  scalarText,
  stringValue,
  tupleValue,
  typeOf,
  unwrapItems,
  type Type,
  type Value,
} from "./value.ts";
import type { BinaryOperator, Expression, ForExpression, TemplatePart } from "./ast.ts";

/** Problems of one list or object after which its further ones are not kept. */
const MAX_FAILURES = 50;

/** @throws BakeError "bake-evaluate" or "bake-schema" */
export function evaluate(expression: Expression, scope: Scope, run: Evaluation, item?: Value): Value {
  spend(run, 1, expression.range);
  const go = (one: Expression): Value => evaluate(one, scope, run, item);
  switch (expression.kind) {
    case "literal":
      return expression.value;
    case "template":
      return stringValue(renderParts(expression.parts, scope, run, item).normalize("NFC"));
    case "wrap":
    case "parentheses":
      return go(expression.inner);
    case "variable":
      return lookUp(expression.name, scope, expression.range, run);
    case "item":
      return item ?? NULL;
    case "attribute":
      return getAttribute(go(expression.object), expression.name, expression.nameRange);
    case "index":
      return getIndex(go(expression.object), go(expression.key), expression.key.range, expression.range);
    case "splat":
      return splat(go(expression.object), expression.each, scope, run);
    case "call":
      return weighed(call(expression, scope, run, item), expression.range);
    case "conditional":
      return conditional(expression, scope, run, item);
    case "binary":
      return binary(expression, scope, run, item);
    case "unary": {
      const operand = operandOf(
        go(expression.operand),
        expression.operator === "!" ? BOOL : NUMBER,
        expression.operand.range,
      );
      if (operand.kind === "bool") return boolValue(!operand.value);
      return operand.kind === "number" ? numberValue(number.negate(operand.value)) : operand;
    }
    case "tuple":
      return weighed(tupleValue(evaluateEach(expression.items, go, run)), expression.range);
    case "object":
      return weighed(
        objectValue(
          evaluateEach(
            expression.entries,
            ({ key, value }) => {
              const name = keyText(go(key), key.range);
              return [name, go(value)] as const;
            },
            run,
          ),
        ),
        expression.range,
      );
    case "for":
      return weighed(loop(expression, scope, run, item), expression.range);
    default: {
      const never: never = expression;
      return never;
    }
  }
}

/** The values of all items; when some fail, the problems of all of them. */
function evaluateEach<T, R>(items: readonly T[], step: (item: T) => R, run: Evaluation): R[] {
  const results: R[] = [];
  const failures: Diagnostic[] = [];
  for (const item of items) {
    try {
      results.push(step(item));
    } catch (thrown) {
      if (!(thrown instanceof BakeError) || run.budget < 0) throw thrown;
      if (failures.length < MAX_FAILURES) failures.push(...thrown.diagnostics);
    }
  }
  if (failures.length > 0) throw BakeError.ofDiagnostics(failures);
  return results;
}

function splat(object: Value, each: Expression, scope: Scope, run: Evaluation): Value {
  if (object.kind === "null") return tupleValue([]);
  const items = unwrapItems(object) ?? [object];
  const results = items.map(item => evaluate(each, scope, run, item));
  if (object.kind !== "list" && object.kind !== "set") return tupleValue(results);
  const element = unify(results.map(typeOf));
  return element === undefined
    ? tupleValue(results)
    : listValue(
        element,
        results.map(result => convert(result, element)),
      );
}

function operandOf(value: Value, type: Type, range: Range): Value {
  if (value.kind === "null") throw failAt(range, "an operand must not be null");
  return convertAt(value, type, range);
}

function binary(
  expression: Extract<Expression, { kind: "binary" }>,
  scope: Scope,
  run: Evaluation,
  item?: Value,
): Value {
  const { operator, left, right, range } = expression;
  if (operator === "&&" || operator === "||") return logical(expression, scope, run, item);
  const a = evaluate(left, scope, run, item);
  const b = evaluate(right, scope, run, item);
  if (operator === "==" || operator === "!=") return boolValue(equalValues(a, b) === (operator === "=="));
  const x = operandOf(a, NUMBER, left.range);
  const y = operandOf(b, NUMBER, right.range);
  if (x.kind !== "number" || y.kind !== "number") return NULL;
  return arithmetic(operator, x.value, y.value, range);
}

/** The right side is not needed, and may be wrong, when the left one decides. */
function logical(
  expression: Extract<Expression, { kind: "binary" }>,
  scope: Scope,
  run: Evaluation,
  item?: Value,
): Value {
  const { operator, left, right } = expression;
  const deciding = operator === "||";
  let failure: unknown;
  for (const side of [left, right]) {
    try {
      const value = operandOf(evaluate(side, scope, run, item), BOOL, side.range);
      if (value.kind === "bool" && value.value === deciding) return boolValue(deciding);
    } catch (thrown) {
      if (!(thrown instanceof BakeError) || run.budget < 0) throw thrown;
      failure ??= thrown;
    }
  }
  if (failure !== undefined) throw failure as Error;
  return boolValue(!deciding);
}

function arithmetic(operator: BinaryOperator, x: number.Num, y: number.Num, range: Range): Value {
  const order = (): number => number.compareNumbers(x, y);
  const result = (value: number.Num | undefined): Value => {
    if (value === undefined)
      throw failAt(range, `the result of "${operator}" is not defined for these numbers`);
    return numberValue(value);
  };
  switch (operator) {
    case "<":
      return boolValue(order() < 0);
    case "<=":
      return boolValue(order() <= 0);
    case ">":
      return boolValue(order() > 0);
    case ">=":
      return boolValue(order() >= 0);
    case "+":
      return result(number.add(x, y));
    case "-":
      return result(number.subtract(x, y));
    case "*":
      return result(number.multiply(x, y));
    case "/":
      return result(number.divide(x, y));
    default:
      return result(number.modulo(x, y));
  }
}

function conditional(
  expression: Extract<Expression, { kind: "conditional" }>,
  scope: Scope,
  run: Evaluation,
  item?: Value,
): Value {
  const condition = evaluate(expression.condition, scope, run, item);
  const [chosen, other] = conditionHolds(condition, expression.condition.range)
    ? [expression.yes, expression.no]
    : [expression.no, expression.yes];
  const value = evaluate(chosen, scope, run, item);
  let otherValue: Value;
  try {
    otherValue = evaluate(other, scope, run, item);
  } catch (thrown) {
    // The result that was not chosen may be wrong: then it has no type to agree with.
    if (!(thrown instanceof BakeError) || run.budget < 0) throw thrown;
    return value;
  }
  const type = unify([typeOf(value), typeOf(otherValue)]);
  if (type === undefined) {
    if (value.kind === "object" && otherValue.kind === "object") return value;
    throw failAt(
      expression.range,
      "both results of a condition must have one type",
      `they are ${describe(value)} and ${describe(otherValue)}`,
    );
  }
  // Objects with different attributes stay what they are instead of becoming maps.
  if (value.kind === "object" && otherValue.kind === "object" && type.kind === "map") return value;
  return convertAt(value, type, chosen.range);
}

function loop(expression: ForExpression, scope: Scope, run: Evaluation, item?: Value): Value {
  const list: Value[] = [];
  const entries = new Map<string, Value>();
  const groups = new Map<string, Value[]>();
  for (const inner of iterate(expression, evaluate(expression.collection, scope, run, item), scope)) {
    if (expression.condition !== undefined) {
      const condition = evaluate(expression.condition, inner, run, item);
      if (!conditionHolds(condition, expression.condition.range)) continue;
    }
    if (expression.key === undefined) {
      list.push(evaluate(expression.value, inner, run, item));
      continue;
    }
    const key = keyText(evaluate(expression.key, inner, run, item), expression.key.range);
    const value = evaluate(expression.value, inner, run, item);
    if (expression.group) {
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [value]);
      else group.push(value);
    } else if (entries.has(key)) {
      throw failAt(
        expression.key.range,
        `two items of the loop have the key "${key}"`,
        "write ... after the value to collect them in lists",
      );
    } else entries.set(key, value);
  }
  if (expression.key === undefined) return tupleValue(list);
  return objectValue(
    expression.group ? [...groups].map(([key, group]) => [key, tupleValue(group)] as const) : entries,
  );
}

/** One scope for each item of a collection. */
function* iterate(
  names: {
    readonly keyName: string | undefined;
    readonly valueName: string;
    readonly collection: Expression;
  },
  collection: Value,
  scope: Scope,
): Generator<Scope> {
  const at = names.collection.range;
  if (collection.kind === "null") throw failAt(at, "cannot loop over null");
  const bind = (key: Value, value: Value): Scope => ({
    parent: scope,
    variables: new Map([
      ...(names.keyName === undefined ? [] : [[names.keyName, key] as const]),
      [names.valueName, value] as const,
    ]),
  });
  if ("items" in collection) {
    for (const [i, value] of collection.items.entries()) {
      yield bind(collection.kind === "set" ? value : numberValue(number.numberFromInt(i)), value);
    }
  } else if ("entries" in collection) {
    for (const [key, value] of collection.entries) yield bind(stringValue(key), value);
  } else
    throw failAt(at, `cannot loop over ${describe(collection)}`, "a loop needs a list, set, map or object");
}

function renderParts(parts: readonly TemplatePart[], scope: Scope, run: Evaluation, item?: Value): string {
  let out = "";
  for (const part of parts) {
    switch (part.kind) {
      case "text":
        out += part.text;
        break;
      case "interpolation": {
        const value = evaluate(part.expression, scope, run, item);
        if (value.kind === "null") throw failAt(part.expression.range, "cannot insert null into a string");
        const text = scalarText(value);
        if (text === undefined) {
          throw failAt(
            part.expression.range,
            `cannot insert ${describe(value)} into a string`,
            "use join(), or jsonencode() for its JSON",
          );
        }
        out += text;
        break;
      }
      case "if": {
        const condition = evaluate(part.condition, scope, run, item);
        const holds = conditionHolds(condition, part.condition.range);
        out += renderParts(holds ? part.yes : part.no, scope, run, item);
        break;
      }
      case "for":
        for (const inner of iterate(part, evaluate(part.collection, scope, run, item), scope)) {
          run.budget--;
          out += renderParts(part.parts, inner, run, item);
          if (out.length > MAX_TEXT) break;
        }
        break;
      default: {
        const never: never = part;
        return never;
      }
    }
    if (out.length > MAX_TEXT) {
      throw new BakeError("bake-evaluate", `a string is longer than ${MAX_TEXT} characters`);
    }
  }
  return out;
}

function call(
  expression: Extract<Expression, { kind: "call" }>,
  scope: Scope,
  run: Evaluation,
  item?: Value,
): Value {
  const { name, nameRange, range } = expression;
  const special = Object.hasOwn(SPECIAL, name) ? SPECIAL[name] : undefined;
  if (special !== undefined) return special(expression, scope, run, item);
  const found = run.functions.get(name);
  if (found === undefined) {
    throw failAt(
      nameRange,
      `unknown function "${name}"`,
      hintFor(run, name, () => [...run.functions.keys(), ...Object.keys(SPECIAL)]),
    );
  }
  const args: { value: Value; range: Range }[] = expression.args.map(arg => ({
    value: evaluate(arg, scope, run, item),
    range: arg.range,
  }));
  if (expression.expand) {
    const last = args.pop();
    const items = last && unwrapItems(last.value);
    if (last === undefined || items === undefined) {
      throw failAt(last?.range ?? range, 'only a list, tuple or set can be expanded with "..."');
    }
    for (const value of items) args.push({ value, range: last.range });
  }
  const required = found.params.length;
  if (args.length < required || (args.length > required && found.variadic === undefined)) {
    const missing = found.params[args.length];
    const want = `it takes ${found.variadic ? "at least " : ""}${required} argument${required === 1 ? "" : "s"}`;
    const message = missing
      ? `the function "${name}" lacks its argument "${missing.name}"`
      : `the function "${name}" has too many arguments`;
    throw failAt(missing ? range : (args[required]?.range ?? range), message, want);
  }
  const values = args.map((arg, i) => {
    const parameter = found.params[i] ?? found.variadic;
    if (parameter === undefined) return arg.value;
    if (arg.value.kind === "null" && parameter.nullable !== true) {
      throw failAt(arg.range, `the argument "${parameter.name}" of "${name}" must not be null`);
    }
    return convertAt(arg.value, parameter.type, arg.range);
  });
  run.budget -= values.length;
  try {
    return found.call(values, run.host, steps => spend(run, steps, range));
  } catch (thrown) {
    if (!(thrown instanceof BakeError) || thrown.diagnostics[0]?.range !== undefined) throw thrown;
    throw failAt(nameRange, `${name}(): ${thrown.message}`, thrown.diagnostics[0]?.hint);
  }
}

type CallExpression = Extract<Expression, { kind: "call" }>;

/** Functions that look at their arguments as expressions. */
export const SPECIAL: Readonly<
  Record<string, (expression: CallExpression, scope: Scope, run: Evaluation, item?: Value) => Value>
> = {
  try: (expression, scope, run, item) => {
    let failure: unknown;
    for (const arg of expression.args) {
      try {
        return evaluate(arg, scope, run, item);
      } catch (thrown) {
        if (!(thrown instanceof BakeError) || run.budget < 0) throw thrown;
        failure ??= thrown;
      }
    }
    if (failure instanceof Error) throw failure;
    throw failAt(expression.range, '"try" needs at least one argument');
  },
  can: (expression, scope, run, item) => {
    const [only] = expression.args;
    if (only === undefined || expression.args.length > 1)
      throw failAt(expression.range, '"can" needs exactly one argument');
    try {
      evaluate(only, scope, run, item);
      return boolValue(true);
    } catch (thrown) {
      if (!(thrown instanceof BakeError) || run.budget < 0) throw thrown;
      return boolValue(false);
    }
  },
  convert: (expression, scope, run, item) => {
    const [subject, wanted] = expression.args;
    if (subject === undefined || wanted === undefined || expression.args.length > 2) {
      throw failAt(expression.range, '"convert" needs a value and a type');
    }
    const type = typeFromExpression(wanted);
    const value = evaluate(subject, scope, run, item);
    // An optional attribute is not filled in here, unlike in the type of a variable.
    const strict = type.kind === "object" ? { kind: type.kind, attributes: type.attributes } : type;
    return convertAt(value, strict, subject.range);
  },
};
