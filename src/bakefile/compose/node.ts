// Values of a Compose file: a YAML tree with the places where everything was written. Nodes never change, so an
// anchor's node is shared by all of its aliases.
import type { Range } from "../../diagnostic/source.ts";

export type Node = MapNode | ListNode | ScalarNode;

export interface Entry {
  readonly keyRange: Range;
  readonly value: Node;
}

export interface MapNode {
  readonly kind: "map";
  readonly entries: ReadonlyMap<string, Entry>;
  /** Keys written with `!reset` (they have no entry) or `!override`: both drop what earlier files say. */
  readonly dropped: ReadonlySet<string>;
  readonly range: Range;
}

export interface ListNode {
  readonly kind: "list";
  readonly items: readonly Node[];
  readonly range: Range;
}

export type Scalar =
  | { readonly kind: "string"; readonly text: string }
  | { readonly kind: "int"; readonly value: bigint }
  | { readonly kind: "float"; readonly value: number }
  | { readonly kind: "bool"; readonly value: boolean }
  /** A date, as text in the form in which it becomes a string. */
  | { readonly kind: "time"; readonly text: string }
  | { readonly kind: "null" };

export type ScalarNode = Scalar & { readonly range: Range };

const NOTHING: ReadonlySet<string> = new Set();

export function mapNode(
  entries: Iterable<readonly [string, Entry]>,
  range: Range,
  dropped: ReadonlySet<string> = NOTHING,
): MapNode {
  return { kind: "map", entries: new Map(entries), dropped, range };
}

export function listNode(items: readonly Node[], range: Range): ListNode {
  return { kind: "list", items, range };
}

export function stringNode(text: string, range: Range): ScalarNode {
  return { kind: "string", text, range };
}

/** The value of a key; undefined when there is none or `node` is no map. */
export function childOf(node: Node | undefined, key: string): Node | undefined {
  return node?.kind === "map" ? node.entries.get(key)?.value : undefined;
}

/** `map` with the values of some keys replaced, added, or (undefined) removed. */
export function withEntries(map: MapNode, changes: Readonly<Record<string, Node | undefined>>): MapNode {
  const entries = new Map(map.entries);
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) entries.delete(key);
    else entries.set(key, { keyRange: entries.get(key)?.keyRange ?? value.range, value });
  }
  return { ...map, entries };
}

/** What a value is, for messages. */
export function describeNode(node: Node): string {
  switch (node.kind) {
    case "map":
      return "a mapping";
    case "list":
      return "a list";
    case "string":
      return "a string";
    case "int":
    case "float":
      return "a number";
    case "bool":
      return "a bool";
    case "time":
      return "a date";
    case "null":
      return "nothing";
    default: {
      const never: never = node;
      return never;
    }
  }
}

/** A scalar as text, written as Go's fmt writes it: what Compose passes on for numbers, bools and dates. */
export function scalarText(node: Scalar): string {
  switch (node.kind) {
    case "string":
    case "time":
      return node.text;
    case "int":
    case "bool":
      return String(node.value);
    case "float":
      return floatText(node.value);
    case "null":
      return "";
    default: {
      const never: never = node;
      return never;
    }
  }
}

/** Shortest digits; an exponent of at least two digits below 1e-4 and from 1e6 on. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  if (Object.is(value, -0)) return "-0";
  const exponential = value.toExponential();
  const exponent = Number(exponential.slice(exponential.indexOf("e") + 1));
  if (exponent >= -4 && exponent < 6) return String(value);
  return exponential.replace(/e([+-])(\d)$/, "e$10$2");
}
