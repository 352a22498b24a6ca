// Values of the bake language to and from JSON (go-cty cty/json).
import { didYouMean } from "../diagnostic/suggest.ts";
import { goJson } from "../oci/json.ts";
import { convert } from "./hcl/convert.ts";
import { formatNumber, parseNumber } from "./hcl/number.ts";
import { fail } from "./hcl/functions/function.ts";
import {
  DYNAMIC,
  NULL,
  boolValue,
  numberValue,
  objectValue,
  stringValue,
  tupleValue,
  typeOf,
  type Type,
  type Value,
} from "./hcl/value.ts";
import { parseJsonText, type JsonNode } from "./json-text.ts";

/** Compact JSON; keys of objects in byte order. @throws BakeError for infinite numbers */
export function valueToJson(value: Value): string {
  switch (value.kind) {
    case "null":
      return "null";
    case "string":
      return goJson(value.value);
    case "bool":
      return String(value.value);
    case "number":
      if (value.value.infinite) throw fail("an infinite number has no JSON form");
      return formatNumber(value.value);
    case "list":
    case "set":
    case "tuple":
      return `[${value.items.map(valueToJson).join(",")}]`;
    case "map":
    case "object":
      return `{${[...value.entries].map(([key, item]) => `${goJson(key)}:${valueToJson(item)}`).join(",")}}`;
    default: {
      const never: never = value;
      return never;
    }
  }
}

/** Objects and tuples of the JSON's own shape. @throws BakeError "bake-syntax" pointing into the JSON text */
export function valueFromJson(text: string, name = "JSON"): Value {
  return fromNode(parseJsonText({ name, text }));
}

/** JSON of a wanted type, as `NAME_JSON` variables hold it. */
export function typedValueFromJson(text: string, type: Type): Value {
  const value = valueFromJson(text);
  if (type.kind === "object" && value.kind === "object") {
    const extra = [...value.entries.keys()].find(key => !type.attributes.has(key));
    if (extra !== undefined)
      throw fail(`the type has no attribute "${extra}"`, didYouMean(extra, type.attributes.keys()));
  }
  if (type.kind !== "dynamic") return convert(value, lenient(type));
  const inner = value.kind === "object" ? value.entries.get("value") : undefined;
  if (inner === undefined || value.kind !== "object" || !value.entries.has("type")) {
    throw fail('JSON for the type "any" must be an object with "type" and "value"');
  }
  return inner;
}

/** JSON may leave out any attribute of an object. */
function lenient(type: Type): Type {
  switch (type.kind) {
    case "object": {
      const attributes = new Map([...type.attributes].map(([key, inner]) => [key, lenient(inner)] as const));
      return { kind: "object", attributes, optional: new Set(attributes.keys()) };
    }
    case "tuple":
      return { kind: "tuple", elements: type.elements.map(lenient) };
    case "list":
    case "set":
    case "map":
      return { kind: type.kind, element: lenient(type.element) };
    default:
      return type;
  }
}

/** JSON of a value for a declared type; parts declared "any" say their own type. */
export function typedValueToJson(value: Value, type: Type): string {
  if (type.kind === "dynamic") {
    if (value.kind === "null") return "null";
    return `{"value":${valueToJson(value)},"type":${typeToJson(typeOf(value))}}`;
  }
  if ("items" in value) {
    const inner = (i: number): Type =>
      "element" in type ? type.element : type.kind === "tuple" ? (type.elements[i] ?? DYNAMIC) : DYNAMIC;
    return `[${value.items.map((item, i) => typedValueToJson(item, inner(i))).join(",")}]`;
  }
  if ("entries" in value) {
    const inner = (key: string): Type =>
      "element" in type
        ? type.element
        : type.kind === "object"
          ? (type.attributes.get(key) ?? DYNAMIC)
          : DYNAMIC;
    return `{${[...value.entries].map(([key, item]) => `${goJson(key)}:${typedValueToJson(item, inner(key))}`).join(",")}}`;
  }
  return valueToJson(value);
}

function typeToJson(type: Type): string {
  switch (type.kind) {
    case "list":
    case "set":
    case "map":
      return `["${type.kind}",${typeToJson(type.element)}]`;
    case "tuple":
      return `["tuple",[${type.elements.map(typeToJson).join(",")}]]`;
    case "object":
      return `["object",{${[...type.attributes].map(([key, inner]) => `${goJson(key)}:${typeToJson(inner)}`).join(",")}}]`;
    default:
      return `"${type.kind}"`;
  }
}

function fromNode(node: JsonNode): Value {
  switch (node.kind) {
    case "null":
      return NULL;
    case "boolean":
      return boolValue(node.value);
    case "string":
      return stringValue(node.value.normalize("NFC"));
    case "number": {
      const number = parseNumber(node.text);
      if (number === undefined) throw fail(`the number ${node.text} is too large`);
      return numberValue(number);
    }
    case "array":
      return tupleValue(node.items.map(fromNode));
    case "object":
      return objectValue(
        node.members.map(({ key, value }) => [key.value.normalize("NFC"), fromNode(value)] as const),
      );
    default: {
      const never: never = node;
      return never;
    }
  }
}
