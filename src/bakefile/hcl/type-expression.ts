// Type constraints: `string`, `list(number)`, `object({a = string, b = optional(bool)})`
// (hashicorp/hcl ext/typeexpr).
import { BakeError } from "../../diagnostic/error.ts";
import { didYouMean } from "../../diagnostic/suggest.ts";
import { BOOL, DYNAMIC, NUMBER, STRING, type Type } from "./value.ts";
import type { Expression } from "./ast.ts";

const NAMED: Readonly<Record<string, Type>> = { string: STRING, number: NUMBER, bool: BOOL, any: DYNAMIC };
const CONSTRUCTORS = ["list", "set", "map", "object", "tuple"];

/** @throws BakeError "bake-schema" */
export function typeFromExpression(expression: Expression): Type {
  const inner = expression.kind === "parentheses" ? expression.inner : expression;
  if (inner.kind === "variable") {
    const named = Object.hasOwn(NAMED, inner.name) ? NAMED[inner.name] : undefined;
    if (named !== undefined) return named;
    if (CONSTRUCTORS.includes(inner.name)) {
      throw problem(inner, `the type "${inner.name}" needs an argument`, `for example ${inner.name}(string)`);
    }
    throw problem(
      inner,
      `unknown type "${inner.name}"`,
      didYouMean(inner.name, [...Object.keys(NAMED), ...CONSTRUCTORS]),
    );
  }
  if (inner.kind !== "call") {
    throw problem(
      inner,
      "expected a type",
      "for example string, number, bool, any, list(string) or object({...})",
    );
  }
  const [arg] = inner.args;
  switch (inner.name) {
    case "list":
    case "set":
    case "map":
      return { kind: inner.name, element: typeFromExpression(onlyArgument(inner)) };
    case "tuple": {
      const only = onlyArgument(inner);
      if (only.kind !== "tuple")
        throw problem(only, 'the type "tuple" needs a list of types', "for example tuple([string, number])");
      return { kind: "tuple", elements: only.items.map(typeFromExpression) };
    }
    case "object":
      return objectType(onlyArgument(inner));
    case "optional":
      throw problem(inner, '"optional" is only allowed for attributes of an object type');
    default:
      if (Object.hasOwn(NAMED, inner.name) && arg !== undefined)
        throw problem(inner, `the type "${inner.name}" takes no argument`);
      throw problem(inner, `unknown type "${inner.name}"`, didYouMean(inner.name, CONSTRUCTORS));
  }
}

function onlyArgument(call: Extract<Expression, { kind: "call" }>): Expression {
  const [only] = call.args;
  if (only === undefined || call.args.length > 1)
    throw problem(call, `the type "${call.name}" needs exactly one argument`);
  return only;
}

function objectType(expression: Expression): Type {
  if (expression.kind !== "object") {
    throw problem(
      expression,
      'the type "object" needs names and types',
      "for example object({name = string})",
    );
  }
  const attributes = new Map<string, Type>();
  const optional = new Set<string>();
  for (const { key, value } of expression.entries) {
    if (key.kind !== "literal" || key.value.kind !== "string")
      throw problem(key, "attributes of an object type are plain names");
    const name = key.value.value;
    if (value.kind === "call" && value.name === "optional") {
      attributes.set(name, typeFromExpression(onlyArgument(value)));
      optional.add(name);
    } else attributes.set(name, typeFromExpression(value));
  }
  return { kind: "object", attributes, optional };
}

function problem(expression: Expression, message: string, hint?: string): BakeError {
  return new BakeError("bake-schema", message, { range: expression.range, hint });
}
