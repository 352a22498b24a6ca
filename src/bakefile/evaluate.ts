// From syntax trees to targets and groups: variables, functions, matrices and references between blocks.
// Names are resolved when they are first needed, in the order and with the limits of buildx (its hclparser).
import { BakeError } from "../diagnostic/error.ts";
import type { Diagnostic } from "../diagnostic/diagnostic.ts";
import { didYouMean } from "../diagnostic/suggest.ts";
import type { Range, Source } from "../diagnostic/source.ts";
import { reportUnknownNames } from "./unknown.ts";
import {
  fieldOfName,
  mergeTargets,
  readField,
  referenceValue,
  type Field,
  type TargetFields,
} from "./attributes.ts";
import { collectBlocks, type VariableBlock } from "./collect.ts";
import type {
  Evaluated,
  GroupDefinition,
  TargetDefinition,
  VariableInfo,
  VariableLayer,
} from "./definition.ts";
import { convert, describe } from "./hcl/convert.ts";
import {
  MAX_HINTS,
  STEP_BUDGET,
  convertAt,
  evaluate,
  type Evaluation,
  type Scope,
} from "./hcl/expression.ts";
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
import { mentionsOf } from "./hcl/walk.ts";
import { rangesByText, readAt } from "./locate.ts";
import { createNames } from "./names.ts";
import { FollowUp, createProblems, evaluateError, inBlock, schemaError, withPlace } from "./problems.ts";
import { extendOrigin, rebaseTarget, type ContextOrigin } from "./relative.ts";
import { isPrimitive } from "./variable.ts";
import type { Attribute, Block, Body, Expression } from "./hcl/ast.ts";

export interface EvaluateOptions {
  /** What gives values to variables from outside: levels that win over the later ones. */
  readonly levels: readonly (readonly VariableLayer[])[];
  /** Names with fixed values that no file can change. */
  readonly builtins: ReadonlyMap<string, string>;
  readonly host: FunctionHost;
  /** Names of targets and groups that Compose files define. */
  readonly others: ReadonlySet<string>;
  /** Whether the contexts that a file sets are relative to its folder; default: none are, but to the working directory. */
  readonly isRelative?: ((source: Source) => boolean) | undefined;
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
  /** Attributes whose problems have been told. */
  readonly broken: Set<string>[];
  /** Maps with their null entries, which only references show. */
  readonly exact: Map<string, Value>[];
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
  const run: Evaluation = { functions: known, host: options.host, budget: STEP_BUDGET, hints: MAX_HINTS };
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
  /** Whether some block has no name because of a problem: any name may be its. */
  let unnamed = false;
  const { builtins, levels } = options;
  const names = createNames({ collected, builtins, levels, values, root, run, known, loadReference });
  const { load, resolveName, resolveFunction, dependsOnFailed } = names;

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
    if (unnamed && byName.get(type)?.has(name) !== true) throw new FollowUp(range);
    for (const block of byName.get(type)?.get(name) ?? []) resolveBlock(block, attribute);
    return true;
  }

  function validate(): void {
    for (const { block } of variables.values()) {
      for (const rule of block.body.blocks) {
        if (rule.type !== "validation") continue;
        const condition = rule.body.attributes.find(one => one.name === "condition")?.expression;
        if (condition === undefined || dependsOnFailed(condition)) continue;
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
    const scopes = block.type === "target" ? inBlock(block, () => matrixScopes(block)) : [root];
    const state: BlockState = {
      block,
      scopes,
      results: scopes.map(() => ({})),
      groups: scopes.map(() => ({ description: "", targets: null })),
      done: scopes.map(() => new Set<string>()),
      running: scopes.map(() => new Set<string>()),
      broken: scopes.map(() => new Set<string>()),
      exact: scopes.map(() => new Map<string, Value>()),
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
      if (rows.length * items.length > 10_000)
        throw schemaError("the matrix has more than 10000 combinations", expression.range);
      rows = rows.flatMap(row => items.map(item => new Map([...row, [key, item] as const])));
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
      const broken = state.broken[i] ?? new Set();
      const name = state.names?.[i] ?? block.labels[0]?.text ?? "";
      if (only !== undefined) {
        if (done.has(only)) return;
        if (broken.has(only)) throw new FollowUp(attributeOf(block, only)?.nameRange ?? block.headRange);
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
          (only === undefined
            ? !done.has(attribute.name) && !broken.has(attribute.name)
            : attribute.name === only) &&
          (isTarget
            ? fieldOfName.has(attribute.name)
            : attribute.name === "description" || attribute.name === "targets"),
      );
      if (++chain > MAX_CHAIN)
        throw evaluateError(`more than ${MAX_CHAIN} references follow each other`, block.headRange);
      try {
        const failures: Diagnostic[] = [];
        const ready: Attribute[] = [];
        let followUp: FollowUp | undefined;
        const step = (attribute: Attribute, act: () => void): void => {
          try {
            act();
          } catch (thrown) {
            if (!(thrown instanceof BakeError)) throw thrown;
            broken.add(attribute.name);
            if (thrown instanceof FollowUp) followUp = thrown;
            else {
              for (const problem of thrown.at(attribute.expression.range).diagnostics)
                failures.push(withPlace(problem, `in "${attribute.name}"`, attribute.nameRange));
            }
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
            const { expression } = attribute;
            const value = evaluate(expression, scopeNaming(name, expression, scope), run);
            if (isTarget) {
              const field = fieldOfName.get(attribute.name);
              const fields = state.results[i];
              if (field === undefined || fields === undefined) return;
              readAt(expression, value, one => readField(fields, field, one));
              const exact = exactValue(field, value);
              if (exact !== undefined) state.exact[i]?.set(attribute.name, exact);
            } else readGroup(state, i, attribute, value);
            done.add(attribute.name);
          });
        }
        if (failures.length > 0) throw BakeError.ofDiagnostics(failures);
        if (followUp !== undefined) throw followUp;
      } finally {
        chain--;
        if (only !== undefined) running.delete(only);
      }
      if (only !== undefined) done.add(only);
      const group = state.groups[i];
      const reference = isTarget
        ? referenceValue(name, state.results[i] ?? {}, state.exact[i])
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
    const list = readAt(attribute.expression, value, one => convert(one, { kind: "list", element: STRING }));
    group.targets = unwrapItems(list)?.map(item => (item.kind === "string" ? item.value : "")) ?? null;
  }

  /** Whether an expression mentions `target.name`, the name of the target that is built, and no target is called so. */
  function mentionsOwnName(expression: Expression): boolean {
    return (
      byName.get("target")?.has("name") !== true &&
      mentionsOf(expression).names.some(
        ({ name, steps }) => name === "target" && steps.length === 1 && steps[0] === "name",
      )
    );
  }

  /** The scope in which `target.name` is `own`, when the expression mentions that. */
  function scopeNaming(own: string, expression: Expression, scope: Scope): Scope {
    if (!mentionsOwnName(expression)) return scope;
    const entries = new Map<string, Value>([["name", stringValue(own)]]);
    for (const { name, steps } of mentionsOf(expression).names) {
      const other = name === "target" && steps[0] !== undefined ? steps[0] : undefined;
      const value = other === undefined ? undefined : references.get("target")?.get(other);
      if (other !== undefined && value !== undefined) entries.set(other, value);
    }
    return { parent: scope, variables: new Map([["target", { kind: "object", entries }]]) };
  }

  /** What one block says when `heir` inherits from it. */
  function fieldsForHeir(block: Block, i: number, own: TargetFields, heir: string): TargetFields {
    const fields = { ...own };
    const scope = states.get(block)?.scopes[i] ?? root;
    for (const { name, expression } of block.body.attributes) {
      const field = fieldOfName.get(name);
      if (field === undefined || !mentionsOwnName(expression)) continue;
      const value = evaluate(expression, scopeNaming(heir, expression, scope), run);
      readAt(expression, value, one => readField(fields, field, one));
    }
    return fields;
  }

  if (failed()) return undefined;
  for (const name of options.builtins.keys()) values.set(name, stringValue(options.builtins.get(name) ?? ""));
  for (const { name, block } of variables.values()) {
    const range = block.headRange;
    attempt(range, () => resolveName(name, root, range));
  }
  // What failed is left out from here on, so that one run shows the problems of every stage.
  const infos = [...variables.values()].map(variable =>
    describeVariable(variable, values.get(variable.name) ?? NULL),
  );
  for (const { description } of variables.values()) {
    if (description !== undefined) attempt(description.range, () => plainText(description));
  }
  validate();
  for (const [name, block] of functions)
    attempt(block.headRange, () => resolveFunction(name, block.headRange));
  const renamed = new Map<string, string[]>();
  stage = "names";
  for (const block of blocks) {
    const label = block.labels[0];
    const range = label?.range ?? block.headRange;
    const names = attempt(range, () => inBlock(block, () => namesOf(block)));
    if (names === undefined) unnamed = true;
    for (const name of names ?? []) {
      const map = byName.get(block.type);
      const list = map?.get(name);
      if (list === undefined) map?.set(name, [block]);
      else list.push(block);
    }
    const key = `${block.type}.${label?.text ?? ""}`;
    if (names !== undefined && names.length > 0) {
      const known = renamed.get(key);
      if (known === undefined) renamed.set(key, [...names]);
      else known.push(...names);
    }
  }
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
        const written = attributeOf(block, "targets");
        const memberRanges = rangesByText(written?.expression ?? NOTHING, members ?? []);
        groups.set(name, { name, description, targets: members, range: block.headRange, memberRanges });
        continue;
      }
      const before = targets.get(name);
      const fields = state?.results[i] ?? {};
      const made = mergeDefinition(before, name, fields, block);
      const first = firstResults.get(name);
      // References see what the first block of a target has become.
      if (first !== undefined) first.results[first.index] = made.fields;
      else if (state !== undefined) firstResults.set(name, { results: state.results, index: i });
      origins.set(name, extendOrigin(origins.get(name), block, options.isRelative));
      const heirs = before?.fieldsFor;
      const named = block.body.attributes.some(({ expression }) => mentionsOwnName(expression));
      if (!named && heirs === undefined) targets.set(name, made);
      else {
        targets.set(name, {
          ...made,
          fieldsFor: heir => {
            const own = named ? fieldsForHeir(block, i, fields, heir) : fields;
            return before === undefined ? own : mergeTargets(heirs?.(heir) ?? before.fields, own);
          },
        });
      }
    }
  }
  for (const [name, attribute] of globals)
    attempt(attribute.range, () => resolveName(name, root, attribute.range));
  if (failed()) {
    // Others may hide behind the names that could not be made.
    if (!unnamed)
      reportUnknownNames(targets, groups, new Set([...options.others, ...labels(renamed)]), problems);
    return undefined;
  }
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
    targets: options.isRelative === undefined ? found : found.map(target => rebaseTarget(target, origins)),
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
      sources: names.sourcesOf(variable),
    };
  }
}

function labels(renamed: ReadonlyMap<string, unknown>): readonly string[] {
  return [...renamed.keys()].map(key => key.slice(key.indexOf(".") + 1));
}

/** Stands for an attribute that is not there. */
const NOTHING: Expression = {
  kind: "tuple",
  items: [],
  range: { source: { name: "", text: "" }, start: 0, end: 0 },
};

/** A target as its blocks so far and one more say. */
function mergeDefinition(
  before: TargetDefinition | undefined,
  name: string,
  fields: TargetFields,
  block: Block,
): TargetDefinition {
  const attributeRanges = new Map(before?.attributeRanges);
  let itemRanges = before?.itemRanges;
  for (const { name: attribute, expression } of block.body.attributes) {
    const field = fieldOfName.get(attribute);
    if (field === undefined) continue;
    attributeRanges.set(field, expression.range);
    if (field === "inherits" || field === "contexts") {
      const known = rangesByText(expression, fields.inherits ?? []);
      itemRanges = {
        inherits: itemRanges?.inherits ?? new Map(),
        contexts: itemRanges?.contexts ?? new Map(),
        [field]: new Map([...(itemRanges?.[field] ?? []), ...known]),
      };
    }
  }
  return {
    name,
    fields: before === undefined ? fields : mergeTargets(before.fields, fields),
    defaultContext: ".",
    range: before?.range ?? block.headRange,
    attributeRanges,
    ...(itemRanges && { itemRanges }),
  };
}

/** Maps that may have null entries: those are no part of the field. */
function exactValue(field: Field, value: Value): Value | undefined {
  if (field !== "args" && field !== "labels" && field !== "extraHosts") return undefined;
  if (!("entries" in value) || ![...value.entries.values()].some(item => item.kind === "null"))
    return undefined;
  return convert(value, { kind: "map", element: STRING });
}
