// Conversions between types (hashicorp/hcl spec.md, "Type Conversions and Unification").
import { BakeError } from "../../diagnostic/error.ts";
import { parseNumber } from "./number.ts";
import {
  BOOL,
  DYNAMIC,
  NUMBER,
  STRING,
  boolValue,
  equalTypes,
  listValue,
  mapValue,
  numberValue,
  objectValue,
  scalarText,
  setValue,
  stringValue,
  tupleValue,
  typeName,
  typeOf,
  type Type,
  type Value,
} from "./value.ts";

/**
 * Converts a value.
 * @throws BakeError "bake-evaluate" without a range when there is no conversion
 */
export function convert(value: Value, type: Type): Value {
  if (type.kind === "dynamic") return value;
  if (value.kind === "null") return convertNull(value.type, type);
  switch (type.kind) {
    case "string": {
      const text = scalarText(value);
      if (text === undefined) throw mismatch(value, type);
      return stringValue(text);
    }
    case "number":
      if (value.kind === "number") return value;
      if (value.kind === "string") {
        const number = parseNumber(value.value);
        if (number !== undefined) return numberValue(number);
      }
      throw mismatch(value, type);
    case "bool":
      if (value.kind === "bool") return value;
      if (value.kind === "string") {
        if (value.value === "true" || value.value === "1") return boolValue(true);
        if (value.value === "false" || value.value === "0") return boolValue(false);
        if (/^(true|false)$/i.test(value.value)) {
          throw new BakeError("bake-evaluate", `expected a bool, found "${value.value}"`, {
            hint: `write ${value.value.toLowerCase()} in lower case`,
          });
        }
      }
      throw mismatch(value, type);
    case "list":
    case "set": {
      if (!("items" in value)) throw mismatch(value, type);
      const element = type.element.kind === "dynamic" ? commonElement(value, type) : type.element;
      const items = value.items.map(item => convert(item, element));
      return type.kind === "list" ? listValue(element, items) : setValue(element, items);
    }
    case "map": {
      if (!("entries" in value)) throw mismatch(value, type);
      const element = type.element.kind === "dynamic" ? commonElement(value, type) : type.element;
      return mapValue(
        element,
        [...value.entries].map(([key, item]) => [key, convert(item, element)] as const),
      );
    }
    case "tuple":
      if (value.kind !== "tuple" || value.items.length !== type.elements.length) throw mismatch(value, type);
      return tupleValue(value.items.map((item, i) => convert(item, type.elements[i] ?? DYNAMIC)));
    case "object": {
      if (!("entries" in value)) throw mismatch(value, type);
      const { entries } = value;
      const missing = [...type.attributes.keys()].filter(
        key => !entries.has(key) && !type.optional?.has(key),
      );
      if (missing.length > 0) {
        throw new BakeError("bake-evaluate", `the object lacks the attribute "${missing.join('", "')}"`);
      }
      return objectValue(
        [...type.attributes].map(([key, wanted]) => {
          const item = entries.get(key);
          return [key, item === undefined ? { kind: "null", type: wanted } : convert(item, wanted)] as const;
        }),
      );
    }
    default: {
      const never: never = type;
      return never;
    }
  }
}

function convertNull(from: Type, to: Type): Value {
  if (from.kind !== "dynamic" && unify([from, to]) === undefined && !equalTypes(from, to)) {
    throw new BakeError("bake-evaluate", `expected ${withArticle(to)}, found a null ${typeName(from)}`);
  }
  return { kind: "null", type: to };
}

function commonElement(value: Value, wanted: Type): Type {
  const items = "items" in value ? value.items : "entries" in value ? [...value.entries.values()] : [];
  if (items.length === 0) return "element" in value ? value.element : DYNAMIC;
  const element = unify(items.map(typeOf));
  if (element === undefined) {
    throw new BakeError("bake-evaluate", `all items of a ${wanted.kind} must have one type`);
  }
  return element;
}

function mismatch(value: Value, type: Type): BakeError {
  return new BakeError("bake-evaluate", `expected ${withArticle(type)}, found ${describe(value)}`);
}

function withArticle(type: Type): string {
  return /^[aeiou]/.test(type.kind) ? `an ${typeName(type)}` : `a ${typeName(type)}`;
}

/** A value for a message: `"x"`, `3`, `a tuple`. */
export function describe(value: Value): string {
  if (value.kind === "null") return "null";
  if (value.kind === "string") {
    return value.value.length > 40 ? "a string" : JSON.stringify(value.value);
  }
  return scalarText(value) ?? withArticle(typeOf(value));
}

/** One type that all can be converted to without losing information, or undefined. */
export function unify(types: readonly Type[]): Type | undefined {
  const known = types.filter(type => type.kind !== "dynamic");
  const [first] = known;
  if (first === undefined) return DYNAMIC;
  if (known.every(type => equalTypes(type, first))) return first;
  const kinds = new Set(known.map(type => type.kind));
  const isPrimitive = (kind: Type["kind"]): boolean =>
    kind === "string" || kind === "number" || kind === "bool";
  if ([...kinds].every(isPrimitive)) {
    if (kinds.has("string")) return STRING;
    if (kinds.size === 1) return kinds.has("number") ? NUMBER : BOOL;
    return undefined;
  }
  const onlyOf = (...allowed: Type["kind"][]): boolean => [...kinds].every(kind => allowed.includes(kind));
  if (onlyOf("tuple")) {
    const length = first.kind === "tuple" ? first.elements.length : 0;
    if (known.every(type => type.kind === "tuple" && type.elements.length === length)) {
      const elements: Type[] = [];
      for (let i = 0; i < length; i++) {
        const element = unify(
          known.map(type => (type.kind === "tuple" ? (type.elements[i] ?? DYNAMIC) : DYNAMIC)),
        );
        if (element === undefined) return undefined;
        elements.push(element);
      }
      return { kind: "tuple", elements };
    }
  }
  if (onlyOf("list", "set", "tuple")) {
    const parts = known.flatMap(type =>
      type.kind === "tuple" ? type.elements : "element" in type ? [type.element] : [],
    );
    const element = unify(parts);
    if (element === undefined) return undefined;
    return { kind: kinds.has("list") || !kinds.has("set") ? "list" : "set", element };
  }
  if (onlyOf("map", "object")) {
    if (kinds.size === 1 && kinds.has("object")) {
      const same = unifyObjects(known);
      if (same !== undefined) return same;
    }
    const parts = known.flatMap(type =>
      type.kind === "object" ? [...type.attributes.values()] : "element" in type ? [type.element] : [],
    );
    const element = unify(parts);
    return element === undefined ? undefined : { kind: "map", element };
  }
  return undefined;
}

function unifyObjects(types: readonly Type[]): Type | undefined {
  const objects = types.flatMap(type => (type.kind === "object" ? [type.attributes] : []));
  const [first] = objects;
  if (first === undefined) return undefined;
  const attributes = new Map<string, Type>();
  for (const key of first.keys()) {
    const parts: Type[] = [];
    for (const object of objects) {
      const type = object.get(key);
      if (type === undefined || object.size !== first.size) return undefined;
      parts.push(type);
    }
    const type = unify(parts);
    if (type === undefined) return undefined;
    attributes.set(key, type);
  }
  return { kind: "object", attributes };
}
