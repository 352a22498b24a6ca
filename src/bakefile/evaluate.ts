// From syntax trees to targets and groups: variables, functions, matrices and references between blocks.
// Names are resolved when they are first needed, in the order and with the limits of buildx (its hclparser).
import { BakeError } from "../diagnostic/error.ts";
import type { Diagnostic } from "../diagnostic/diagnostic.ts";
import { didYouMean } from "../diagnostic/suggest.ts";
import type { Range } from "../diagnostic/source.ts";
import { fieldOfName, mergeTargets, readField, referenceValue, type TargetFields } from "./attributes.ts";
import { collectBlocks, type VariableBlock } from "./collect.ts";
import type { Evaluated, GroupDefinition, TargetDefinition, VariableInfo } from "./definition.ts";
import { convert, describe } from "./hcl/convert.ts";
import { STEP_BUDGET, convertAt, evaluate, type Evaluation, type Scope } from "./hcl/expression.ts";
import type { BakeFunction, FunctionHost } from "./hcl/functions/function.ts";
import { standardLibrary } from "./hcl/functions/table.ts";
import {
  BOOL,
  NULL,
  STRING,
  listValue,
  objectValue,
  stringValue,
  typeName,
  typeOf,
  unwrapItems,
  type Value,
} from "./hcl/value.ts";
import { typedValueToJson, valueToJson } from "./json-value.ts";
import { createNames } from "./names.ts";
import { createProblems, evaluateError, schemaError } from "./problems.ts";
import { extendOrigin, rebaseTarget, type ContextOrigin } from "./relative.ts";
import { isPrimitive } from "./variable.ts";
import type { Attribute, Block, Body } from "./hcl/ast.ts";

export interface EvaluateOptions {
  /** The value given for a variable on the command line or in the environment. */
  readonly lookUp: (name: string) => string | undefined;
  /** Names with fixed values that no file can change. */
  readonly builtins: ReadonlyMap<string, string>;
  readonly host: FunctionHost;
  /** Whether contexts are relative to the file that sets them; default false: to the working directory. */
  readonly relativePaths?: boolean | undefined;
}
const LABEL = /^[a-zA-Z0-9_-]+$/;
const BLOCK_TYPES = ["group", "target"] as const;
/** Variables that refer to each other in longer chains than this are refused before the stack ends. */
const MAX_CHAIN = 200;

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
 * Evaluates the merged bodies of all files, in the order of the files. Problems are added to `diagnostics`; when one
 * stage has errors the later ones are not reached and undefined is returned.
 */
export function evaluateBodies(
  bodies: readonly Body[],
  options: EvaluateOptions,
  diagnostics: Diagnostic[],
): Evaluated | undefined {
  const reserved = new Set<string>([...BLOCK_TYPES, ...options.builtins.keys()]);
  const problems = createProblems(diagnostics);
  const { attempt, failed, report } = problems;
  const collected = collectBlocks(bodies, reserved, problems);
  const { variables, functions, globals, blocks } = collected;
  const values = new Map<string, Value>();
  const root: Scope = { parent: undefined, variables: values };
  const known = new Map<string, BakeFunction>(standardLibrary);
  const run: Evaluation = { functions: known, host: options.host, budget: STEP_BUDGET };
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
  const { builtins, lookUp } = options;
  const names = createNames({ collected, builtins, lookUp, values, root, run, known, loadReference });
  const { load, resolveName, resolveFunction } = names;

  function loadReference(
    type: "target" | "group",
    steps: readonly (string | undefined)[],
    range: Range,
  ): boolean {
    if (stage === "variables") return false;
    if (steps.length === 0)
      throw evaluateError(`"${type}" is not a variable`, range, `write ${type}.NAME.ATTRIBUTE`);
    const [name, attribute] = steps;
    if (name === undefined)
      throw evaluateError(`a ${type} is named with a dot`, range, `write ${type}.NAME.ATTRIBUTE`);
    if (stage === "names") return true;
    for (const block of byName.get(type)?.get(name) ?? []) resolveBlock(block, attribute);
    return true;
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
  for (const [type, entries] of references)
    if (!values.has(type)) values.set(type, { kind: "object", entries });
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
  const madeGroups: GroupDefinition[] = [];
  for (const [key, names] of renamed) {
    const label = key.slice(key.indexOf(".") + 1);
    const members = [...new Set(names)];
    if (members.length === 1 && members[0] === label) continue;
    // A group of that name in the files comes first and wins.
    madeGroups.push({ name: label, description: "", targets: members, range: undefined });
  }
  const found = [...targets.values()];
  return {
    groups: [...groups.values(), ...madeGroups],
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
      problems.add({
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
