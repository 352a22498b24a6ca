// Targets and groups as the files write them: the names that a block makes, and its attributes, each evaluated when
// something first asks for it. A target has as many of all this as its matrix has rows.
import { BakeError } from "../diagnostic/error.ts";
import type { Diagnostic } from "../diagnostic/diagnostic.ts";
import type { Range } from "../diagnostic/source.ts";
import { fieldOfName, readField, referenceValue, type Field, type TargetFields } from "./attributes.ts";
import type { GroupDefinition } from "./definition.ts";
import { attributeOf, type Attribute, type Block, type Expression } from "./hcl/ast.ts";
import { convert } from "./hcl/convert.ts";
import { convertAt, type Evaluation, type Scope } from "./hcl/evaluation.ts";
import { evaluate } from "./hcl/expression.ts";
import { STRING, listValue, objectValue, stringValue, unwrapItems, type Value } from "./hcl/value.ts";
import { mentionsOf } from "./hcl/walk.ts";
import { readAt } from "./locate.ts";
import { matrixRows } from "./matrix.ts";
import type { Names, NamesOptions } from "./names.ts";
import { FollowUp, evaluateError, inBlock, schemaError, withPlace, type Problems } from "./problems.ts";

export interface BlocksOptions {
  /** Targets and groups in order. */
  readonly blocks: readonly Block[];
  /** Where `target` and `group` go; `root` shows them. */
  readonly values: Map<string, Value>;
  readonly root: Scope;
  readonly run: Evaluation;
  readonly load: Names["load"];
  readonly problems: Problems;
}

export interface Blocks {
  /** Makes `target.NAME.ATTRIBUTE` available. Blocks can be mentioned once all of them have names. */
  readonly loadReference: NamesOptions["loadReference"];
  /** Gives all blocks their names. */
  readonly nameBlocks: () => BlockNames;
  /** Evaluates what is left of a block. @throws BakeError */
  readonly resolveBlock: (block: Block) => void;
  /** What a block says, as far as it is resolved; undefined for one whose matrix is wrong. */
  readonly stateOf: (block: Block) => BlockState | undefined;
  /** Whether an expression mentions `target.name`, the name of the target that is built, and no target is called so. */
  readonly mentionsOwnName: (expression: Expression) => boolean;
  /** What row `i` of a block, which says `own` of itself, says when `heir` inherits from it. @throws BakeError */
  readonly fieldsForHeir: (block: Block, i: number, own: TargetFields, heir: string) => TargetFields;
}

export interface BlockNames {
  /** The names that were made, by type and label: `target.app`. */
  readonly names: ReadonlyMap<string, readonly string[]>;
  /** False when some block has no name because of a problem: any name may be its. */
  readonly complete: boolean;
}

/** What one block says; the lists have one item for each row of the matrix. */
export interface BlockState {
  readonly scopes: readonly Scope[];
  readonly results: TargetFields[];
  readonly groups: Draft<Pick<GroupDefinition, "description" | "targets">>[];
  readonly done: Set<string>[];
  readonly running: Set<string>[];
  /** Attributes whose problems have been told. */
  readonly broken: Set<string>[];
  /** Maps with their null entries, which only references show. */
  readonly exact: Map<string, Value>[];
  names: readonly string[] | undefined;
}

type Draft<T> = { -readonly [K in keyof T]: T[K] };

/** Types of blocks that can be referred to, which therefore are names. */
export const BLOCK_TYPES = ["group", "target"] as const;
const LABEL = /^[a-zA-Z0-9_-]+$/;
/** Attributes that refer to each other in longer chains than this are refused before the stack ends. */
const MAX_CHAIN = 200;

/** Evaluates nothing yet: first the blocks get their names, then each is resolved when something asks for it. */
export function createBlocks({ blocks, values, root, run, load, problems }: BlocksOptions): Blocks {
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

  function nameBlocks(): BlockNames {
    const names = new Map<string, string[]>();
    stage = "names";
    for (const block of blocks) {
      const label = block.labels[0];
      const made = problems.attempt(label?.range ?? block.headRange, () =>
        inBlock(block, () => namesOf(block)),
      );
      if (made === undefined) unnamed = true;
      for (const name of made ?? []) {
        const map = byName.get(block.type);
        const list = map?.get(name);
        if (list === undefined) map?.set(name, [block]);
        else list.push(block);
      }
      const key = `${block.type}.${label?.text ?? ""}`;
      if (made !== undefined && made.length > 0) {
        const known = names.get(key);
        if (known === undefined) names.set(key, [...made]);
        else known.push(...made);
      }
    }
    stage = "blocks";
    for (const [type, entries] of references)
      if (!values.has(type)) values.set(type, { kind: "object", entries });
    return { names, complete: !unnamed };
  }

  function begin(block: Block): BlockState {
    const found = states.get(block);
    if (found !== undefined) return found;
    const scopes = block.type === "target" ? inBlock(block, () => matrixScopes(block)) : [root];
    const state: BlockState = {
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

  /** One scope for each row of the matrix. */
  function matrixScopes(block: Block): readonly Scope[] {
    const expression = attributeOf(block, "matrix")?.expression;
    if (expression === undefined) return [root];
    load(expression, root, new Set(), true);
    const rows = matrixRows(evaluate(expression, root, run), expression.range);
    return rows.map(variables => ({ parent: root, variables }));
  }

  function namesOf(block: Block): readonly string[] {
    const state = begin(block);
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

  function resolveBlock(block: Block, only?: string): void {
    const state = begin(block);
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

  return {
    loadReference,
    nameBlocks,
    resolveBlock,
    stateOf: block => states.get(block),
    mentionsOwnName,
    fieldsForHeir,
  };
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

/** Maps that may have null entries: those are no part of the field. */
function exactValue(field: Field, value: Value): Value | undefined {
  if (field !== "args" && field !== "labels" && field !== "extraHosts") return undefined;
  if (!("entries" in value) || ![...value.entries.values()].some(item => item.kind === "null"))
    return undefined;
  return convert(value, { kind: "map", element: STRING });
}
