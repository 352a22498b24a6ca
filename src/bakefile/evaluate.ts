// From syntax trees to targets and groups: variables, functions, matrices and references between blocks.
// Names are resolved when they are first needed, in the order and with the limits of buildx (its hclparser).
import { BakeError } from "../diagnostic/error.ts";
import type { Diagnostic } from "../diagnostic/diagnostic.ts";
import { didYouMean } from "../diagnostic/suggest.ts";
import type { Range } from "../diagnostic/source.ts";
import {
  fieldOfName,
  mergeTargets,
  readField,
  referenceValue,
  type Field,
  type TargetFields,
} from "./attributes.ts";
import { convert, describe } from "./hcl/convert.ts";
import { STEP_BUDGET, SPECIAL, convertAt, evaluate, type Evaluation, type Scope } from "./hcl/expression.ts";
import { param, type BakeFunction, type FunctionHost } from "./hcl/functions/function.ts";
import { standardLibrary } from "./hcl/functions/table.ts";
import { typeFromExpression } from "./hcl/type-expression.ts";
import {
  BOOL,
  DYNAMIC,
  NULL,
  STRING,
  listValue,
  objectValue,
  stringValue,
  typeName,
  typeOf,
  unwrapItems,
  type Type,
  type Value,
} from "./hcl/value.ts";
import { mentionsOf } from "./hcl/walk.ts";
import { typedValueFromJson, typedValueToJson, valueToJson } from "./json-value.ts";
import { extendOrigin, rebaseTarget, type ContextOrigin } from "./relative.ts";
import { collectionFromText, isCsvType, isPrimitive, primitiveFromText } from "./variable.ts";
import type { Attribute, Block, Body, Expression } from "./hcl/ast.ts";

export interface EvaluateOptions {
  /** The value given for a variable on the command line or in the environment. */
  readonly lookUp: (name: string) => string | undefined;
  /** Names with fixed values that no file can change. */
  readonly builtins: ReadonlyMap<string, string>;
  readonly host: FunctionHost;
  /** Whether contexts are relative to the file that sets them; default false: to the working directory. */
  readonly relativePaths?: boolean | undefined;
}

export interface GroupDefinition {
  readonly name: string;
  readonly description: string;
  /** Null prints as null. */
  readonly targets: readonly string[] | null;
  readonly range: Range | undefined;
}

export interface TargetDefinition {
  readonly name: string;
  readonly fields: TargetFields;
  /** The context when none is set: ".", or the folder of the file when paths are relative to files. */
  readonly defaultContext: string;
  /** Type and label of the first block that defines it. */
  readonly range: Range | undefined;
  /** Where single attributes were last written. */
  readonly attributeRanges: ReadonlyMap<Field, Range>;
}

export interface VariableInfo {
  readonly name: string;
  readonly description: string;
  readonly type: string | undefined;
  readonly value: string | undefined;
  readonly range: Range;
}

export interface Evaluated {
  readonly groups: readonly GroupDefinition[];
  readonly targets: readonly TargetDefinition[];
  readonly variables: readonly VariableInfo[];
}

const LABEL = /^[a-zA-Z0-9_-]+$/;
const BLOCK_TYPES = ["group", "target"] as const;
/** Variables that refer to each other in longer chains than this are refused before the stack ends. */
const MAX_CHAIN = 200;

/** Marks a name that has no definition; callers may let it pass so that try() can handle it. */
class UndefinedName extends BakeError {}

interface VariableBlock {
  readonly name: string;
  readonly block: Block;
  readonly type: Expression | undefined;
  readonly fallback: Attribute | undefined;
  readonly description: Attribute | undefined;
  constraint: Type | undefined;
}

interface BlockState {
  readonly block: Block;
  readonly scopes: readonly Scope[];
  readonly results: TargetFields[];
  readonly groups: { description: string; targets: readonly string[] | null }[];
  readonly done: Set<string>[];
  readonly running: Set<string>[];
  names: readonly string[] | undefined;
}

/**
 * Evaluates the merged bodies of all files, in the order of the files. Problems are added to `problems`; when one
 * stage has errors the later ones are not reached and undefined is returned.
 */
export function evaluateBodies(
  bodies: readonly Body[],
  options: EvaluateOptions,
  problems: Diagnostic[],
): Evaluated | undefined {
  const reserved = new Set<string>([...BLOCK_TYPES, ...options.builtins.keys()]);
  const variables = new Map<string, VariableBlock>();
  const functions = new Map<string, Block>();
  const globals = new Map<string, Attribute>();
  const blocks: Block[] = [];
  const values = new Map<string, Value>();
  const root: Scope = { parent: undefined, variables: values };
  const known = new Map<string, BakeFunction>(standardLibrary);
  const run: Evaluation = { functions: known, host: options.host, budget: STEP_BUDGET };
  const seenNames = new Map<Scope, Set<string>>();
  const seenFunctions = new Set<string>();
  const states = new Map<Block, BlockState>();
  const byName = new Map<string, Map<string, Block[]>>(
    BLOCK_TYPES.map(type => [type, new Map<string, Block[]>()]),
  );
  const references = new Map<string, Map<string, Value>>(
    BLOCK_TYPES.map(type => [type, new Map<string, Value>()]),
  );
  /** Blocks can be referred to once all of them have names; functions and names cannot do so. */
  let stage: "variables" | "names" | "blocks" = "variables";
  let chain = 0;
  const errorsBefore = countErrors();

  function countErrors(): number {
    return problems.filter(problem => problem.severity === "error").length;
  }

  function failed(): boolean {
    return countErrors() > errorsBefore;
  }

  function report(thrown: unknown, range: Range): void {
    if (!(thrown instanceof BakeError)) throw thrown;
    for (const diagnostic of thrown.at(range).diagnostics) {
      const again = problems.some(
        known =>
          known.message === diagnostic.message &&
          known.range?.source === diagnostic.range?.source &&
          known.range?.start === diagnostic.range?.start,
      );
      if (!again) problems.push(diagnostic);
    }
  }

  /** Runs one step; its failure becomes a problem. */
  function attempt<T>(range: Range, step: () => T): T | undefined {
    try {
      return step();
    } catch (thrown) {
      report(thrown, range);
      return undefined;
    }
  }

  function collect(): void {
    for (const body of bodies) {
      for (const attribute of body.attributes) {
        if (!reserved.has(attribute.name) && attribute.name !== "function" && attribute.name !== "variable") {
          globals.set(attribute.name, attribute);
        }
      }
      for (const block of body.blocks) {
        switch (block.type) {
          case "group":
          case "target":
          case "variable":
          case "function": {
            const [label, ...more] = block.labels;
            if (label === undefined || more.length > 0) {
              const range = more[0]?.range ?? block.headRange;
              const message =
                label === undefined ? `a ${block.type} needs a name` : `a ${block.type} has only one name`;
              report(schemaError(message, range, `${block.type} "name" { ... }`), range);
            } else if (block.type === "variable") collectVariable(label.text, block);
            else if (block.type === "function") collectFunction(label.text, block);
            else blocks.push(block);
            break;
          }
          default: {
            const hint = didYouMean(block.type, ["group", "target", "variable", "function"]);
            if (hint === undefined) break;
            const message = `the block "${block.type}" is ignored`;
            problems.push({
              severity: "warning",
              code: "bake-schema",
              message,
              range: block.headRange,
              hint,
            });
          }
        }
      }
    }
  }

  function collectVariable(name: string, block: Block): void {
    const find = (attribute: string): Attribute | undefined =>
      block.body.attributes.find(one => one.name === attribute);
    const rules = block.body.blocks.filter(inner => inner.type === "validation");
    for (const rule of rules) {
      if (!rule.body.attributes.some(one => one.name === "condition")) {
        report(schemaError("a validation needs a condition", rule.headRange), rule.headRange);
      }
    }
    if (reserved.has(name)) return;
    const type = find("type")?.expression;
    variables.set(name, {
      name,
      block,
      type,
      fallback: find("default"),
      description: find("description"),
      constraint: undefined,
    });
  }

  function collectFunction(name: string, block: Block): void {
    for (const attribute of block.body.attributes) {
      if (!["params", "variadic_params", "result"].includes(attribute.name)) {
        const hint = didYouMean(attribute.name, ["params", "variadic_params", "result"]);
        report(
          schemaError(`a function has no attribute "${attribute.name}"`, attribute.nameRange, hint),
          attribute.nameRange,
        );
      }
    }
    for (const wanted of ["params", "result"]) {
      if (!block.body.attributes.some(one => one.name === wanted)) {
        report(schemaError(`the function "${name}" lacks "${wanted}"`, block.headRange), block.headRange);
      }
    }
    if (!reserved.has(name)) functions.set(name, block);
  }

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
      if (stage !== "variables" && (name === "target" || name === "group")) {
        tolerate(range, () => loadReference(name, steps, range));
      } else tolerate(range, () => resolveName(name, scope, range));
    }
  }

  function loadReference(
    type: "target" | "group",
    steps: readonly (string | undefined)[],
    range: Range,
  ): void {
    if (steps.length === 0)
      throw evaluateError(`"${type}" is not a variable`, range, `write ${type}.NAME.ATTRIBUTE`);
    const [name, attribute] = steps;
    if (name === undefined)
      throw evaluateError(`a ${type} is named with a dot`, range, `write ${type}.NAME.ATTRIBUTE`);
    if (stage === "names") return;
    for (const block of byName.get(type)?.get(name) ?? []) resolveBlock(block, attribute);
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
    return didYouMean(name, [...variables.keys(), ...globals.keys(), ...options.builtins.keys()]);
  }

  function valueOfName(name: string, scope: Scope, range: Range): Value {
    const builtin = options.builtins.get(name);
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
    const plain = options.lookUp(name);
    if (plain === undefined || preferJson) {
      const jsonName = `${name}_JSON`;
      if (!variables.has(jsonName) && !options.builtins.has(jsonName)) {
        const json = options.lookUp(jsonName);
        if (json !== undefined) return { text: json, json: true };
      }
    }
    return plain === undefined ? undefined : { text: plain, json: false };
  }

  function validate(): void {
    for (const { block } of variables.values()) {
      for (const rule of block.body.blocks) {
        if (rule.type !== "validation") continue;
        const condition = rule.body.attributes.find(one => one.name === "condition")?.expression;
        if (condition === undefined) continue;
        const { range } = condition;
        attempt(range, () => {
          const result = evaluate(condition, root, run);
          if (result.kind === "null")
            throw evaluateError("the condition of a validation must be true or false, found null", range);
          const holds = convertAt(result, BOOL, range);
          if (holds.kind === "bool" && holds.value) return;
          const message = rule.body.attributes.find(one => one.name === "error_message")?.expression;
          const text =
            message === undefined ? NULL : convertAt(evaluate(message, root, run), STRING, message.range);
          throw evaluateError(
            text.kind === "string"
              ? text.value
              : `the value of the variable "${block.labels[0]?.text ?? ""}" is not valid`,
            range,
          );
        });
      }
    }
  }

  function stateOf(block: Block): BlockState {
    const found = states.get(block);
    if (found !== undefined) return found;
    const scopes = block.type === "target" ? matrixScopes(block) : [root];
    const state: BlockState = {
      block,
      scopes,
      results: scopes.map(() => ({})),
      groups: scopes.map(() => ({ description: "", targets: null })),
      done: scopes.map(() => new Set<string>()),
      running: scopes.map(() => new Set<string>()),
      names: undefined,
    };
    states.set(block, state);
    return state;
  }

  function attributeOf(block: Block, name: string): Attribute | undefined {
    return block.body.attributes.find(one => one.name === name);
  }

  /** One scope for each combination of the matrix; the first key varies slowest. */
  function matrixScopes(block: Block): readonly Scope[] {
    const attribute = attributeOf(block, "matrix");
    if (attribute === undefined) return [root];
    const { expression } = attribute;
    load(expression, root, new Set(), true);
    const matrix = evaluate(expression, root, run);
    if (!("entries" in matrix)) {
      throw schemaError(`a matrix must be an object of lists, found ${describe(matrix)}`, expression.range);
    }
    let rows: ReadonlyMap<string, Value>[] = [new Map()];
    for (const [key, dimension] of matrix.entries) {
      const items =
        unwrapItems(dimension) ?? ("entries" in dimension ? [...dimension.entries.values()] : undefined);
      if (items === undefined) {
        throw schemaError(
          `the values of a matrix must be lists, found ${describe(dimension)} for "${key}"`,
          expression.range,
        );
      }
      rows = rows.flatMap(row => items.map(item => new Map([...row, [key, item] as const])));
      if (rows.length > 10_000)
        throw schemaError("the matrix has more than 10000 combinations", expression.range);
    }
    return rows.map(variables => ({ parent: root, variables }));
  }

  function namesOf(block: Block): readonly string[] {
    const state = stateOf(block);
    if (state.names !== undefined) return state.names;
    const label = block.labels[0];
    const labelText = label?.text ?? "";
    const labelRange = label?.range ?? block.headRange;
    const nameAttribute = attributeOf(block, "name");
    const matrix = attributeOf(block, "matrix");
    if (block.type === "group" && (nameAttribute ?? matrix) !== undefined) {
      const range = (nameAttribute ?? matrix)?.nameRange ?? labelRange;
      throw schemaError(`a group cannot have "${nameAttribute ? "name" : "matrix"}"`, range);
    }
    const names = state.scopes.map(scope => {
      expectLabel(labelText, labelRange);
      if (nameAttribute === undefined) return labelText;
      const { range } = nameAttribute.expression;
      if (matrix === undefined)
        throw schemaError('"name" is only for targets with a matrix', nameAttribute.nameRange);
      load(nameAttribute.expression, scope, new Set(), true);
      const value = convertAt(evaluate(nameAttribute.expression, scope, run), STRING, range);
      if (value.kind !== "string") throw schemaError("the name of a target must not be null", range);
      expectLabel(value.value, range);
      return value.value;
    });
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    if (twice !== undefined) {
      const hint =
        nameAttribute === undefined
          ? 'add "name" with the keys of the matrix'
          : "use every key of the matrix in the name";
      throw schemaError(
        `the matrix makes the target "${twice}" more than once`,
        nameAttribute?.expression.range ?? labelRange,
        hint,
      );
    }
    state.names = names;
    return names;
  }

  function expectLabel(name: string, range: Range): void {
    if (!LABEL.test(name)) {
      throw schemaError(
        `the name "${name}" has characters that are not allowed`,
        range,
        'use letters, digits, "_" and "-"; sanitize() makes a valid name',
      );
    }
  }

  /** Evaluates a block: all of it, or one attribute that a reference asks for. */
  function resolveBlock(block: Block, only?: string): void {
    const state = stateOf(block);
    const isTarget = block.type === "target";
    for (const [i, scope] of state.scopes.entries()) {
      const done = state.done[i] ?? new Set();
      const running = state.running[i] ?? new Set();
      const name = state.names?.[i] ?? block.labels[0]?.text ?? "";
      if (only !== undefined) {
        if (done.has(only)) return;
        if (running.has(only)) {
          throw evaluateError(
            `"${block.type}.${name}.${only}" refers to itself`,
            attributeOf(block, only)?.nameRange ?? block.headRange,
          );
        }
        running.add(only);
      }
      const wanted = block.body.attributes.filter(
        attribute =>
          (only === undefined ? !done.has(attribute.name) : attribute.name === only) &&
          (isTarget
            ? fieldOfName.has(attribute.name)
            : attribute.name === "description" || attribute.name === "targets"),
      );
      if (++chain > MAX_CHAIN)
        throw evaluateError(`more than ${MAX_CHAIN} references follow each other`, block.headRange);
      try {
        const failures: Diagnostic[] = [];
        const ready: Attribute[] = [];
        const step = (attribute: Attribute, act: () => void): void => {
          try {
            act();
          } catch (thrown) {
            if (!(thrown instanceof BakeError)) throw thrown;
            failures.push(...thrown.at(attribute.expression.range).diagnostics);
          }
        };
        // Everything is made available first: an attribute may refer to another one of its own block.
        for (const attribute of wanted) {
          step(attribute, () => {
            load(attribute.expression, scope, new Set(), true);
            ready.push(attribute);
          });
        }
        for (const attribute of ready) {
          step(attribute, () => {
            const value = evaluate(attribute.expression, scope, run);
            if (isTarget) {
              const field = fieldOfName.get(attribute.name);
              const fields = state.results[i];
              if (field !== undefined && fields !== undefined) readField(fields, field, value);
            } else readGroup(state, i, attribute, value);
            done.add(attribute.name);
          });
        }
        if (failures.length > 0) throw BakeError.ofDiagnostics(failures);
      } finally {
        chain--;
      }
      if (only !== undefined) done.add(only);
      const group = state.groups[i];
      const reference = isTarget
        ? referenceValue(name, state.results[i] ?? {})
        : objectValue([
            ["name", stringValue(name)],
            ["description", stringValue(group?.description ?? "")],
            [
              "targets",
              group?.targets
                ? listValue(STRING, group.targets.map(stringValue))
                : { kind: "null", type: { kind: "list", element: STRING } },
            ],
          ]);
      const all = references.get(block.type);
      all?.set(name, reference);
      if (all !== undefined) values.set(block.type, { kind: "object", entries: all });
    }
  }

  function readGroup(state: BlockState, i: number, attribute: Attribute, value: Value): void {
    const group = state.groups[i];
    if (group === undefined) return;
    if (attribute.name === "description") {
      const text = convert(value, STRING);
      if (text.kind !== "string")
        throw schemaError('"description" must not be null', attribute.expression.range);
      group.description = text.value;
      return;
    }
    const list = convert(value, { kind: "list", element: STRING });
    group.targets = unwrapItems(list)?.map(item => (item.kind === "string" ? item.value : "")) ?? null;
  }

  collect();
  if (failed()) return undefined;
  for (const name of options.builtins.keys()) values.set(name, stringValue(options.builtins.get(name) ?? ""));
  for (const { name, block } of variables.values()) {
    const range = block.headRange;
    attempt(range, () => resolveName(name, root, range));
  }
  if (failed()) return undefined;
  const infos = [...variables.values()].map(variable =>
    describeVariable(variable, values.get(variable.name) ?? NULL),
  );
  for (const { description } of variables.values()) {
    if (description !== undefined) attempt(description.range, () => plainText(description));
  }
  validate();
  if (failed()) return undefined;
  for (const [name, block] of functions)
    attempt(block.headRange, () => resolveFunction(name, block.headRange));
  if (failed()) return undefined;
  const renamed = new Map<string, string[]>();
  stage = "names";
  for (const block of blocks) {
    const label = block.labels[0];
    const range = label?.range ?? block.headRange;
    const names = attempt(range, () => namesOf(block));
    for (const name of names ?? []) {
      const map = byName.get(block.type);
      const list = map?.get(name);
      if (list === undefined) map?.set(name, [block]);
      else list.push(block);
    }
    const key = `${block.type}.${label?.text ?? ""}`;
    if (names !== undefined && names.length > 0) renamed.set(key, [...(renamed.get(key) ?? []), ...names]);
  }
  if (failed()) return undefined;
  stage = "blocks";
  const groups = new Map<string, GroupDefinition>();
  const targets = new Map<string, TargetDefinition>();
  const firstResults = new Map<string, { readonly results: TargetFields[]; readonly index: number }>();
  const origins = new Map<string, ContextOrigin>();
  for (const block of blocks) {
    if (block.type === "group" && attributeOf(block, "targets") === undefined) {
      report(
        schemaError(`the group "${block.labels[0]?.text ?? ""}" lacks "targets"`, block.headRange),
        block.headRange,
      );
      continue;
    }
    warnUnknown(block);
    attempt(block.headRange, () => resolveBlock(block));
    const state = states.get(block);
    for (const [i, name] of (state?.names ?? []).entries()) {
      if (block.type === "group") {
        const { description, targets: members } = state?.groups[i] ?? { description: "", targets: null };
        groups.set(name, { name, description, targets: members, range: block.headRange });
        continue;
      }
      const before = targets.get(name);
      const fields = state?.results[i] ?? {};
      const ranges = new Map(before?.attributeRanges);
      for (const attribute of block.body.attributes) {
        const field = fieldOfName.get(attribute.name);
        if (field !== undefined) ranges.set(field, attribute.expression.range);
      }
      const merged = before === undefined ? fields : mergeTargets(before.fields, fields);
      // References see what the first block of a target has become.
      const first = firstResults.get(name);
      if (first !== undefined) first.results[first.index] = merged;
      else if (state !== undefined) firstResults.set(name, { results: state.results, index: i });
      origins.set(name, extendOrigin(origins.get(name), block));
      targets.set(name, {
        name,
        fields: merged,
        defaultContext: ".",
        range: before?.range ?? block.headRange,
        attributeRanges: ranges,
      });
    }
  }
  if (failed()) return undefined;
  for (const [name, attribute] of globals)
    attempt(attribute.range, () => resolveName(name, root, attribute.range));
  if (failed()) return undefined;
  for (const [key, names] of renamed) {
    const label = key.slice(key.indexOf(".") + 1);
    const members = [...new Set(names)];
    if (members.length === 1 && members[0] === label) continue;
    if (!groups.has(label))
      groups.set(label, { name: label, description: "", targets: members, range: undefined });
  }
  const found = [...targets.values()];
  return {
    groups: [...groups.values()],
    targets: options.relativePaths === true ? found.map(target => rebaseTarget(target, origins)) : found,
    variables: infos,
  };

  function warnUnknown(block: Block): void {
    const knownNames =
      block.type === "target" ? [...fieldOfName.keys(), "name", "matrix"] : ["targets", "description"];
    for (const { name, nameRange } of block.body.attributes) {
      if (knownNames.includes(name)) continue;
      const hint = didYouMean(name, knownNames);
      if (hint === undefined) continue;
      problems.push({
        severity: "warning",
        code: "bake-schema",
        message: `the attribute "${name}" is ignored`,
        range: nameRange,
        hint,
      });
    }
  }

  function plainText(attribute: Attribute): string {
    const text = convertAt(
      evaluate(attribute.expression, { parent: undefined, variables: new Map() }, run),
      STRING,
      attribute.expression.range,
    );
    if (text.kind !== "string")
      throw schemaError(`"${attribute.name}" must not be null`, attribute.expression.range);
    return text.value;
  }

  function describeVariable(variable: VariableBlock, value: Value): VariableInfo {
    const { name, constraint, block, description } = variable;
    let text: string | undefined;
    if (value.kind !== "null") {
      const scalar =
        constraint === undefined && isPrimitive(typeOf(value)) ? convert(value, STRING) : undefined;
      if (scalar?.kind === "string") text = scalar.value;
      else {
        text = attempt(block.headRange, () =>
          constraint === undefined ? valueToJson(value) : typedValueToJson(value, constraint),
        );
        if (constraint?.kind === "string") text = text?.replace(/^"+|"+$/g, "");
      }
    }
    return {
      name,
      description:
        description === undefined ? "" : (attempt(description.range, () => plainText(description)) ?? ""),
      type: constraint === undefined ? undefined : typeName(constraint, { constraint: true }),
      value: text,
      range: block.headRange,
    };
  }
}

function valueFromText(
  name: string,
  given: { readonly text: string; readonly json: boolean },
  fallback: Value | undefined,
  type: Type | undefined,
): Value {
  if (type !== undefined) {
    if (given.json) return typedValueFromJson(given.text, type);
    if (isCsvType(type)) return collectionFromText(name, given.text, type);
    if (isPrimitive(type)) return primitiveFromText(name, given.text, type);
    throw new BakeError(
      "bake-evaluate",
      `the variable "${name}" cannot hold a ${typeName(type)} given as text`,
      {
        hint: `set ${name}_JSON to give it as JSON`,
      },
    );
  }
  if (fallback === undefined || fallback.kind === "null") return stringValue(given.text);
  const own = typeOf(fallback);
  if (isPrimitive(own)) return primitiveFromText(name, given.text, own);
  throw new BakeError(
    "bake-evaluate",
    `the variable "${name}" holds a ${typeName(own)} and has no declared type`,
    {
      hint: "add a type to the variable, so that a text can be converted",
    },
  );
}

function schemaError(message: string, range: Range, hint?: string): BakeError {
  return new BakeError("bake-schema", message, { range, hint });
}

function evaluateError(message: string, range: Range, hint?: string): BakeError {
  return new BakeError("bake-evaluate", message, { range, hint });
}
