// Variables, globals and functions, each resolved when something first mentions it. The limits are those of buildx:
// a name without definition may be mentioned once (so that try() can handle it), but not twice.
import { BakeError } from "../diagnostic/error.ts";
import { didYouMean } from "../diagnostic/suggest.ts";
import type { Range } from "../diagnostic/source.ts";
import type { Collected } from "./collect.ts";
import { SPECIAL, convertAt, evaluate, type Evaluation, type Scope } from "./hcl/expression.ts";
import { param, type BakeFunction } from "./hcl/functions/function.ts";
import { typeFromExpression } from "./hcl/type-expression.ts";
import { DYNAMIC, NULL, stringValue, type Type, type Value } from "./hcl/value.ts";
import { mentionsOf } from "./hcl/walk.ts";
import { evaluateError, schemaError } from "./problems.ts";
import { valueFromText } from "./variable.ts";
import type { Expression } from "./hcl/ast.ts";

export interface NamesOptions {
  readonly collected: Collected;
  readonly builtins: ReadonlyMap<string, string>;
  readonly lookUp: (name: string) => string | undefined;
  /** Where values go; `root` shows them. */
  readonly values: Map<string, Value>;
  readonly root: Scope;
  readonly run: Evaluation;
  /** Where resolved functions go. */
  readonly known: Map<string, BakeFunction>;
  /** Makes `target.NAME.ATTRIBUTE` available; false when blocks cannot be mentioned yet. */
  readonly loadReference: (
    type: "target" | "group",
    steps: readonly (string | undefined)[],
    range: Range,
  ) => boolean;
}

export interface Names {
  /** Makes everything available that an expression mentions. @throws BakeError */
  readonly load: (
    expression: Expression,
    scope: Scope,
    hidden: ReadonlySet<string>,
    allowMissing: boolean,
  ) => void;
  readonly resolveName: (name: string, scope: Scope, range: Range) => void;
  readonly resolveFunction: (name: string, range: Range) => void;
}

/** Variables that refer to each other in longer chains than this are refused before the stack ends. */
const MAX_CHAIN = 200;

/** Marks a name that has no definition; callers may let it pass so that try() can handle it. */
class UndefinedName extends BakeError {}

export function createNames({
  collected,
  builtins,
  lookUp,
  values,
  root,
  run,
  known,
  loadReference,
}: NamesOptions): Names {
  const { variables, functions, globals } = collected;
  const seenNames = new Map<Scope, Set<string>>();
  const seenFunctions = new Set<string>();
  let chain = 0;

  /** Makes everything available that an expression mentions. */
  function load(
    expression: Expression,
    scope: Scope,
    hidden: ReadonlySet<string>,
    allowMissing: boolean,
  ): void {
    const { names, functions: calls } = mentionsOf(expression);
    const tolerate = (range: Range, step: () => void): void => {
      try {
        step();
      } catch (thrown) {
        if (thrown instanceof UndefinedName && allowMissing) return;
        throw thrown instanceof BakeError ? thrown.at(range) : thrown;
      }
    };
    for (const { name, range } of calls) tolerate(range, () => resolveFunction(name, range));
    for (const { name, steps, range } of names) {
      if (hidden.has(name)) continue;
      tolerate(range, () => {
        const isBlock = name === "target" || name === "group";
        if (!isBlock || !loadReference(name, steps, range)) resolveName(name, scope, range);
      });
    }
  }

  function resolveFunction(name: string, range: Range): void {
    if (known.has(name) || Object.hasOwn(SPECIAL, name)) return;
    const block = functions.get(name);
    if (block === undefined) {
      const hint = didYouMean(name, [...known.keys(), ...functions.keys(), ...Object.keys(SPECIAL)]);
      throw new UndefinedName("bake-evaluate", `unknown function "${name}"`, { range, hint });
    }
    if (seenFunctions.has(name)) throw evaluateError(`the function "${name}" calls itself`, range);
    seenFunctions.add(name);
    const find = (attribute: string): Expression | undefined =>
      block.body.attributes.find(one => one.name === attribute)?.expression;
    const params = find("params");
    const result = find("result");
    if (params === undefined || result === undefined)
      throw schemaError(`the function "${name}" is incomplete`, block.headRange);
    if (params.kind !== "tuple")
      throw schemaError(
        "params must be a list of names",
        params.range,
        'for example ["a", "b"] without quotes: [a, b]',
      );
    const names = params.items.map(expectName);
    const rest = find("variadic_params");
    const restName = rest === undefined ? undefined : expectName(rest);
    load(result, root, new Set(restName === undefined ? names : [...names, restName]), false);
    known.set(name, {
      params: names.map(one => param(one)),
      ...(restName !== undefined && { variadic: param(restName) }),
      call: args => {
        const bound = new Map(names.map((one, i) => [one, args[i] ?? NULL] as const));
        if (restName !== undefined) bound.set(restName, { kind: "tuple", items: args.slice(names.length) });
        return evaluate(result, { parent: root, variables: bound }, run);
      },
    });
  }

  function expectName(expression: Expression): string {
    if (expression.kind === "variable") return expression.name;
    throw schemaError("a parameter must be a plain name", expression.range);
  }

  function resolveName(name: string, scope: Scope, range: Range): void {
    if (values.has(name) || scope.variables.has(name)) return;
    let seen = seenNames.get(scope);
    if (seen === undefined) seenNames.set(scope, (seen = new Set()));
    if (seen.has(name)) {
      const defined = variables.has(name) || globals.has(name);
      const hint = defined ? "its value depends on itself" : undeclaredHint(name);
      throw evaluateError(
        defined ? `the variable "${name}" refers to itself` : `unknown variable "${name}"`,
        range,
        hint,
      );
    }
    seen.add(name);
    if (++chain > MAX_CHAIN)
      throw evaluateError(`more than ${MAX_CHAIN} variables refer to each other in a row`, range);
    try {
      const value = valueOfName(name, scope, range);
      values.set(name, value);
    } finally {
      chain--;
    }
  }

  function undeclaredHint(name: string): string | undefined {
    return didYouMean(name, [...variables.keys(), ...globals.keys(), ...builtins.keys()]);
  }

  function valueOfName(name: string, scope: Scope, range: Range): Value {
    const builtin = builtins.get(name);
    if (builtin !== undefined) return stringValue(builtin);
    const global = globals.get(name);
    const variable = variables.get(name);
    let type: Type = DYNAMIC;
    let typed = false;
    let source = global;
    let from = scope;
    if (global === undefined) {
      if (variable === undefined) {
        throw new UndefinedName("bake-evaluate", `unknown variable "${name}"`, {
          range,
          hint: undeclaredHint(name),
        });
      }
      source = variable.fallback;
      from = root;
      if (
        variable.type !== undefined &&
        !(variable.type.kind === "literal" && variable.type.value.kind === "null")
      ) {
        type = typeFromExpression(variable.type);
        typed = true;
        variable.constraint = type;
      }
    }
    const given = variable === undefined ? undefined : overrideOf(name, typed);
    if (source === undefined && given === undefined) return typed ? { kind: "null", type } : stringValue("");
    let value: Value = NULL;
    if (source !== undefined) {
      load(source.expression, from, new Set(), true);
      value = convertAt(evaluate(source.expression, from, run), type, source.expression.range);
    }
    if (given === undefined) return value;
    const at = variable?.block.headRange ?? range;
    try {
      return valueFromText(name, given, source === undefined ? undefined : value, typed ? type : undefined);
    } catch (thrown) {
      if (!(thrown instanceof BakeError)) throw thrown;
      throw evaluateError(
        thrown.message.includes(`"${name}"`)
          ? thrown.message
          : `the value given for the variable "${name}" does not fit: ${thrown.message}`,
        at,
        thrown.diagnostics[0]?.hint,
      );
    }
  }

  function overrideOf(
    name: string,
    preferJson: boolean,
  ): { readonly text: string; readonly json: boolean } | undefined {
    const plain = lookUp(name);
    if (plain === undefined || preferJson) {
      const jsonName = `${name}_JSON`;
      if (!variables.has(jsonName) && !builtins.has(jsonName)) {
        const json = lookUp(jsonName);
        if (json !== undefined) return { text: json, json: true };
      }
    }
    return plain === undefined ? undefined : { text: plain, json: false };
  }

  return { load, resolveName, resolveFunction };
}
