// The blocks and attributes of all files by what they are: variables, functions, globals, targets and groups.
import { didYouMean } from "../diagnostic/suggest.ts";
import { FILE_BLOCKS } from "./import.ts";
import { schemaError, type Problems, withPlace } from "./problems.ts";
import { attributeOf, type Attribute, type Block, type Body, type Expression } from "./hcl/ast.ts";
import type { Type } from "./hcl/value.ts";

export interface Collected {
  /** By name; the last definition counts. */
  readonly variables: ReadonlyMap<string, VariableBlock>;
  readonly functions: ReadonlyMap<string, Block>;
  readonly globals: ReadonlyMap<string, Attribute>;
  /** Targets and groups in order. */
  readonly blocks: readonly Block[];
}

export interface VariableBlock {
  readonly name: string;
  readonly block: Block;
  readonly type: Expression | undefined;
  readonly fallback: Attribute | undefined;
  readonly description: Attribute | undefined;
  /** Defaults of earlier definitions of the same name, the latest first: this one has replaced them. */
  readonly earlier: readonly Attribute[];
  constraint: Type | undefined;
}

/** Earlier defaults that are kept, to be told. */
const MAX_EARLIER = 20;

/** Attributes of a variable. */
const KNOWN = ["type", "default", "description", "validation"];

/** @param reserved names that variables, functions and globals cannot take: theirs are dropped */
export function collectBlocks(
  bodies: readonly Body[],
  reserved: ReadonlySet<string>,
  problems: Problems,
): Collected {
  const variables = new Map<string, VariableBlock>();
  const functions = new Map<string, Block>();
  const globals = new Map<string, Attribute>();
  const blocks: Block[] = [];

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
              problems.report(schemaError(message, range, `${block.type} "name" { ... }`), range);
            } else if (block.type === "variable") collectVariable(label.text, block);
            else if (block.type === "function") collectFunction(label.text, block);
            else blocks.push(block);
            break;
          }
          case "import":
          case "env_file":
            // Read before anything is evaluated.
            break;
          default: {
            const hint = didYouMean(block.type, ["group", "target", "variable", "function", ...FILE_BLOCKS]);
            if (hint === undefined) break;
            const message = `the block "${block.type}" is ignored`;
            problems.add({
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
    for (const { name: attribute, nameRange } of block.body.attributes) {
      const hint = KNOWN.includes(attribute) ? undefined : didYouMean(attribute, KNOWN);
      if (hint === undefined) continue;
      const message = `the attribute "${attribute}" is ignored`;
      problems.add({ severity: "warning", code: "bake-schema", message, range: nameRange, hint });
    }
    const rules = block.body.blocks.filter(inner => inner.type === "validation");
    for (const rule of rules) {
      if (attributeOf(rule, "condition") === undefined) {
        problems.report(schemaError("a validation needs a condition", rule.headRange), rule.headRange);
      }
    }
    if (reserved.has(name)) return;
    const type = attributeOf(block, "type")?.expression;
    const before = variables.get(name);
    variables.set(name, {
      name,
      block,
      type,
      fallback: attributeOf(block, "default"),
      description: attributeOf(block, "description"),
      earlier:
        before === undefined
          ? []
          : [...(before.fallback ? [before.fallback] : []), ...before.earlier].slice(0, MAX_EARLIER),
      constraint: undefined,
    });
  }

  function collectFunction(name: string, block: Block): void {
    for (const attribute of block.body.attributes) {
      if (!["params", "variadic_params", "result"].includes(attribute.name)) {
        const hint = didYouMean(attribute.name, ["params", "variadic_params", "result"]);
        problems.report(
          schemaError(`a function has no attribute "${attribute.name}"`, attribute.nameRange, hint),
          attribute.nameRange,
        );
      }
    }
    for (const wanted of ["params", "result"]) {
      if (attributeOf(block, wanted) === undefined) {
        const lack = schemaError(`the function "${name}" lacks "${wanted}"`, block.headRange);
        const params = attributeOf(block, "params");
        for (const problem of lack.diagnostics)
          problems.add(
            params === undefined ? problem : withPlace(problem, "add it beside", params.nameRange),
          );
      }
    }
    if (!reserved.has(name)) functions.set(name, block);
  }

  collect();
  return { variables, functions, globals, blocks };
}
