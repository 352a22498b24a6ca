// Bake files in JSON (hashicorp/hcl json/spec.md): turned into the syntax tree of HCL. Strings are templates.
import { BakeError } from "../diagnostic/error.ts";
import type { Diagnosed } from "../diagnostic/diagnostic.ts";
import type { Source } from "../diagnostic/source.ts";
import { FILE_BLOCKS } from "./import.ts";
import { parseNumber } from "./hcl/number.ts";
import { parseExpression, parseTemplate } from "./hcl/parse-expression.ts";
import { createCursor, peek, syntaxError, type Cursor } from "./hcl/scan.ts";
import { NULL, boolValue, numberValue, stringValue } from "./hcl/value.ts";
import { parseJsonText, type JsonMember, type JsonNode, type JsonString } from "./json-text.ts";
import type { Attribute, Block, Body, Expression } from "./hcl/ast.ts";

/** Top-level properties that are blocks with one label. */
const BLOCKS = ["group", "target", "variable", "function"];

/** Strings of these attributes hold names or types instead of text. */
const BARE: Readonly<Record<string, readonly string[]>> = {
  function: ["params", "variadic_params"],
  variable: ["type"],
};

/** Parses a whole JSON bake file. */
export function parseJson(source: Source): Diagnosed<Body> {
  try {
    const root = parseJsonText(source);
    const objects = root.kind === "array" ? root.items : [root];
    const attributes: Attribute[] = [];
    const blocks: Block[] = [];
    for (const object of objects) {
      for (const member of membersOf(object, "a bake file is an object")) {
        if (BLOCKS.includes(member.key.value)) blocks.push(...labelledBlocks(member));
        else if (isFileBlock(member)) blocks.push(...fileBlocks(member));
        else if (member.key.value !== "//") {
          if (attributes.some(one => one.name === member.key.value)) {
            throw new BakeError("bake-syntax", `the property "${member.key.value}" is set twice`, {
              range: member.key.range,
            });
          }
          attributes.push(attributeOf(member, []));
        }
      }
    }
    return { value: { attributes, blocks }, diagnostics: [] };
  } catch (thrown) {
    if (!(thrown instanceof BakeError)) throw thrown;
    return { value: { attributes: [], blocks: [] }, diagnostics: thrown.diagnostics };
  }
}

function membersOf(node: JsonNode, message: string): readonly JsonMember[] {
  if (node.kind === "object") return node.members;
  throw new BakeError("bake-syntax", message, { range: node.range });
}

function labelledBlocks({ key, value }: JsonMember): Block[] {
  const type = key.value;
  const blocks: Block[] = [];
  if (value.kind === "null") {
    throw new BakeError("bake-syntax", `"${type}" must be an object of named ${type}s`, {
      range: value.range,
    });
  }
  for (const object of value.kind === "array" ? value.items : [value]) {
    for (const labelled of membersOf(object, `"${type}" must be an object of named ${type}s`)) {
      const { value: content } = labelled;
      if (content.kind === "null") continue;
      for (const body of content.kind === "array" ? content.items : [content]) {
        const label = { text: labelled.key.value, range: labelled.key.range };
        blocks.push({ type, labels: [label], body: bodyOf(body, type), headRange: labelled.key.range });
      }
    }
  }
  return blocks;
}

/** `"import": {"path": ...}` or a list of such; any other value of these names is a plain attribute. */
function isFileBlock({ key, value }: JsonMember): boolean {
  const hasPath = (node: JsonNode): boolean =>
    node.kind === "object" && node.members.some(member => member.key.value === "path");
  if (!FILE_BLOCKS.some(name => name === key.value)) return false;
  return value.kind === "array" ? value.items.length > 0 && value.items.every(hasPath) : hasPath(value);
}

function fileBlocks({ key, value }: JsonMember): Block[] {
  const objects = value.kind === "array" ? value.items : [value];
  return objects.map(object => ({
    type: key.value,
    labels: [],
    body: bodyOf(object, key.value),
    headRange: key.range,
  }));
}

function bodyOf(node: JsonNode, type: string): Body {
  const attributes = new Map<string, Attribute>();
  const blocks: Block[] = [];
  const objects = node.kind === "array" ? node.items : [node];
  for (const object of objects) {
    for (const member of membersOf(object, `the content of a ${type} must be an object`)) {
      const name = member.key.value;
      if (name === "//") continue;
      if (type === "variable" && name === "validation") {
        for (const rule of member.value.kind === "array" ? member.value.items : [member.value]) {
          blocks.push({ type: name, labels: [], body: bodyOf(rule, name), headRange: member.key.range });
        }
        continue;
      }
      if (attributes.has(name)) {
        throw new BakeError("bake-syntax", `the property "${name}" is set twice`, {
          range: member.key.range,
        });
      }
      attributes.set(name, attributeOf(member, BARE[type] ?? []));
    }
  }
  return { attributes: [...attributes.values()], blocks };
}

function attributeOf({ key, value }: JsonMember, bare: readonly string[]): Attribute {
  const expression = bare.includes(key.value) ? bareExpression(value) : expressionOf(value);
  return { name: key.value, nameRange: key.range, expression, range: { ...key.range, end: value.range.end } };
}

function expressionOf(node: JsonNode): Expression {
  const { range } = node;
  switch (node.kind) {
    case "string":
      return templateOf(node);
    case "number": {
      const number = parseNumber(node.text);
      if (number === undefined)
        throw new BakeError("bake-syntax", `the number ${node.text} is too large`, { range });
      return { kind: "literal", value: numberValue(number), range };
    }
    case "boolean":
      return { kind: "literal", value: boolValue(node.value), range };
    case "null":
      return { kind: "literal", value: NULL, range };
    case "array":
      return { kind: "tuple", items: node.items.map(expressionOf), range };
    case "object":
      return {
        kind: "object",
        entries: node.members.map(({ key, value }) => ({ key: templateOf(key), value: expressionOf(value) })),
        range,
      };
    default: {
      const never: never = node;
      return never;
    }
  }
}

function cursorIn(text: JsonString): Cursor {
  return createCursor(text.range.source, text.value, offset => text.offsets[offset] ?? text.range.end - 1);
}

function templateOf(text: JsonString): Expression {
  if (!text.value.includes("${") && !text.value.includes("%{")) {
    return { kind: "literal", value: stringValue(text.value.normalize("NFC")), range: text.range };
  }
  return { ...parseTemplate(cursorIn(text)), range: text.range };
}

/** A string that holds an expression, or a list of such. */
function bareExpression(node: JsonNode): Expression {
  if (node.kind === "array")
    return { kind: "tuple", items: node.items.map(bareExpression), range: node.range };
  if (node.kind !== "string") return expressionOf(node);
  const cursor = createCursor(
    node.range.source,
    node.value,
    offset => node.offsets[offset] ?? node.range.end - 1,
  );
  const expression = parseExpression(cursor);
  const rest = peek(cursor);
  if (rest.kind !== "end") throw syntaxError(cursor, "expected the end of the string", rest.start, rest.end);
  return expression;
}
