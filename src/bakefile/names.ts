// Variables, globals and functions, each resolved when something first mentions it. The limits are those of buildx:
// a name without definition may be mentioned once (so that try() can handle it), but not twice.
import { BakeError } from "../diagnostic/error.ts";
import type { Diagnostic } from "../diagnostic/diagnostic.ts";
import type { Range } from "../diagnostic/source.ts";
import type { Collected, VariableBlock } from "./collect.ts";
import type { VariableLayer, VariableOverride, VariableSource } from "./definition.ts";
import { convert } from "./hcl/convert.ts";
import { convertAt, hintFor, type Evaluation, type Scope } from "./hcl/evaluation.ts";
import { SPECIAL, evaluate } from "./hcl/expression.ts";
import { param, type BakeFunction } from "./hcl/functions/function.ts";
import { typeFromExpression } from "./hcl/type-expression.ts";
import { DYNAMIC, NULL, stringValue, type Type, type Value } from "./hcl/value.ts";
import { mentionsOf } from "./hcl/walk.ts";
import { readAt } from "./locate.ts";
import { FollowUp, evaluateError, inBlock, schemaError } from "./problems.ts";
import { valueFromText } from "./variable.ts";
import { attributeOf, type Block, type Expression } from "./hcl/ast.ts";

export interface NamesOptions {
  readonly collected: Collected;
  readonly builtins: ReadonlyMap<string, string>;
  /** What gives values to variables: levels that win over the later ones, each of layers that do so in turn. */
  readonly levels: readonly (readonly VariableLayer[])[];
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
  /** Whether something an expression mentions has failed, which has been told. */
  readonly dependsOnFailed: (expression: Expression) => boolean;
  /** All that gives a value to a variable, the one that counts first. */
  readonly sourcesOf: (variable: VariableBlock) => readonly VariableSource[];
}

/** Variables that refer to each other in longer chains than this are refused before the stack ends. */
const MAX_CHAIN = 200;

/** Marks a name that has no definition; callers may let it pass so that try() can handle it. */
class UndefinedName extends BakeError {}

/** Resolves nothing yet: names are resolved when something asks for them. */
export function createNames({
  collected,
  builtins,
  levels,
  values,
  root,
  run,
  known,
  loadReference,
}: NamesOptions): Names {
  const { variables, functions, globals } = collected;
  const seenNames = new Map<Scope, Set<string>>();
  const seenFunctions = new Set<string>();
  const failedNames = new Set<string>();
  const failedFunctions = new Set<string>();
  let chain = 0;

  /** Makes everything available that an expression mentions. */
  function load(
    expression: Expression,
    scope: Scope,
    hidden: ReadonlySet<string>,
    allowMissing: boolean,
  ): void {
    const { names, functions: calls } = mentionsOf(expression);
    const failures: Diagnostic[] = [];
    const missing: Diagnostic[] = [];
    let followUp: FollowUp | undefined;
    const tolerate = (range: Range, step: () => void): void => {
      try {
        step();
      } catch (thrown) {
        if (!(thrown instanceof BakeError)) throw thrown;
        if (thrown instanceof UndefinedName && allowMissing) missing.push(...thrown.at(range).diagnostics);
        else if (thrown instanceof FollowUp) followUp = thrown;
        else failures.push(...thrown.at(range).diagnostics);
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
    // What is missing is let pass: try() may handle it. When all fails anyway, it is told with the rest.
    if (failures.length > 0) throw BakeError.ofDiagnostics([...failures, ...missing]);
    if (missing.length > 0 && followUp !== undefined) throw BakeError.ofDiagnostics(missing);
    if (followUp !== undefined) throw followUp;
  }

  function resolveFunction(name: string, range: Range): void {
    if (known.has(name) || Object.hasOwn(SPECIAL, name)) return;
    if (failedFunctions.has(name)) throw new FollowUp(range);
    const block = functions.get(name);
    if (block === undefined) {
      const hint = hintFor(run, name, () => [...known.keys(), ...functions.keys(), ...Object.keys(SPECIAL)]);
      throw new UndefinedName("bake-evaluate", `unknown function "${name}"`, { range, hint });
    }
    if (seenFunctions.has(name)) throw evaluateError(`the function "${name}" calls itself`, range);
    seenFunctions.add(name);
    try {
      defineFunction(name, block);
    } catch (thrown) {
      failedFunctions.add(name);
      throw thrown;
    }
  }

  function defineFunction(name: string, block: Block): void {
    const find = (attribute: string): Expression | undefined => attributeOf(block, attribute)?.expression;
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
    if (failedNames.has(name)) throw new FollowUp(range);
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
    } catch (thrown) {
      if (variables.has(name) || globals.has(name)) failedNames.add(name);
      throw thrown;
    } finally {
      chain--;
    }
  }

  function undeclaredHint(name: string): string | undefined {
    return hintFor(run, name, function* () {
      for (const known of [variables, globals, builtins]) yield* known.keys();
    });
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
    const given = variable === undefined ? undefined : overridesOf(name, typed)[0];
    if (source === undefined && given === undefined) return typed ? { kind: "null", type } : stringValue("");
    let value: Value = NULL;
    if (source !== undefined) {
      load(source.expression, from, new Set(), true);
      const written = evaluate(source.expression, from, run);
      // Items of an object or tuple type cannot be read one by one.
      const { expression } = source;
      const typedAs = type;
      const read = (): Value =>
        "element" in typedAs
          ? readAt(expression, written, one => convert(one, typedAs))
          : convertAt(written, typedAs, expression.range);
      value = variable === undefined ? read() : inBlock(variable.block, read);
    }
    if (given === undefined) return value;
    const at = variable?.block.headRange ?? range;
    try {
      return valueFromText(
        name,
        { text: given.text, json: given.json },
        source === undefined ? undefined : value,
        typed ? type : undefined,
      );
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

  /** Texts given for a variable. Within one level, JSON wins when the type is declared, as in buildx. */
  function overridesOf(name: string, preferJson: boolean): readonly VariableOverride[] {
    const jsonName = `${name}_JSON`;
    const mayBeJson = !variables.has(jsonName) && !builtins.has(jsonName);
    const out: VariableOverride[] = [];
    for (const level of levels) {
      const given = (wanted: string, json: boolean): VariableOverride[] =>
        level.flatMap(layer => {
          const text = layer.lookUp(wanted);
          return text === undefined ? [] : [{ kind: layer.kind, file: layer.file, name: wanted, text, json }];
        });
      const plain = given(name, false);
      const json = mayBeJson ? given(jsonName, true) : [];
      out.push(...(preferJson ? [...json, ...plain] : [...plain, ...json]));
    }
    return out;
  }

  function sourcesOf({ name, constraint, fallback, earlier }: VariableBlock): readonly VariableSource[] {
    const global = globals.get(name);
    const written = [
      ...(global === undefined ? [] : [{ kind: "global", attribute: global } as const]),
      ...[fallback, ...earlier].flatMap(attribute =>
        attribute === undefined ? [] : [{ kind: "default", attribute } as const],
      ),
    ];
    return [...overridesOf(name, constraint !== undefined), ...written];
  }

  function dependsOnFailed(expression: Expression): boolean {
    const { names, functions: calls } = mentionsOf(expression);
    return (
      names.some(({ name }) => failedNames.has(name)) || calls.some(({ name }) => failedFunctions.has(name))
    );
  }

  return { load, resolveName, resolveFunction, dependsOnFailed, sourcesOf };
}
