// Functions on lists, sets, maps and objects.
import { MAX_ITEMS, argument, fail, intOf, numberOf, param, textOf, type BakeFunction } from "./function.ts";
import { strings } from "./text.ts";
import { convert, describe, unify } from "../convert.ts";
import * as number from "../number.ts";
import { compareUtf8 } from "../../../oci/json.ts";
import {
  DYNAMIC,
  NUMBER,
  STRING,
  boolValue,
  equalTypes,
  equalValues,
  listValue,
  mapValue,
  numberValue,
  objectValue,
  setValue,
  stringValue,
  tupleValue,
  typeOf,
  unwrapItems,
  type Type,
  type Value,
} from "../value.ts";

const LIST_OF_ANY: Type = { kind: "list", element: DYNAMIC };
const LIST_OF_STRINGS: Type = { kind: "list", element: STRING };
const SET_OF_ANY: Type = { kind: "set", element: DYNAMIC };

function items(args: readonly Value[], index: number): readonly Value[] {
  const value = argument(args, index);
  const found = unwrapItems(value);
  if (found === undefined) throw fail(`expected a list, found ${describe(value)}`);
  return found;
}

/** A list of the items when they have one type, else a tuple. */
function listOf(values: readonly Value[]): Value {
  const element = unify(values.map(typeOf));
  return element === undefined
    ? tupleValue(values)
    : listValue(
        element,
        values.map(value => convert(value, element)),
      );
}

function elementOf(value: Value): Type {
  return "element" in value ? value.element : DYNAMIC;
}

function int(value: number): Value {
  return numberValue(number.numberFromInt(value));
}

/** Sets brought to one element type, then combined. */
function setOperation(combine: (a: readonly Value[], b: readonly Value[]) => readonly Value[]): BakeFunction {
  return {
    params: [param("first_set", SET_OF_ANY)],
    variadic: param("other_sets", SET_OF_ANY),
    call: args => {
      const element = unify(args.filter(arg => (unwrapItems(arg) ?? []).length > 0).map(elementOf));
      if (element === undefined) throw fail("all sets must have items of one type");
      const sets = args.map(arg => unwrapItems(convert(arg, { kind: "set", element })) ?? []);
      const [first = [], ...others] = sets;
      return setValue(element, others.reduce(combine, first));
    },
  };
}

function exactlyTwo(operation: BakeFunction): BakeFunction {
  return { params: [param("a", SET_OF_ANY), param("b", SET_OF_ANY)], call: operation.call };
}

const has = (set: readonly Value[], value: Value): boolean => set.some(one => equalValues(one, value));

function flatten(value: Value, out: Value[]): void {
  const inner = unwrapItems(value);
  if (inner === undefined) out.push(value);
  else for (const item of inner) flatten(item, out);
}

function chunks(values: readonly Value[], size: number): Value[][] {
  if (values.length === 0) return [];
  if (size === 0) return [[...values]];
  const out: Value[][] = [];
  for (let at = 0; at < values.length; at += size) out.push(values.slice(at, at + size));
  return out;
}

function range(args: readonly Value[]): Value {
  const given = args.map((_, i) => numberOf(args, i));
  const [one, two, three] = given;
  if (one === undefined || given.length > 3) throw fail("takes one to three numbers: [start,] end [, step]");
  const zero = number.numberFromInt(0);
  const start = two === undefined ? zero : one;
  const end = two ?? one;
  const down = number.compareNumbers(end, start) < 0;
  const step = three ?? number.numberFromInt(down ? -1 : 1);
  if (three !== undefined && number.compareNumbers(end, start) !== 0) {
    const direction = number.compareNumbers(step, zero);
    if (down && direction > 0) throw fail("the end is less than the start, but the step is positive");
    if (!down && direction < 0) throw fail("the end is greater than the start, but the step is negative");
  }
  const out: Value[] = [];
  for (let at: number.Num | undefined = start; at !== undefined; at = number.add(at, step)) {
    const order = number.compareNumbers(at, end);
    if (down ? order <= 0 : order >= 0) break;
    if (out.length >= 1024) throw fail("makes more than 1024 numbers", "use a larger step or a nearer end");
    out.push(numberValue(at));
  }
  return listValue(NUMBER, out);
}

function setProduct(args: readonly Value[]): Value {
  if (args.length < 2) throw fail("needs at least two lists or sets");
  const parts = args.map((_, i) => items(args, i));
  const size = parts.reduce((product, part) => product * part.length, 1);
  if (size > MAX_ITEMS / 10) throw fail(`makes ${size} combinations`);
  const elements = args.map((arg, i) =>
    "element" in arg ? arg.element : (unify((parts[i] ?? []).map(typeOf)) ?? DYNAMIC),
  );
  let rows: Value[][] = [[]];
  for (const [i, part] of parts.entries()) {
    const element = elements[i] ?? DYNAMIC;
    rows = rows.flatMap(row => part.map(item => [...row, convert(item, element)]));
  }
  const type: Type = { kind: "tuple", elements };
  const tuples = rows.map(tupleValue);
  return args.every(arg => arg.kind === "set") ? setValue(type, tuples) : listValue(type, tuples);
}

export const collectionFunctions: Readonly<Record<string, BakeFunction>> = {
  length: {
    params: [param("collection")],
    call: args => {
      const value = argument(args, 0);
      if ("items" in value) return int(value.items.length);
      if (value.kind === "map") return int(value.entries.size);
      const hint =
        value.kind === "string"
          ? "strlen() counts characters"
          : value.kind === "object"
            ? "use length(keys(...))"
            : undefined;
      throw fail(`expected a list, set or map, found ${describe(value)}`, hint);
    },
  },
  keys: {
    params: [param("inputMap")],
    call: args => {
      const value = argument(args, 0);
      if (!("entries" in value)) throw fail(`expected a map or object, found ${describe(value)}`);
      const names = [...value.entries.keys()].map(stringValue);
      return value.kind === "map" ? listValue(STRING, names) : tupleValue(names);
    },
  },
  values: {
    params: [param("values")],
    call: args => {
      const value = argument(args, 0);
      if (!("entries" in value)) throw fail(`expected a map or object, found ${describe(value)}`);
      const found = [...value.entries.values()];
      return value.kind === "map" ? listValue(value.element, found) : tupleValue(found);
    },
  },
  merge: {
    params: [],
    variadic: param("maps", DYNAMIC, true),
    call: args => {
      const given = args.filter(arg => arg.kind !== "null");
      const entries = new Map<string, Value>();
      for (const arg of given) {
        if (!("entries" in arg)) throw fail(`expected maps or objects, found ${describe(arg)}`);
        for (const [key, value] of arg.entries) entries.set(key, value);
      }
      const [first] = given;
      if (first?.kind === "map" && given.every(arg => equalTypes(typeOf(arg), typeOf(first))))
        return mapValue(first.element, entries);
      return objectValue(entries);
    },
  },
  concat: {
    params: [],
    variadic: param("seqs"),
    call: args => {
      if (args.length === 0) throw fail("needs at least one list");
      for (const arg of args)
        if (arg.kind !== "list" && arg.kind !== "tuple") throw fail(`expected lists, found ${describe(arg)}`);
      const all = args.flatMap((_, i) => items(args, i));
      if (all.length > MAX_ITEMS) throw fail(`makes more than ${MAX_ITEMS} items`);
      return args.every(arg => arg.kind === "list") ? listOf(all) : tupleValue(all);
    },
  },
  contains: {
    params: [param("list"), param("value", DYNAMIC, true)],
    call: args => boolValue(has(items(args, 0), argument(args, 1))),
  },
  compact: {
    params: [param("list", LIST_OF_STRINGS)],
    call: args =>
      listValue(
        STRING,
        items(args, 0).filter(item => item.kind === "string" && item.value !== ""),
      ),
  },
  distinct: {
    params: [param("list", LIST_OF_ANY)],
    call: args => {
      const out: Value[] = [];
      for (const item of items(args, 0)) if (!has(out, item)) out.push(item);
      return listValue(elementOf(argument(args, 0)), out);
    },
  },
  flatten: {
    params: [param("list")],
    call: args => {
      const out: Value[] = [];
      for (const item of items(args, 0)) flatten(item, out);
      return tupleValue(out);
    },
  },
  chunklist: {
    params: [param("list", LIST_OF_ANY), param("size", NUMBER)],
    call: args => {
      const size = intOf(args, 1);
      if (size < 0) throw fail("the size must not be negative");
      const element = elementOf(argument(args, 0));
      return listValue(
        { kind: "list", element },
        chunks(items(args, 0), size).map(chunk => listValue(element, chunk)),
      );
    },
  },
  coalesce: {
    params: [],
    variadic: param("vals", DYNAMIC, true),
    call: args => {
      const type = unify(args.map(typeOf));
      if (type === undefined || args.length === 0) throw fail("all values must have one type");
      const found = args.find(arg => arg.kind !== "null");
      if (found === undefined) throw fail("all values are null");
      return convert(found, type);
    },
  },
  coalescelist: {
    params: [],
    variadic: param("vals", DYNAMIC, true),
    call: args => {
      if (args.length === 0) throw fail("needs at least one list");
      for (const arg of args) {
        if (arg.kind !== "list" && arg.kind !== "tuple") throw fail(`expected lists, found ${describe(arg)}`);
        if (arg.items.length > 0) return arg;
      }
      throw fail("all lists are empty");
    },
  },
  element: {
    params: [param("list"), param("index", NUMBER)],
    call: args => {
      const value = argument(args, 0);
      if (value.kind !== "list" && value.kind !== "tuple")
        throw fail(`expected a list, found ${describe(value)}`);
      if (value.items.length === 0) throw fail("the list is empty");
      const size = value.items.length;
      return value.items[((intOf(args, 1) % size) + size) % size] ?? value;
    },
  },
  index: {
    params: [param("collection"), param("key")],
    call: args => {
      const found = at(argument(args, 0), argument(args, 1));
      if (found === undefined) throw fail(`there is no item ${describe(argument(args, 1))}`);
      return found;
    },
  },
  hasindex: {
    params: [param("collection"), param("key")],
    call: args => {
      const value = argument(args, 0);
      if (value.kind !== "list" && value.kind !== "tuple" && value.kind !== "map")
        throw fail(`expected a list or map, found ${describe(value)}`);
      return boolValue(at(value, argument(args, 1)) !== undefined);
    },
  },
  indexof: {
    params: [param("list"), param("value")],
    call: args => {
      const list = argument(args, 0);
      if (list.kind !== "list" && list.kind !== "tuple")
        throw fail(`expected a list, found ${describe(list)}`);
      const found = list.items.findIndex(item => equalValues(item, argument(args, 1)));
      if (found < 0) throw fail(`the list has no item ${describe(argument(args, 1))}`);
      return int(found);
    },
  },
  lookup: {
    params: [param("inputMap"), param("key", STRING), param("default", DYNAMIC, true)],
    call: args => {
      const value = argument(args, 0);
      if (!("entries" in value)) throw fail(`expected a map or object, found ${describe(value)}`);
      const found = value.entries.get(textOf(args, 1));
      if (found !== undefined) return found;
      return value.kind === "map" ? convert(argument(args, 2), value.element) : argument(args, 2);
    },
  },
  range: { params: [], variadic: param("params", NUMBER), call: range },
  reverselist: {
    params: [param("list")],
    call: args => {
      const value = argument(args, 0);
      const reversed = [...items(args, 0)].reverse();
      return "element" in value ? listValue(value.element, reversed) : tupleValue(reversed);
    },
  },
  slice: {
    params: [param("list"), param("start_index", NUMBER), param("end_index", NUMBER)],
    call: args => {
      const value = argument(args, 0);
      if (value.kind !== "list" && value.kind !== "tuple")
        throw fail(`expected a list, found ${describe(value)}`);
      const [start, end] = [intOf(args, 1), intOf(args, 2)];
      if (start < 0 || end > value.items.length || start > end) {
        throw fail(`the range from ${start} to ${end} is not within the ${value.items.length} items`);
      }
      const part = value.items.slice(start, end);
      return value.kind === "list" ? listValue(value.element, part) : tupleValue(part);
    },
  },
  sort: {
    params: [param("list", LIST_OF_STRINGS)],
    call: args => listValue(STRING, [...strings(argument(args, 0))].sort(compareUtf8).map(stringValue)),
  },
  setunion: setOperation((x, y) => [...x, ...y]),
  setintersection: setOperation((x, y) => x.filter(item => has(y, item))),
  setsubtract: exactlyTwo(setOperation((x, y) => x.filter(item => !has(y, item)))),
  setsymmetricdifference: setOperation((x, y) => [
    ...x.filter(item => !has(y, item)),
    ...y.filter(item => !has(x, item)),
  ]),
  setproduct: { params: [], variadic: param("sets"), call: setProduct },
  sethaselement: {
    params: [param("set", SET_OF_ANY), param("elem")],
    call: args => boolValue(has(items(args, 0), argument(args, 1))),
  },
  zipmap: {
    params: [param("keys", LIST_OF_STRINGS), param("values")],
    call: args => {
      const keys = strings(argument(args, 0));
      const values = argument(args, 1);
      const found = values.kind === "set" ? undefined : unwrapItems(values);
      if (found === undefined) throw fail(`expected a list of values, found ${describe(values)}`);
      if (keys.length !== found.length)
        throw fail(`there are ${keys.length} keys for ${found.length} values`);
      const entries = keys.map((key, i) => [key, found[i] ?? values] as const);
      return values.kind === "list" ? mapValue(values.element, entries) : objectValue(entries);
    },
  },
};

function at(collection: Value, key: Value): Value | undefined {
  if ("entries" in collection) {
    const name = convert(key, STRING);
    return name.kind === "string" ? collection.entries.get(name.value) : undefined;
  }
  const list = collection.kind === "set" ? undefined : unwrapItems(collection);
  if (list === undefined) throw fail(`expected a list, map or object, found ${describe(collection)}`);
  const position = convert(key, NUMBER);
  const i = position.kind === "number" ? number.toSafeInt(position.value) : undefined;
  return i === undefined ? undefined : list[i];
}
