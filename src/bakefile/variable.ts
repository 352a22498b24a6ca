// Values of variables that come from the command line or the environment, as texts
// (bake reference, "variable": override rules of buildx).
import { typedValueFromJson } from "./json-value.ts";
import { BakeError } from "../diagnostic/error.ts";
import { parseBoolText, parseCsvFields } from "./csv.ts";
import { numberFromDouble } from "./hcl/number.ts";
import {
  boolValue,
  listValue,
  mapValue,
  numberValue,
  setValue,
  stringValue,
  tupleValue,
  typeName,
  typeOf,
  type Type,
  type Value,
} from "./hcl/value.ts";

function problem(message: string, hint?: string): BakeError {
  return new BakeError("bake-evaluate", message, { hint });
}

/** Whether values of the type can be written as plain text. */
export function isPrimitive(type: Type): boolean {
  return type.kind === "string" || type.kind === "number" || type.kind === "bool";
}

/** A text as a string, bool or number. Numbers pass through a double, as in buildx. */
function primitiveFromText(name: string, text: string, type: Type): Value {
  switch (type.kind) {
    case "string":
      return stringValue(text);
    case "bool": {
      const bool = parseBoolText(text);
      if (bool === undefined) throw problem(`the variable "${name}" must be true or false, found "${text}"`);
      return boolValue(bool);
    }
    case "number": {
      const plain =
        /^[+-]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?$/.test(text) && !/__|_$|_\.|\._/.test(text);
      const number = plain ? Number(text.replaceAll("_", "")) : Number.NaN;
      if (!Number.isFinite(number)) throw problem(`the variable "${name}" must be a number, found "${text}"`);
      return numberValue(numberFromDouble(number));
    }
    default:
      throw problem(`the variable "${name}" cannot hold a ${typeName(type)} given as text`);
  }
}

function isCsvType(type: Type): boolean {
  return type.kind === "list" || type.kind === "set" || type.kind === "tuple" || type.kind === "map";
}

/** A comma-separated text as a list, set, tuple or map (`key:value`). */
function collectionFromText(name: string, text: string, type: Type): Value {
  const json = `set ${name}_JSON to give it as JSON`;
  const element = "element" in type ? type.element : undefined;
  if (element !== undefined && !isPrimitive(element)) {
    throw problem(`the variable "${name}" cannot hold a ${typeName(type)} given as text`, json);
  }
  const fields = parseCsvFields(text);
  const values = (wanted: Type): Value[] => fields.map(field => primitiveFromText(name, field, wanted));
  switch (type.kind) {
    case "list":
      return listValue(type.element, values(type.element));
    case "set":
      return setValue(type.element, values(type.element));
    case "tuple":
      if (type.elements.length !== fields.length) {
        throw problem(`the variable "${name}" needs ${type.elements.length} values, found ${fields.length}`);
      }
      return tupleValue(type.elements.map((wanted, i) => primitiveFromText(name, fields[i] ?? "", wanted)));
    case "map":
      return mapValue(
        type.element,
        fields.map(field => {
          const [key, value, ...rest] = parseCsvFields(field, ":");
          if (key === undefined || value === undefined || rest.length > 0) {
            throw problem(`the variable "${name}" needs entries "key:value", found "${field}"`);
          }
          return [key, primitiveFromText(name, value, type.element)] as const;
        }),
      );
    default:
      throw problem(`the variable "${name}" cannot hold a ${typeName(type)} given as text`, json);
  }
}

/** A text given for a variable, by its declared type or else by the type of its default. */
export function valueFromText(
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
