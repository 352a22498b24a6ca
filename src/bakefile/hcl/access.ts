// Reading parts of values: names in scopes, attributes of objects, items of lists (hashicorp/hcl ops.go).
import { didYouMean } from "../../diagnostic/suggest.ts";
import type { Range } from "../../diagnostic/source.ts";
import { describe } from "./convert.ts";
import { convertAt, failAt, hintFor, type Evaluation, type Scope } from "./evaluation.ts";
import { toSafeInt } from "./number.ts";
import { NUMBER, scalarText, type Value } from "./value.ts";

/** The value of a name: that of the innermost scope which has it. @throws BakeError */
export function lookUp(name: string, scope: Scope, range: Range, run: Evaluation): Value {
  for (let at: Scope | undefined = scope; at !== undefined; at = at.parent) {
    const value = at.variables.get(name);
    if (value !== undefined) return value;
  }
  const hint = hintFor(run, name, function* () {
    for (let at: Scope | undefined = scope; at !== undefined; at = at.parent) yield* at.variables.keys();
  });
  throw failAt(range, `unknown variable "${name}"`, hint);
}

/** `object.name`. @throws BakeError */
export function getAttribute(object: Value, name: string, range: Range): Value {
  if (object.kind === "null") throw failAt(range, `cannot read the attribute "${name}" of null`);
  if (!("entries" in object)) {
    throw failAt(range, `cannot read the attribute "${name}" of ${describe(object)}`);
  }
  const value = object.entries.get(name);
  if (value === undefined) {
    const what = object.kind === "map" ? "map has no key" : "object has no attribute";
    throw failAt(range, `the ${what} "${name}"`, didYouMean(name, object.entries.keys()));
  }
  return value;
}

/** `object[key]`; keys of lists are whole numbers from 0. @throws BakeError */
export function getIndex(object: Value, key: Value, keyRange: Range, range: Range): Value {
  if (object.kind === "null") throw failAt(range, "cannot index null");
  if (key.kind === "null") throw failAt(keyRange, "an index must not be null");
  if ("entries" in object) return getAttribute(object, keyText(key, keyRange), keyRange);
  if (object.kind !== "list" && object.kind !== "tuple")
    throw failAt(range, `cannot index ${describe(object)}`);
  const position = convertAt(key, NUMBER, keyRange);
  const at = position.kind === "number" ? toSafeInt(position.value) : undefined;
  const value = at === undefined ? undefined : object.items[at];
  if (value === undefined) {
    throw failAt(
      keyRange,
      `the list has no item ${describe(key)}`,
      `it has ${object.items.length} items, counted from 0`,
    );
  }
  return value;
}

/** A key as text. @throws BakeError for null and for what has no text */
export function keyText(key: Value, range: Range): string {
  if (key.kind === "null") throw failAt(range, "a key must not be null");
  const text = scalarText(key);
  if (text === undefined) throw failAt(range, `a key must be a string, found ${describe(key)}`);
  return text;
}
