// The limits that RUN steps run under, as the attribute "resources" and the keys `resources.KEY` of overrides say them.
import { BakeError } from "../diagnostic/error.ts";
import { convert, describe } from "./hcl/convert.ts";
import { numberFromInt, toSafeInt } from "./hcl/number.ts";
import { NUMBER, STRING, numberValue, objectValue, stringValue, type Type, type Value } from "./hcl/value.ts";
import { keep, nullOf, readString, type AttributeRow } from "./row.ts";

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

export const resourcesRow: AttributeRow<Resources> = {
  name: "resources",
  read: readResources,
  merge: (base, next) => ({ ...base, ...next }),
  normalize: keep,
  print: value => {
    const out: Record<string, unknown> = {};
    for (const key of ["memory", "memory-swap", ...RESOURCE_NUMBERS, "cpuset-cpus", "cpuset-mems"] as const) {
      if (value[key] !== undefined) out[key] = value[key];
    }
    return out;
  },
  toValue: resourcesValue,
};

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
