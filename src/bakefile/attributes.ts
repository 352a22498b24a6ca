// The attributes of a target, one row each: how a value is read, how inheritance merges it, and how it prints.
// The rules are those of the bake reference (docker/buildx docs/bake-reference.md).
import type { AttestEntry, CacheEntry, OutputEntry, PolicyEntry, SecretEntry, SshEntry } from "./entry.ts";
import {
  attestRow,
  cacheRow,
  normalizeCaches,
  outputRow,
  policyRow,
  secretRow,
  sshRow,
} from "./entryrows.ts";
import { objectValue, stringValue, type Value } from "./hcl/value.ts";
import { resourcesRow, type Resources } from "./resources.ts";
import {
  append,
  boolRow,
  escapeTemplate,
  listRow,
  mapRow,
  printList,
  replace,
  textRow,
  type AttributeRow,
  type StringMap,
} from "./row.ts";

/** The attributes of a target, in the order in which they print. */
export interface FieldTypes {
  description: string;
  inherits: readonly string[];
  annotations: readonly string[];
  attest: readonly AttestEntry[];
  context: string;
  contexts: StringMap;
  dockerfile: string;
  dockerfileInline: string;
  args: StringMap;
  labels: StringMap;
  tags: readonly string[];
  cacheFrom: readonly CacheEntry[];
  cacheTo: readonly CacheEntry[];
  target: string;
  secret: readonly SecretEntry[];
  ssh: readonly SshEntry[];
  platforms: readonly string[];
  output: readonly OutputEntry[];
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
  policy: readonly PolicyEntry[];
}

/** What a target says, as far as it says it. */
export type TargetFields = { [F in keyof FieldTypes]?: FieldTypes[F] };

/** The name of an attribute in the program. */
export type Field = keyof FieldTypes;
type FieldValue<F extends Field> = FieldTypes[F];

type Table = { readonly [F in Field]: AttributeRow<FieldValue<F>> };

/** The attributes by field. */
export const attributeTable: Table = {
  description: {
    ...textRow("description", { merge: (base, next) => next || (base ?? ""), required: true }),
    normalize: text => text || undefined,
    // Never null, unlike the other texts.
    toValue: text => stringValue(text ?? ""),
  },
  inherits: { ...listRow("inherits", { normalize: () => undefined, print: () => undefined }) },
  annotations: listRow("annotations", { print: items => printList(items.map(escapeTemplate)) }),
  attest: attestRow,
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
  secret: secretRow,
  ssh: sshRow,
  platforms: listRow("platforms", { merge: replace }),
  output: outputRow,
  pull: boolRow("pull"),
  noCache: boolRow("no-cache"),
  network: textRow("network"),
  noCacheFilter: listRow("no-cache-filter"),
  shmSize: textRow("shm-size"),
  ulimits: listRow("ulimits"),
  resources: resourcesRow,
  call: textRow("call"),
  entitlements: listRow("entitlements"),
  extraHosts: mapRow("extra-hosts"),
  policy: policyRow,
};

/** All attributes, in the order in which they print. */
export const fields = Object.keys(attributeTable) as readonly Field[];

/** Attributes by their names in bake files. */
export const fieldOfName: ReadonlyMap<string, Field> = new Map(
  fields.map(field => [attributeTable[field].name, field]),
);

/** Applies one row's function to one field; keeps the type relation between them in one place. */
function mergeField<F extends Field>(into: TargetFields, from: Readonly<TargetFields>, field: F): void {
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

/** Reads one field from the value of its attribute; null takes it away. @throws BakeError */
export function readField<F extends Field>(into: TargetFields, field: F, value: Value): void {
  const row: AttributeRow<FieldValue<F>> = attributeTable[field];
  const read: TargetFields[F] | undefined = row.read(value);
  if (read === undefined) delete into[field];
  else into[field] = read;
}

/** What is left of a field once all is merged and overridden. */
export function normalizeField<F extends Field>(into: TargetFields, field: F): void {
  const value = into[field];
  if (value === undefined) return;
  const row: AttributeRow<FieldValue<F>> = attributeTable[field];
  const normal: TargetFields[F] | undefined = row.normalize(value);
  if (normal === undefined) delete into[field];
  else into[field] = normal;
}

/** JSON of a field; undefined when it does not print. */
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
