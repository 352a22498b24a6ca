// The rows of the attributes whose items are entries (entry.ts): how such lists merge, print and read back as values.
import { sortedRecord } from "../oci/json.ts";
import * as entry from "./entry.ts";
import { STRING, listValue, objectValue, stringValue, type Type } from "./hcl/value.ts";
import { append, keep, printList, replace, textMap, MAP_OF_TEXTS, type AttributeRow } from "./row.ts";

export const attestRow: AttributeRow<readonly entry.AttestEntry[]> = {
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
      MAP_OF_TEXTS,
      (items ?? []).map(item =>
        textMap({ ...item.attrs, type: item.type, ...(item.disabled && { disabled: "true" }) }),
      ),
    ),
};

export const outputRow: AttributeRow<readonly entry.OutputEntry[]> = {
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
      MAP_OF_TEXTS,
      (items ?? []).map(item => textMap({ ...item.attrs, type: item.type, dest: item.dest ?? "" })),
    ),
};

export const secretRow: AttributeRow<readonly entry.SecretEntry[]> = {
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
};

export const sshRow: AttributeRow<readonly entry.SshEntry[]> = {
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
};

export const policyRow: AttributeRow<readonly entry.PolicyEntry[]> = {
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
      MAP_OF_TEXTS,
      (items ?? []).map(({ files: [filename], reset, disabled, strict, logLevel }) =>
        textMap({
          ...(filename !== undefined && { filename }),
          ...(reset && { reset: "true" }),
          ...(disabled && { disabled: "true" }),
          ...(strict !== undefined && { strict: String(strict) }),
          ...(logLevel !== undefined && { "log-level": logLevel }),
        }),
      ),
    ),
};

/**
 * Drops repeated entries the way buildx does: of equal entries the later goes, and the last entry of all takes
 * its place, which can change the order.
 */
function dropEqual<T>(items: readonly T[], key: (item: T) => string): readonly T[] {
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

/** Outputs without repeats, in the order of buildx. */
export function normalizeOutputs(items: readonly entry.OutputEntry[]): readonly entry.OutputEntry[] {
  return dropEqual(items, attrKey);
}

/** Caches without repeats, in the order of buildx. */
export function normalizeCaches(items: readonly entry.CacheEntry[]): readonly entry.CacheEntry[] {
  return dropEqual(items, attrKey);
}

/** The row of one of the two attributes that list caches. */
export function cacheRow(
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
        MAP_OF_TEXTS,
        (items ?? []).map(item => textMap({ ...item.attrs, type: item.type })),
      ),
  };
}
