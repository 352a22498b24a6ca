// The `x-bake` extension of a build: what bake knows and Compose does not (buildx docs, "Extension field with x-bake").
import { BakeError } from "../../diagnostic/error.ts";
import type { Range } from "../../diagnostic/source.ts";
import { didYouMean } from "../../diagnostic/suggest.ts";
import { compareUtf8 } from "../../oci/json.ts";
import type { Field, TargetFields } from "../attributes.ts";
import { distinct, mergeMaps } from "../row.ts";
import { parseCaches, parseOutput, parseSecret, parseSsh } from "../entry.ts";
import type { Problems } from "../problems.ts";
import { childOf, describeNode, scalarText, type Node } from "./node.ts";
import { namedContexts } from "./contexts.ts";

/** One key: the field it extends, and how. */
interface Row {
  readonly field: Field;
  readonly extend: (fields: TargetFields, value: Node) => void;
}

const ROWS: Readonly<Record<string, Row>> = {
  tags: {
    field: "tags",
    extend: (fields, value) => extendStrings(fields, "tags", value),
  },
  "cache-from": {
    field: "cacheFrom",
    extend: (fields, value) => {
      fields.cacheFrom = [...(fields.cacheFrom ?? []), ...strings(value).flatMap(parseCaches)];
    },
  },
  "cache-to": {
    field: "cacheTo",
    extend: (fields, value) => {
      fields.cacheTo = [...(fields.cacheTo ?? []), ...strings(value).flatMap(parseCaches)];
    },
  },
  secret: {
    field: "secret",
    extend: (fields, value) => {
      fields.secret = [...(fields.secret ?? []), ...strings(value).map(parseSecret)];
    },
  },
  ssh: {
    field: "ssh",
    extend: (fields, value) => {
      const added = strings(value).map(parseSsh);
      const all = [...(fields.ssh ?? []).filter(one => !added.some(({ id }) => id === one.id)), ...added];
      fields.ssh = all.sort((a, b) => compareUtf8(a.id, b.id));
    },
  },
  platforms: {
    field: "platforms",
    extend: (fields, value) => extendStrings(fields, "platforms", value),
  },
  output: {
    field: "output",
    extend: (fields, value) => {
      fields.output = [...(fields.output ?? []), ...strings(value).map(parseOutput)];
    },
  },
  pull: {
    field: "pull",
    extend: (fields, value) => {
      fields.pull = bool(value);
    },
  },
  "no-cache": {
    field: "noCache",
    extend: (fields, value) => {
      fields.noCache = bool(value);
    },
  },
  "no-cache-filter": {
    field: "noCacheFilter",
    extend: (fields, value) => extendStrings(fields, "noCacheFilter", value),
  },
  contexts: {
    field: "contexts",
    extend: (fields, value) => {
      fields.contexts = mergeMaps(namedContexts(pairs(value)), fields.contexts ?? {});
    },
  },
};

/** Adds what `x-bake` says to the fields of a target; keys that are not known are ignored. */
export function extendFromXBake(
  fields: TargetFields,
  ranges: Map<Field, Range>,
  extension: Node,
  { attempt, add }: Pick<Problems, "attempt" | "add">,
): void {
  if (extension.kind !== "map")
    throw new BakeError("bake-schema", `"x-bake" must be a mapping, found ${describeNode(extension)}`);
  for (const [key, { keyRange }] of extension.entries) {
    const hint = Object.hasOwn(ROWS, key) ? undefined : didYouMean(key, Object.keys(ROWS));
    if (hint === undefined) continue;
    const message = `the key "${key}" of "x-bake" is ignored`;
    add({ severity: "warning", code: "bake-schema", message, range: keyRange, hint });
  }
  for (const [key, row] of Object.entries(ROWS)) {
    const value = childOf(extension, key);
    if (value === undefined || value.kind === "null") continue;
    ranges.set(row.field, value.range);
    attempt(value.range, () => row.extend(fields, value));
  }
}

function extendStrings(
  fields: TargetFields,
  field: "tags" | "platforms" | "noCacheFilter",
  value: Node,
): void {
  fields[field] = distinct([...(fields[field] ?? []), ...strings(value)]);
}

/** A list of scalars, or one string with spaces between its items. */
function strings(value: Node): readonly string[] {
  if (value.kind === "map") throw new BakeError("bake-schema", "expected a list of strings, found a mapping");
  if (value.kind !== "list")
    return scalarText(value)
      .split(/\s+/)
      .filter(item => item !== "");
  return value.items
    .map(item => {
      if (item.kind === "map" || item.kind === "list")
        throw new BakeError("bake-schema", `expected a string, found ${describeNode(item)}`, {
          range: item.range,
          hint: "write the items as strings",
        });
      return scalarText(item);
    })
    .filter(item => item !== "");
}

function bool(value: Node): boolean {
  if (value.kind === "bool") return value.value;
  if (value.kind === "string" && /^(?:y|Y|yes|on)$/.test(value.text)) return true;
  if (value.kind === "string" && /^(?:n|N|no|off)$/.test(value.text)) return false;
  throw new BakeError("bake-schema", `expected true or false, found ${describeNode(value)}`);
}

function pairs(value: Node): readonly (readonly [string, string])[] {
  if (value.kind !== "map")
    throw new BakeError("bake-schema", `expected a mapping, found ${describeNode(value)}`);
  return [...value.entries].map(([name, { value: text }]) => {
    if (text.kind === "map" || text.kind === "list")
      throw new BakeError("bake-schema", `expected a string, found ${describeNode(text)}`, {
        range: text.range,
      });
    return [name, scalarText(text)] as const;
  });
}
