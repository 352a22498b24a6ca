// The row of an attribute, and the kinds of rows that many attributes share: texts, switches, lists and maps of texts.
import { BakeError } from "../diagnostic/error.ts";
import { sortedRecord } from "../oci/json.ts";
import { convert } from "./hcl/convert.ts";
import {
  BOOL,
  STRING,
  boolValue,
  listValue,
  mapValue,
  stringValue,
  unwrapItems,
  type Type,
  type Value,
} from "./hcl/value.ts";

export type StringMap = Readonly<Record<string, string>>;

/** How one attribute is read, merged and shown. */
export interface AttributeRow<V> {
  /** The name in bake files and in print. */
  readonly name: string;
  /** The value of the attribute, undefined for "not set". @throws BakeError */
  readonly read: (value: Value) => V | undefined;
  /** `base` extended by a later `next`. */
  readonly merge: (base: V | undefined, next: V) => V;
  /** After merging and overriding. Undefined drops the attribute. */
  readonly normalize: (value: V) => V | undefined;
  /** JSON of the attribute; undefined when it does not print. */
  readonly print: (value: V) => unknown;
  /** What `target.NAME.ATTRIBUTE` gives. */
  readonly toValue: (value: V | undefined) => Value;
}

// Ways to merge what was inherited with what comes on top of it.
export const replace = <T>(_base: T | undefined, next: T): T => next;
export const append = <T>(base: readonly T[] | undefined, next: readonly T[]): readonly T[] => [
  ...(base ?? []),
  ...next,
];
export const keep = <T>(value: T): T => value;
/** The null of a type. */
export const nullOf = (type: Type): Value => ({ kind: "null", type });
/** A list as JSON; an empty one does not print. */
export const printList = (value: readonly unknown[]): unknown => (value.length === 0 ? undefined : value);

/** `${` and `%{` doubled, so that the text reads back as itself. */
export function escapeTemplate(text: string): string {
  return text.replace(/[$%](?=\{)/g, sign => sign + sign);
}

/** A text, undefined for null. @throws BakeError */
export function readString(value: Value): string | undefined {
  const text = convert(value, STRING);
  return text.kind === "string" ? text.value : undefined;
}

/** One text. `required`: null is an error instead of "not set". */
export function textRow(
  name: string,
  {
    merge = replace,
    print = keep,
    required = false,
  }: Partial<AttributeRow<string>> & { readonly required?: boolean } = {},
): AttributeRow<string> {
  return {
    name,
    read: value => {
      if (required && value.kind === "null") throw new BakeError("bake-schema", `"${name}" must not be null`);
      return readString(value);
    },
    merge,
    normalize: keep,
    print,
    toValue: value => (value === undefined ? nullOf(STRING) : stringValue(value)),
  };
}

/** A switch. */
export function boolRow(name: string): AttributeRow<boolean> {
  return {
    name,
    read: value => {
      const bool = convert(value, BOOL);
      return bool.kind === "bool" ? bool.value : undefined;
    },
    merge: replace,
    normalize: keep,
    print: keep,
    toValue: value => (value === undefined ? nullOf(BOOL) : boolValue(value)),
  };
}

/** Strings without repeats and without empty ones, first mentions kept. */
export function distinct(items: readonly string[]): readonly string[] {
  return [...new Set(items)].filter(item => item !== "");
}

function readStrings(value: Value): readonly string[] | undefined {
  const list = convert(value, { kind: "list", element: STRING });
  return unwrapItems(list)?.map(item => {
    if (item.kind !== "string")
      throw new BakeError("bake-schema", "a list of strings must not have null in it");
    return item.value;
  });
}

/** A list of texts; unless told otherwise heirs add to it and repeats go. */
export function listRow(
  name: string,
  { merge = append, normalize = distinct, print = printList }: Partial<AttributeRow<readonly string[]>> = {},
): AttributeRow<readonly string[]> {
  return {
    name,
    read: readStrings,
    merge,
    normalize,
    print,
    toValue: value =>
      value === undefined
        ? nullOf({ kind: "list", element: STRING })
        : listValue(STRING, value.map(stringValue)),
  };
}

/** Null values mean "not set": they neither print nor reset inherited ones. */
function readMap(value: Value, nullable: boolean): StringMap | undefined {
  const map = convert(value, MAP_OF_TEXTS);
  if (map.kind !== "map") return undefined;
  const out: Record<string, string> = {};
  for (const [key, item] of map.entries) {
    if (item.kind === "string") setOwn(out, key, item.value);
    else if (!nullable) throw new BakeError("bake-schema", `the value of "${key}" must not be null`);
  }
  return out;
}

export const MAP_OF_TEXTS: Type = { kind: "map", element: STRING };

/** A map of texts as a value of expressions. */
export function textMap(map: StringMap): Value {
  return mapValue(
    STRING,
    Object.entries(map).map(([key, text]) => [key, stringValue(text)] as const),
  );
}

/** Sets a key even when it is named `__proto__`. */
export function setOwn<T>(record: Record<string, T>, key: string, value: T): void {
  Object.defineProperty(record, key, { value, enumerable: true, writable: true, configurable: true });
}

/** The entries of both, those of `next` over those of `base`. */
export function mergeMaps(base: StringMap | undefined, next: StringMap): StringMap {
  const out: Record<string, string> = {};
  for (const map of [base ?? {}, next])
    for (const [key, value] of Object.entries(map)) setOwn(out, key, value);
  return out;
}

/** Texts by key. `nullable`: null values are left out instead of an error; `escape`: printed so that they read back. */
export function mapRow(name: string, { nullable = true, escape = true } = {}): AttributeRow<StringMap> {
  return {
    name,
    read: value => readMap(value, nullable),
    merge: mergeMaps,
    normalize: keep,
    print: value => {
      const entries = Object.entries(value);
      if (entries.length === 0) return undefined;
      return sortedRecord(
        Object.fromEntries(entries.map(([key, text]) => [key, escape ? escapeTemplate(text) : text])),
      );
    },
    toValue: value => (value === undefined ? nullOf(MAP_OF_TEXTS) : textMap(value)),
  };
}
