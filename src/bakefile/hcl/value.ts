// Values and types of the bake language: HCL's type system (hashicorp/hcl spec.md, "Types") as plain data.
import { compareUtf8 } from "../../oci/json.ts";
import { compareNumbers, formatNumber, isZero, type Num } from "./number.ts";

export type Type =
  | { readonly kind: "string" }
  | { readonly kind: "number" }
  | { readonly kind: "bool" }
  | { readonly kind: "dynamic" }
  | { readonly kind: "list" | "set" | "map"; readonly element: Type }
  | { readonly kind: "tuple"; readonly elements: readonly Type[] }
  | {
      readonly kind: "object";
      readonly attributes: ReadonlyMap<string, Type>;
      readonly optional?: ReadonlySet<string>;
    };

export type Value =
  | { readonly kind: "null"; readonly type: Type }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "number"; readonly value: Num }
  | { readonly kind: "bool"; readonly value: boolean }
  | { readonly kind: "list"; readonly element: Type; readonly items: readonly Value[] }
  /** Items are sorted and distinct. */
  | { readonly kind: "set"; readonly element: Type; readonly items: readonly Value[] }
  | { readonly kind: "tuple"; readonly items: readonly Value[] }
  /** Keys are in byte order. */
  | { readonly kind: "map"; readonly element: Type; readonly entries: ReadonlyMap<string, Value> }
  | { readonly kind: "object"; readonly entries: ReadonlyMap<string, Value> };

export const STRING: Type = { kind: "string" };
export const NUMBER: Type = { kind: "number" };
export const BOOL: Type = { kind: "bool" };
export const DYNAMIC: Type = { kind: "dynamic" };
export const NULL: Value = { kind: "null", type: DYNAMIC };
export const TRUE: Value = { kind: "bool", value: true };
export const FALSE: Value = { kind: "bool", value: false };

export function stringValue(value: string): Value {
  return { kind: "string", value };
}

export function numberValue(value: Num): Value {
  return { kind: "number", value };
}

export function boolValue(value: boolean): Value {
  return value ? TRUE : FALSE;
}

export function tupleValue(items: readonly Value[]): Value {
  return { kind: "tuple", items };
}

export function listValue(element: Type, items: readonly Value[]): Value {
  return { kind: "list", element, items };
}

export function objectValue(entries: Iterable<readonly [string, Value]>): Value {
  return { kind: "object", entries: sortedEntries(entries) };
}

export function mapValue(element: Type, entries: Iterable<readonly [string, Value]>): Value {
  return { kind: "map", element, entries: sortedEntries(entries) };
}

/** A set: items sorted, equal ones dropped. */
export function setValue(element: Type, items: readonly Value[]): Value {
  const sorted = [...items].sort(compareValues);
  return {
    kind: "set",
    element,
    items: sorted.filter((item, i) => i === 0 || !equalValues(sorted[i - 1] ?? item, item)),
  };
}

function sortedEntries(entries: Iterable<readonly [string, Value]>): ReadonlyMap<string, Value> {
  return new Map([...new Map(entries)].sort(([a], [b]) => compareUtf8(a, b)));
}

export function typeOf(value: Value): Type {
  switch (value.kind) {
    case "null":
      return value.type;
    case "string":
      return STRING;
    case "number":
      return NUMBER;
    case "bool":
      return BOOL;
    case "list":
    case "set":
    case "map":
      return { kind: value.kind, element: value.element };
    case "tuple":
      return { kind: "tuple", elements: value.items.map(typeOf) };
    case "object":
      return {
        kind: "object",
        attributes: new Map([...value.entries].map(([key, item]) => [key, typeOf(item)])),
      };
    default: {
      const never: never = value;
      return never;
    }
  }
}

export function equalTypes(a: Type, b: Type): boolean {
  switch (a.kind) {
    case "list":
    case "set":
    case "map":
      return b.kind === a.kind && equalTypes(a.element, b.element);
    case "tuple":
      return (
        b.kind === "tuple" &&
        a.elements.length === b.elements.length &&
        a.elements.every((element, i) => equalTypes(element, b.elements[i] ?? DYNAMIC))
      );
    case "object": {
      if (b.kind !== "object" || a.attributes.size !== b.attributes.size) return false;
      for (const [key, type] of a.attributes) {
        const other = b.attributes.get(key);
        if (other === undefined || !equalTypes(type, other)) return false;
      }
      return true;
    }
    default:
      return a.kind === b.kind;
  }
}

/** The name of a type for people: `string`, `list of string`, `object`. */
export function typeName(type: Type, { constraint = false } = {}): string {
  switch (type.kind) {
    case "dynamic":
      return constraint ? "any type" : "dynamic";
    case "list":
    case "set":
    case "map":
      if (constraint && type.element.kind === "dynamic") return `${type.kind} of any single type`;
      return `${type.kind} of ${typeName(type.element, { constraint })}`;
    default:
      return type.kind;
  }
}

/** Equality of the `==` operator: types must agree, nothing is converted. */
export function equalValues(a: Value, b: Value): boolean {
  if (a.kind === "null" || b.kind === "null") return a.kind === b.kind;
  switch (a.kind) {
    case "string":
      return b.kind === "string" && a.value === b.value;
    case "bool":
      return b.kind === "bool" && a.value === b.value;
    case "number":
      return b.kind === "number" && compareNumbers(a.value, b.value) === 0;
    case "list":
    case "set":
    case "tuple":
      return (
        b.kind === a.kind &&
        a.items.length === b.items.length &&
        a.items.every((item, i) => equalValues(item, b.items[i] ?? NULL))
      );
    case "map":
    case "object": {
      if (b.kind !== a.kind || a.entries.size !== b.entries.size) return false;
      for (const [key, item] of a.entries) {
        const other = b.entries.get(key);
        if (other === undefined || !equalValues(item, other)) return false;
      }
      return true;
    }
    default: {
      const never: never = a;
      return never;
    }
  }
}

const ORDER: readonly Value["kind"][] = [
  "bool",
  "number",
  "string",
  "list",
  "set",
  "tuple",
  "map",
  "object",
  "null",
];

/** A total order: false before true, numbers by size, strings by bytes, collections by their items, null last. */
function compareValues(a: Value, b: Value): number {
  if (a.kind === "string" && b.kind === "string") return compareUtf8(a.value, b.value);
  if (a.kind === "number" && b.kind === "number") return compareNumbers(a.value, b.value);
  if (a.kind === "bool" && b.kind === "bool") return Number(a.value) - Number(b.value);
  if ("items" in a && "items" in b) {
    for (const [i, item] of a.items.entries()) {
      const other = b.items[i];
      if (other === undefined) return 1;
      const order = compareValues(item, other);
      if (order !== 0) return order;
    }
    return a.items.length - b.items.length;
  }
  if ("entries" in a && "entries" in b) {
    const others = [...b.entries];
    for (const [i, [key, item]] of [...a.entries].entries()) {
      const other = others[i];
      if (other === undefined) return 1;
      const order = compareUtf8(key, other[0]) || compareValues(item, other[1]);
      if (order !== 0) return order;
    }
    return a.entries.size - b.entries.size;
  }
  return ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind);
}

/** The items of a list, set or tuple. */
export function unwrapItems(value: Value): readonly Value[] | undefined {
  return "items" in value ? value.items : undefined;
}

/** A scalar as text, the way templates insert it; undefined for collections and null. */
export function scalarText(value: Value): string | undefined {
  switch (value.kind) {
    case "string":
      return value.value;
    case "bool":
      return String(value.value);
    case "number":
      return isZero(value.value) && value.value.sign === 1 ? "0" : formatNumber(value.value);
    default:
      return undefined;
  }
}
