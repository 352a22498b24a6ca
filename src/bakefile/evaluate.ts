// From syntax trees to targets and groups, in stages: variables, functions, names of blocks, blocks, globals.
// Names are resolved when they are first needed, in the order and with the limits of buildx (its hclparser).
import type { Diagnostic } from "../diagnostic/diagnostic.ts";
import { didYouMean } from "../diagnostic/suggest.ts";
import type { Source } from "../diagnostic/source.ts";
import { reportUnknownNames } from "./unknown.ts";
import { fieldOfName, mergeTargets, type TargetFields } from "./attributes.ts";
import { BLOCK_TYPES, createBlocks } from "./blocks.ts";
import { collectBlocks, type VariableBlock } from "./collect.ts";
import type {
  Evaluated,
  GroupDefinition,
  TargetDefinition,
  VariableInfo,
  VariableLayer,
} from "./definition.ts";
import { convert } from "./hcl/convert.ts";
import { MAX_HINTS, STEP_BUDGET, convertAt, type Evaluation, type Scope } from "./hcl/evaluation.ts";
import { evaluate } from "./hcl/expression.ts";
import type { BakeFunction, FunctionHost } from "./hcl/functions/function.ts";
import { standardLibrary } from "./hcl/functions/table.ts";
import { BOOL, NULL, STRING, stringValue, typeName, typeOf, type Value } from "./hcl/value.ts";
import { typedValueToJson, valueToJson } from "./json-value.ts";
import { rangesByText } from "./locate.ts";
import { createNames } from "./names.ts";
import { createProblems, evaluateError, schemaError } from "./problems.ts";
import { extendOrigin, rebaseTarget, type ContextOrigin } from "./relative.ts";
import { isPrimitive } from "./variable.ts";
import { attributeOf, type Attribute, type Block, type Body } from "./hcl/ast.ts";

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
  const { variables, functions, globals } = collected;
  const values = new Map<string, Value>();
  const root: Scope = { parent: undefined, variables: values };
  const known = new Map<string, BakeFunction>(standardLibrary);
  const run: Evaluation = { functions: known, host: options.host, budget: STEP_BUDGET, hints: MAX_HINTS };
  const { builtins, levels } = options;
  const names = createNames({
    ...{ collected, builtins, levels, values, root, run, known },
    loadReference: (type, steps, range) => blocks.loadReference(type, steps, range),
  });
  const { load, resolveName, resolveFunction, dependsOnFailed } = names;
  const blocks = createBlocks({ blocks: collected.blocks, values, root, run, load, problems });
  const { mentionsOwnName, fieldsForHeir } = blocks;

  function validate(): void {
    for (const { block } of variables.values()) {
      for (const rule of block.body.blocks) {
        if (rule.type !== "validation") continue;
        const condition = attributeOf(rule, "condition")?.expression;
        if (condition === undefined || dependsOnFailed(condition)) continue;
        const { range } = condition;
        attempt(range, () => {
          const result = evaluate(condition, root, run);
          if (result.kind === "null")
            throw evaluateError("the condition of a validation must be true or false, found null", range);
          const holds = convertAt(result, BOOL, range);
          if (holds.kind === "bool" && holds.value) return;
          const message = attributeOf(rule, "error_message")?.expression;
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
  const { names: renamed, complete } = blocks.nameBlocks();
  const groups = new Map<string, GroupDefinition>();
  const targets = new Map<string, TargetDefinition>();
  const firstResults = new Map<string, { readonly results: TargetFields[]; readonly index: number }>();
  const origins = new Map<string, ContextOrigin>();
  for (const block of collected.blocks) {
    if (block.type === "group" && attributeOf(block, "targets") === undefined) {
      report(
        schemaError(`the group "${block.labels[0]?.text ?? ""}" lacks "targets"`, block.headRange),
        block.headRange,
      );
      continue;
    }
    warnUnknown(block);
    attempt(block.headRange, () => blocks.resolveBlock(block));
    const state = blocks.stateOf(block);
    for (const [i, name] of (state?.names ?? []).entries()) {
      if (block.type === "group") {
        const { description, targets: members } = state?.groups[i] ?? { description: "", targets: null };
        const written = attributeOf(block, "targets");
        groups.set(name, {
          name,
          description,
          targets: members,
          range: block.headRange,
          ...(written && { memberRanges: rangesByText(written.expression, members ?? []) }),
        });
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
    if (complete)
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
