// The attributes of a target, one row each: how a value is read, how inheritance merges it, and how it prints.
// The rules are those of the bake reference (docker/buildx docs/bake-reference.md).
import { BakeError } from "../diagnostic/error.ts";
import { sortedRecord } from "../oci/json.ts";
import * as entry from "./entry.ts";
import { convert, describe } from "./hcl/convert.ts";
import { numberFromInt, toSafeInt } from "./hcl/number.ts";
import {
  BOOL,
  NUMBER,
  STRING,
  boolValue,
  listValue,
  mapValue,
  numberValue,
  objectValue,
  stringValue,
  unwrapItems,
  type Type,
  type Value,
} from "./hcl/value.ts";

type StringMap = Readonly<Record<string, string>>;

/** cgroup limits of RUN steps; sizes as written, cpu values in the kernel's units. */
export interface Resources {
  readonly memory?: string;
  readonly "memory-swap"?: string;
  readonly "cpu-shares"?: number;
  readonly "cpu-period"?: number;
  readonly "cpu-quota"?: number;
  readonly "cpuset-cpus"?: string;
  readonly "cpuset-mems"?: string;
}

/** The attributes of a target, in the order in which they print. */
export interface FieldTypes {
  description: string;
  inherits: readonly string[];
  annotations: readonly string[];
  attest: readonly entry.AttestEntry[];
  context: string;
  contexts: StringMap;
  dockerfile: string;
  dockerfileInline: string;
  args: StringMap;
  labels: StringMap;
  tags: readonly string[];
  cacheFrom: readonly entry.CacheEntry[];
  cacheTo: readonly entry.CacheEntry[];
  target: string;
  secret: readonly entry.SecretEntry[];
  ssh: readonly entry.SshEntry[];
  platforms: readonly string[];
  output: readonly entry.OutputEntry[];
  pull: boolean;
  noCache: boolean;
  network: string;
  noCacheFilter: readonly string[];
  shmSize: string;
  ulimits: readonly string[];
  resources: Resources;
  call: string;
  entitlements: readonly string[];
  extraHosts: StringMap;
  policy: readonly entry.PolicyEntry[];
}

/** What a target says, as far as it says it. */
export type TargetFields = { [F in keyof FieldTypes]?: FieldTypes[F] };

export type Field = keyof FieldTypes;
type FieldValue<F extends Field> = FieldTypes[F];

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

type Table = { readonly [F in Field]: AttributeRow<FieldValue<F>> };

const replace = <T>(_base: T | undefined, next: T): T => next;
const append = <T>(base: readonly T[] | undefined, next: readonly T[]): readonly T[] => [
  ...(base ?? []),
  ...next,
];
const keep = <T>(value: T): T => value;
const nullOf = (type: Type): Value => ({ kind: "null", type });
const printList = (value: readonly unknown[]): unknown => (value.length === 0 ? undefined : value);

/** `${` and `%{` doubled, so that the text reads back as itself. */
export function escapeTemplate(text: string): string {
  return text.replace(/[$%](?=\{)/g, sign => sign + sign);
}

function readString(value: Value): string | undefined {
  const text = convert(value, STRING);
  return text.kind === "string" ? text.value : undefined;
}

function textRow(
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

function boolRow(name: string): AttributeRow<boolean> {
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

function listRow(
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
  const map = convert(value, { kind: "map", element: STRING });
  if (map.kind !== "map") return undefined;
  const out: Record<string, string> = {};
  for (const [key, item] of map.entries) {
    if (item.kind === "string") setOwn(out, key, item.value);
    else if (!nullable) throw new BakeError("bake-schema", `the value of "${key}" must not be null`);
  }
  return out;
}

/** Sets a key even when it is named `__proto__`. */
export function setOwn<T>(record: Record<string, T>, key: string, value: T): void {
  Object.defineProperty(record, key, { value, enumerable: true, writable: true, configurable: true });
}

export function mergeMaps(base: StringMap | undefined, next: StringMap): StringMap {
  const out: Record<string, string> = {};
  for (const map of [base ?? {}, next])
    for (const [key, value] of Object.entries(map)) setOwn(out, key, value);
  return out;
}

function mapRow(name: string, { nullable = true, escape = true } = {}): AttributeRow<StringMap> {
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
    toValue: value =>
      value === undefined
        ? nullOf({ kind: "map", element: STRING })
        : mapValue(
            STRING,
            Object.entries(value).map(([key, text]) => [key, stringValue(text)] as const),
          ),
  };
}

/**
 * Drops repeated entries the way buildx does: of equal entries the later goes, and the last entry of all takes
 * its place, which can change the order.
 */
export function dropEqual<T>(items: readonly T[], key: (item: T) => string): readonly T[] {
  const out = [...items];
  for (let i = out.length - 2; i >= 0; i--) {
    const item = out[i];
    if (item === undefined) continue;
    const at = out.findIndex((other, j) => j > i && key(other) === key(item));
    if (at < 0) continue;
    const last = out.pop();
    if (last !== undefined && at < out.length) out[at] = last;
  }
  return out;
}

/** Of entries with one id the later takes the place of the earlier. */
export function lastById<T>(items: readonly T[], id: (item: T) => string): readonly T[] {
  const found = new Map<string, T>();
  for (const item of items) found.set(id(item), item);
  return [...found.values()];
}

const noneIfEmpty = <T>(items: readonly T[]): readonly T[] | undefined =>
  items.length === 0 ? undefined : items;
const attrKey = (value: {
  readonly type: string;
  readonly dest?: string | undefined;
  readonly attrs: entry.Attributes;
}): string => JSON.stringify([value.type, value.dest, Object.entries(sortedRecord(value.attrs))]);

const MAP_OF_STRINGS: Type = { kind: "map", element: STRING };
const attrsValue = (fields: Readonly<Record<string, string>>): Value =>
  mapValue(
    STRING,
    Object.entries(fields).map(([key, text]) => [key, stringValue(text)] as const),
  );

export function normalizeOutputs(items: readonly entry.OutputEntry[]): readonly entry.OutputEntry[] {
  return dropEqual(items, attrKey);
}

export function normalizeCaches(items: readonly entry.CacheEntry[]): readonly entry.CacheEntry[] {
  return dropEqual(items, attrKey);
}

function cacheRow(
  name: string,
  merge: AttributeRow<readonly entry.CacheEntry[]>["merge"],
): AttributeRow<readonly entry.CacheEntry[]> {
  return {
    name,
    read: value => entry.entryItems(value).flatMap(entry.cachesFromValue),
    merge,
    normalize: items => noneIfEmpty(normalizeCaches(items)),
    print: items => printList(items.map(item => sortedRecord({ ...item.attrs, type: item.type }))),
    toValue: items =>
      listValue(
        MAP_OF_STRINGS,
        (items ?? []).map(item => attrsValue({ ...item.attrs, type: item.type })),
      ),
  };
}

const RESOURCE_TEXTS = ["memory", "memory-swap", "cpuset-cpus", "cpuset-mems"] as const;
const RESOURCE_NUMBERS = ["cpu-shares", "cpu-period", "cpu-quota"] as const;

function resourcesValue(resources: Resources | undefined): Value {
  const types = new Map<string, Type>([
    ...RESOURCE_TEXTS.map(key => [key, STRING] as const),
    ...RESOURCE_NUMBERS.map(key => [key, NUMBER] as const),
  ]);
  if (resources === undefined) return nullOf({ kind: "object", attributes: types });
  return objectValue([
    ...RESOURCE_TEXTS.map(key => [key, valueOrNull(resources[key], STRING, stringValue)] as const),
    ...RESOURCE_NUMBERS.map(
      key => [key, valueOrNull(resources[key], NUMBER, int => numberValue(numberFromInt(int)))] as const,
    ),
  ]);
}

function valueOrNull<T>(value: T | undefined, type: Type, make: (value: T) => Value): Value {
  return value === undefined ? nullOf(type) : make(value);
}

function readResources(value: Value): Resources {
  if (!("entries" in value)) {
    throw new BakeError(
      "bake-schema",
      value.kind === "null" ? "null is not allowed here" : `expected an object, found ${describe(value)}`,
    );
  }
  const out: Record<string, string | number> = {};
  for (const key of RESOURCE_TEXTS) {
    const item = value.entries.get(key);
    const text = item && readString(item);
    if (text !== undefined) out[key] = text;
  }
  for (const key of RESOURCE_NUMBERS) {
    const item = value.entries.get(key);
    if (item === undefined || item.kind === "null") continue;
    const number = convert(item, NUMBER);
    const int = number.kind === "number" ? toSafeInt(number.value) : undefined;
    if (int === undefined) throw new BakeError("bake-schema", `"${key}" must be a whole number`);
    out[key] = int;
  }
  return out;
}

/** @throws BakeError "bake-resolve" for a field or value that is none */
export function setResource(base: Resources | undefined, key: string, value: string): Resources {
  if (RESOURCE_TEXTS.some(name => name === key)) return { ...base, [key]: value };
  if (RESOURCE_NUMBERS.some(name => name === key)) {
    if (!/^[+-]?\d+$/.test(value))
      throw new BakeError("bake-resolve", `"${value}" is no whole number for resources.${key}`);
    return { ...base, [key]: Number(value) };
  }
  throw new BakeError("bake-resolve", `unknown resource "${key}"`);
}

export const attributeTable: Table = {
  description: {
    ...textRow("description", { merge: (base, next) => next || (base ?? ""), required: true }),
    normalize: text => text || undefined,
    // Never null, unlike the other texts.
    toValue: text => stringValue(text ?? ""),
  },
  inherits: { ...listRow("inherits", { normalize: () => undefined, print: () => undefined }) },
  annotations: listRow("annotations", { print: items => printList(items.map(escapeTemplate)) }),
  attest: {
    name: "attest",
    read: value => entry.entryItems(value).map(entry.attestFromValue),
    merge: (base, next) => lastById(append(base, next), item => item.type),
    normalize: items => noneIfEmpty(lastById(items, item => item.type)),
    print: items =>
      printList(
        items.map(item =>
          sortedRecord<unknown>({ ...item.attrs, type: item.type, ...(item.disabled && { disabled: true }) }),
        ),
      ),
    toValue: items =>
      listValue(
        MAP_OF_STRINGS,
        (items ?? []).map(item =>
          attrsValue({ ...item.attrs, type: item.type, ...(item.disabled && { disabled: "true" }) }),
        ),
      ),
  },
  context: textRow("context"),
  contexts: {
    ...mapRow("contexts", { nullable: false, escape: false }),
    normalize: value => {
      const entries = Object.entries(value).filter(([, text]) => text !== "");
      return entries.length === 0 ? undefined : Object.fromEntries(entries);
    },
  },
  dockerfile: textRow("dockerfile"),
  dockerfileInline: textRow("dockerfile-inline", { print: escapeTemplate }),
  args: mapRow("args"),
  labels: mapRow("labels"),
  tags: listRow("tags", { merge: replace }),
  cacheFrom: cacheRow("cache-from", (base, next) => normalizeCaches(append(base, next))),
  cacheTo: cacheRow("cache-to", replace),
  target: textRow("target"),
  secret: {
    name: "secret",
    read: value => entry.entryItems(value).map(entry.secretFromValue),
    merge: (base, next) => lastById(append(base, next), item => item.id),
    normalize: items => noneIfEmpty(lastById(items, item => item.id)),
    print: items =>
      printList(
        items.map(({ id, src, env }) => ({
          ...(id !== "" && { id }),
          ...(src !== "" && { src }),
          ...(env !== "" && { env }),
        })),
      ),
    toValue: items =>
      listValue(
        {
          kind: "object",
          attributes: new Map([
            ["env", STRING],
            ["id", STRING],
            ["src", STRING],
          ]),
        },
        (items ?? []).map(({ id, src, env }) =>
          objectValue([
            ["id", stringValue(id)],
            ["src", stringValue(src)],
            ["env", stringValue(env)],
          ]),
        ),
      ),
  },
  ssh: {
    name: "ssh",
    read: value => entry.entryItems(value).map(entry.sshFromValue),
    merge: (base, next) => lastById(append(base, next), item => item.id),
    normalize: items => noneIfEmpty(lastById(items, item => item.id)),
    print: items =>
      printList(
        items.map(({ id, paths }) => ({ ...(id !== "" && { id }), ...(paths.length > 0 && { paths }) })),
      ),
    toValue: items =>
      listValue(
        {
          kind: "object",
          attributes: new Map<string, Type>([
            ["id", STRING],
            ["paths", { kind: "list", element: STRING }],
          ]),
        },
        (items ?? []).map(({ id, paths }) =>
          objectValue([
            ["id", stringValue(id)],
            ["paths", listValue(STRING, paths.map(stringValue))],
          ]),
        ),
      ),
  },
  platforms: listRow("platforms", { merge: replace }),
  output: {
    name: "output",
    read: value => entry.entryItems(value).map(entry.outputFromValue),
    merge: replace,
    normalize: items => noneIfEmpty(normalizeOutputs(items)),
    print: items =>
      printList(
        items.map(item =>
          sortedRecord({
            ...item.attrs,
            type: item.type,
            ...(item.dest !== undefined && { dest: item.dest }),
          }),
        ),
      ),
    toValue: items =>
      listValue(
        MAP_OF_STRINGS,
        (items ?? []).map(item => attrsValue({ ...item.attrs, type: item.type, dest: item.dest ?? "" })),
      ),
  },
  pull: boolRow("pull"),
  noCache: boolRow("no-cache"),
  network: textRow("network"),
  noCacheFilter: listRow("no-cache-filter"),
  shmSize: textRow("shm-size"),
  ulimits: listRow("ulimits"),
  resources: {
    name: "resources",
    read: readResources,
    merge: (base, next) => ({ ...base, ...next }),
    normalize: keep,
    print: value => {
      const out: Record<string, unknown> = {};
      for (const key of [
        "memory",
        "memory-swap",
        ...RESOURCE_NUMBERS,
        "cpuset-cpus",
        "cpuset-mems",
      ] as const) {
        if (value[key] !== undefined) out[key] = value[key];
      }
      return out;
    },
    toValue: resourcesValue,
  },
  call: textRow("call"),
  entitlements: listRow("entitlements"),
  extraHosts: mapRow("extra-hosts"),
  policy: {
    name: "policy",
    read: value => entry.entryItems(value).map(entry.policyFromValue),
    merge: append,
    normalize: keep,
    print: items =>
      printList(
        items.map(item => ({
          Files: item.files.length === 0 ? null : item.files.map(Filename => ({ Filename, Data: null })),
          Reset: item.reset,
          Disabled: item.disabled,
          Strict: item.strict ?? null,
          LogLevel: item.logLevel ?? null,
        })),
      ),
    toValue: items =>
      listValue(
        MAP_OF_STRINGS,
        (items ?? []).map(({ files: [filename], reset, disabled, strict, logLevel }) =>
          attrsValue({
            ...(filename !== undefined && { filename }),
            ...(reset && { reset: "true" }),
            ...(disabled && { disabled: "true" }),
            ...(strict !== undefined && { strict: String(strict) }),
            ...(logLevel !== undefined && { "log-level": logLevel }),
          }),
        ),
      ),
  },
};

export const fields = Object.keys(attributeTable) as readonly Field[];

export const fieldOfName: ReadonlyMap<string, Field> = new Map(
  fields.map(field => [attributeTable[field].name, field]),
);

/** Applies one row's function to one field; keeps the type relation between them in one place. */
export function mergeField<F extends Field>(
  into: TargetFields,
  from: Readonly<TargetFields>,
  field: F,
): void {
  const next: FieldValue<F> | undefined = from[field];
  if (next === undefined) return;
  const base: FieldValue<F> | undefined = into[field];
  const row: AttributeRow<FieldValue<F>> = attributeTable[field];
  const merged: TargetFields[F] = row.merge(base, next);
  into[field] = merged;
}

/** What a later block, file or heir says on top of what an earlier one said. */
export function mergeTargets(base: Readonly<TargetFields>, next: Readonly<TargetFields>): TargetFields {
  const out: TargetFields = { ...base };
  for (const field of fields) mergeField(out, next, field);
  return out;
}

export function readField<F extends Field>(into: TargetFields, field: F, value: Value): void {
  const row: AttributeRow<FieldValue<F>> = attributeTable[field];
  const read: TargetFields[F] | undefined = row.read(value);
  if (read === undefined) delete into[field];
  else into[field] = read;
}

export function normalizeField<F extends Field>(into: TargetFields, field: F): void {
  const value = into[field];
  if (value === undefined) return;
  const row: AttributeRow<FieldValue<F>> = attributeTable[field];
  const normal: TargetFields[F] | undefined = row.normalize(value);
  if (normal === undefined) delete into[field];
  else into[field] = normal;
}

export function printField<F extends Field>(target: Readonly<TargetFields>, field: F): unknown {
  const value: FieldValue<F> | undefined = target[field];
  const row: AttributeRow<FieldValue<F>> = attributeTable[field];
  return value === undefined ? undefined : row.print(value);
}

/** The object that `target.NAME` stands for; `exact` has values that say more than the fields. */
export function referenceValue(
  name: string,
  target: Readonly<TargetFields>,
  exact: ReadonlyMap<string, Value> | undefined,
): Value {
  const one = <F extends Field>(field: F): readonly [string, Value] => [
    attributeTable[field].name,
    exact?.get(attributeTable[field].name) ?? attributeTable[field].toValue(target[field]),
  ];
  return objectValue([["name", stringValue(name)], ...fields.map(field => one(field))]);
}
