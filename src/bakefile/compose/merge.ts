// How a later Compose file extends an earlier one, and a service the one it extends (Compose specification, "Merge").
// Works on documents in canonical form.
import { BakeError } from "../../diagnostic/error.ts";
import { uniqueByKey } from "./canonical.ts";
import {
  describeNode,
  listNode,
  mapNode,
  scalarText,
  stringNode,
  type Entry,
  type MapNode,
  type Node,
} from "./node.ts";

type Merge = (base: Node, over: Node) => Node;
/** Rows for the values of a mapping; "*" is every other key. */
type Rules = Readonly<Record<string, Merge>>;

const BUILD: Rules = {
  args: mergePairs,
  labels: mergePairs,
  additional_contexts: mergePairMaps,
  extra_hosts: mergeHosts,
  tags: mergeTags,
};
const SERVICE: Rules = {
  build: (base, over) => (over.kind === "null" ? base : mergeWith(base, over, BUILD)),
  environment: mergePairs,
  env_file: mergePairs,
};
const MODEL: Rules = {
  services: (base, over) => mergeWith(base, over, { "*": mergeServices }),
};

/** `base` extended by a later document. @throws BakeError when values of different shapes meet */
export function mergeModels(base: MapNode, over: MapNode): MapNode {
  return mergeMaps(base, over, MODEL);
}

/** A service extended by one that names it, or by a later file. */
export function mergeServices(base: Node, over: Node): Node {
  return mergeWith(base, over, SERVICE);
}

/** `target` without what `marks` says is reset or overridden. */
export function dropMarked(target: MapNode, marks: Node | undefined): MapNode {
  if (marks?.kind !== "map") return target;
  const entries = new Map(target.entries);
  for (const key of marks.dropped) entries.delete(key);
  for (const [key, { value: mark }] of marks.entries) {
    const entry = entries.get(key);
    if (entry?.value.kind === "map") entries.set(key, { ...entry, value: dropMarked(entry.value, mark) });
  }
  return { ...target, entries };
}

function mergeWith(base: Node, over: Node, rules: Rules): Node {
  if (base.kind === "map" && over.kind === "map") return mergeMaps(base, over, rules);
  return mergeAny(base, over);
}

function mergeMaps(base: MapNode, over: MapNode, rules: Rules): MapNode {
  const entries = new Map(base.entries);
  for (const [key, entry] of over.entries) {
    const before = entries.get(key);
    const rule = (Object.hasOwn(rules, key) ? rules[key] : undefined) ?? rules["*"] ?? mergeAny;
    entries.set(key, before === undefined ? entry : { ...entry, value: rule(before.value, entry.value) });
  }
  return { ...over, entries };
}

function mergeAny(base: Node, over: Node): Node {
  if (over.kind === "null") return base;
  if (base.kind === "null") return over;
  if (base.kind === "map" && over.kind === "map") return mergeMaps(base, over, {});
  if (base.kind === "list" && over.kind === "list")
    return listNode([...base.items, ...over.items], over.range);
  if (base.kind === "map" || base.kind === "list")
    throw new BakeError(
      "bake-schema",
      `${describeNode(over)} cannot extend ${describeNode(base)} of an earlier file`,
      {
        range: over.range,
        hint: "!override replaces it",
        related: [{ message: "extended here", range: base.range }],
      },
    );
  return over;
}

/** Lists of `key=value` and mappings alike: one list in which later keys replace earlier ones. */
function mergePairs(base: Node, over: Node): Node {
  return listNode(uniqueByKey([...sequenceOf(base), ...sequenceOf(over)]), over.range);
}

function mergeTags(base: Node, over: Node): Node {
  const merged = mergeAny(base, over);
  return merged.kind === "list" ? listNode(uniqueByKey(merged.items), merged.range) : merged;
}

function mergeHosts(base: Node, over: Node): Node {
  const before = sequenceOf(base);
  const known = new Set(before.map(item => (item.kind === "string" ? item.text : item)));
  const added = sequenceOf(over).filter(item => !known.has(item.kind === "string" ? item.text : item));
  return listNode([...before, ...added], over.range);
}

/** Mappings of strings, key by key. */
function mergePairMaps(base: Node, over: Node): Node {
  if (base.kind !== "map" || over.kind !== "map") return mergeAny(base, over);
  const entries = new Map<string, Entry>([...base.entries, ...over.entries]);
  return mapNode(entries, over.range);
}

/** Mappings become `key=value` strings sorted by text; a key without a value stays alone. */
function sequenceOf(node: Node): readonly Node[] {
  switch (node.kind) {
    case "list":
      return node.items;
    case "string":
      return [node];
    case "map":
      return [...node.entries]
        .flatMap(([key, { value }]) => pairTexts(key, value).map(text => stringNode(text, value.range)))
        .sort((a, b) => compareText(a, b));
    default:
      return [];
  }
}

function pairTexts(key: string, value: Node): readonly string[] {
  if (value.kind === "null") return [key];
  if (value.kind === "list") return value.items.flatMap(item => pairTexts(key, item));
  if (value.kind === "map")
    throw new BakeError("bake-schema", `the value of "${key}" must not be a mapping`, { range: value.range });
  return [`${key}=${scalarText(value)}`];
}

function compareText(a: Node, b: Node): number {
  const left = a.kind === "string" ? a.text : "";
  const right = b.kind === "string" ? b.text : "";
  return left < right ? -1 : left > right ? 1 : 0;
}
