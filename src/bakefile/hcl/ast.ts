// The syntax tree of HCL (hashicorp/hcl hclsyntax/spec.md). JSON bake files are turned into the same tree.
import type { Range } from "../../diagnostic/source.ts";
import type { Value } from "./value.ts";

export interface Body {
  readonly attributes: readonly Attribute[];
  readonly blocks: readonly Block[];
}

export interface Attribute {
  readonly name: string;
  readonly nameRange: Range;
  readonly expression: Expression;
  /** From the name to the end of the expression. */
  readonly range: Range;
}

export interface Block {
  readonly type: string;
  readonly labels: readonly Label[];
  readonly body: Body;
  /** Type and labels. */
  readonly headRange: Range;
}

/** The attribute that a block gives that name; undefined when there is none. */
export function attributeOf(block: Block, name: string): Attribute | undefined {
  return block.body.attributes.find(attribute => attribute.name === name);
}

export interface Label {
  readonly text: string;
  readonly range: Range;
}

export type BinaryOperator =
  "||" | "&&" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "+" | "-" | "*" | "/" | "%";

export type Expression =
  | { readonly kind: "literal"; readonly value: Value; readonly range: Range }
  /** A quoted string or heredoc. */
  | { readonly kind: "template"; readonly parts: readonly TemplatePart[]; readonly range: Range }
  /** A template that is one interpolation: it keeps the type of the inner expression. */
  | { readonly kind: "wrap"; readonly inner: Expression; readonly range: Range }
  | { readonly kind: "variable"; readonly name: string; readonly range: Range }
  | {
      readonly kind: "attribute";
      readonly object: Expression;
      readonly name: string;
      readonly nameRange: Range;
      readonly range: Range;
    }
  | { readonly kind: "index"; readonly object: Expression; readonly key: Expression; readonly range: Range }
  /** `object.*` or `object[*]`, then `each` on every item, which stands in it as "item". */
  | { readonly kind: "splat"; readonly object: Expression; readonly each: Expression; readonly range: Range }
  | { readonly kind: "item"; readonly range: Range }
  | {
      readonly kind: "call";
      readonly name: string;
      readonly nameRange: Range;
      readonly args: readonly Expression[];
      /** Whether the last argument is followed by `...`. */
      readonly expand: boolean;
      readonly range: Range;
    }
  | {
      readonly kind: "conditional";
      readonly condition: Expression;
      readonly yes: Expression;
      readonly no: Expression;
      readonly range: Range;
    }
  | {
      readonly kind: "binary";
      readonly operator: BinaryOperator;
      readonly left: Expression;
      readonly right: Expression;
      readonly range: Range;
    }
  | {
      readonly kind: "unary";
      readonly operator: "-" | "!";
      readonly operand: Expression;
      readonly range: Range;
    }
  | { readonly kind: "tuple"; readonly items: readonly Expression[]; readonly range: Range }
  | { readonly kind: "object"; readonly entries: readonly ObjectEntry[]; readonly range: Range }
  | ForExpression
  | { readonly kind: "parentheses"; readonly inner: Expression; readonly range: Range };

export interface ObjectEntry {
  readonly key: Expression;
  readonly value: Expression;
}

export interface ForExpression {
  readonly kind: "for";
  readonly keyName: string | undefined;
  readonly valueName: string;
  readonly collection: Expression;
  /** Present for `{for ...}`. */
  readonly key: Expression | undefined;
  readonly value: Expression;
  readonly condition: Expression | undefined;
  /** `...` after the value: values of equal keys are collected in lists. */
  readonly group: boolean;
  readonly range: Range;
}

export type TemplatePart =
  | { readonly kind: "text"; readonly text: string; readonly range: Range }
  | { readonly kind: "interpolation"; readonly expression: Expression }
  | {
      readonly kind: "if";
      readonly condition: Expression;
      readonly yes: readonly TemplatePart[];
      readonly no: readonly TemplatePart[];
    }
  | {
      readonly kind: "for";
      readonly keyName: string | undefined;
      readonly valueName: string;
      readonly collection: Expression;
      readonly parts: readonly TemplatePart[];
      readonly range: Range;
    };
