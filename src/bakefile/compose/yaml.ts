// From YAML text to trees with places. The `yaml` package reads the syntax; what scalars, tags, anchors and merge keys
// mean follows go-yaml and compose-go, so that a file means here what it means to Docker Compose.
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  parseAllDocuments,
  type Alias,
  type Document,
  type Node as YamlNode,
  type Scalar as YamlScalar,
  type YAMLMap,
} from "yaml";
import { BakeError } from "../../diagnostic/error.ts";
import type { Range, Source } from "../../diagnostic/source.ts";
import { mapNode, type Entry, type MapNode, type Node } from "./node.ts";
import { plainScalar, taggedScalar } from "./scalar.ts";

/** A file with more nodes than this, aliases expanded, is refused: a small file of nested aliases can mean millions. */
const MAX_NODES = 100_000;
/** Deeper nesting is refused before the stack ends. */
const MAX_DEPTH = 200;
const STANDARD_TAG = "tag:yaml.org,2002:";

/** The documents of a text, in order. @throws BakeError at the first problem */
export function parseYaml(source: Source): readonly Node[] {
  expectShallow(source);
  const documents = parseAllDocuments(source.text, {
    schema: "failsafe",
    // Leniencies of go-yaml: flow collections need no indentation.
    strict: false,
    uniqueKeys: false,
    logLevel: "silent",
    prettyErrors: false,
  });
  if ("empty" in documents) return [];
  // Further errors mostly follow from the first.
  const [error] = documents.flatMap(document => document.errors).sort((a, b) => a.pos[0] - b.pos[0]);
  if (error !== undefined) {
    // What is missing at the end of the text has no character of its own.
    const last = source.text.length;
    const start = Math.min(error.pos[0], last);
    const end = Math.min(Math.max(start + 1, error.pos[1]), last);
    throw new BakeError("bake-syntax", syntaxMessage(error.message), { range: { source, start, end } });
  }
  return documents.map(document => readDocument(document, source));
}

/** The first sentence of a message, in the style of all others. */
function syntaxMessage(message: string): string {
  const open = /^Flow (?:map|sequence) .* end with a ([\]}])/.exec(message)?.[1];
  if (open !== undefined) return `cannot read the YAML: expected "${open}" before this`;
  const text = message.replace(/\s+at line \d+, column \d+:[\s\S]*$/, "").replace(/\.$/, "");
  return `cannot read the YAML: ${text.charAt(0).toLowerCase()}${text.slice(1)}`;
}

/** The reader of the syntax recurses; brackets, and indentation with what begins on one line, bound its depth. */
function expectShallow(source: Source): void {
  let depth = 0;
  for (let at = 0; at < source.text.length; at++) {
    const sign = source.text[at];
    if (sign === "[" || sign === "{") depth++;
    else if ((sign === "]" || sign === "}") && depth > 0) depth--;
    if (depth > MAX_DEPTH * 5) throw tooDeep({ source, start: at, end: at + 1 });
  }
  const indents: number[] = [];
  for (const { 0: begin, index } of source.text.matchAll(/^ *(?:[-?:][ \t]+)*(?=\S)/gm)) {
    const indent = begin.length - begin.trimStart().length;
    while (indents.length > 0 && (indents.at(-1) ?? 0) >= indent) indents.pop();
    indents.push(indent);
    const compact = begin.split(/[-?:]/).length - 1;
    if (indents.length + compact > MAX_DEPTH * 2)
      throw tooDeep({ source, start: index, end: index + begin.length });
  }
}

function tooDeep(range: Range): BakeError {
  return new BakeError("bake-syntax", `values nest deeper than ${MAX_DEPTH} levels`, { range });
}

/** A node, how many nodes it means with aliases expanded, and its `!reset` or `!override`. */
interface Converted {
  readonly node: Node;
  readonly size: number;
  readonly tag: "reset" | "override" | undefined;
}

function readDocument(document: Document, source: Source): Node {
  const anchors = new Map<string, Converted | "open">();
  const whole: Range = { source, start: 0, end: source.text.length };

  function rangeOf(node: { readonly range?: readonly number[] | null | undefined }): Range {
    const [start = 0, end = start] = node.range ?? [];
    return { source, start, end: Math.max(start, end) };
  }

  function convert(node: unknown, depth: number, fallback: Range): Converted {
    if (isAlias(node)) return follow(node);
    if (!isMap(node) && !isSeq(node) && !isScalar(node))
      return { node: { kind: "null", range: fallback }, size: 1, tag: undefined };
    const { anchor } = node;
    if (anchor !== undefined) anchors.set(anchor, "open");
    if (depth > MAX_DEPTH) throw tooDeep(rangeOf(node));
    const converted = convertPlain(node, depth);
    if (converted.size > MAX_NODES) throw tooLarge(rangeOf(node));
    if (anchor !== undefined) anchors.set(anchor, converted);
    return converted;
  }

  function follow(alias: Alias): Converted {
    const found = anchors.get(alias.source);
    const range = rangeOf(alias);
    if (found === "open")
      throw new BakeError("bake-syntax", `the anchor "&${alias.source}" contains itself`, { range });
    if (found === undefined)
      throw new BakeError("bake-syntax", `there is no anchor "&${alias.source}" before its alias`, { range });
    return found;
  }

  function tooLarge(range: Range): BakeError {
    return new BakeError("bake-syntax", `the file has more than ${MAX_NODES} values`, {
      range,
      hint: "aliases of aliases grow fast",
    });
  }

  function convertPlain(node: YamlNode, depth: number): Converted {
    const range = rangeOf(node);
    const tag = node.tag === "!reset" ? "reset" : node.tag === "!override" ? "override" : undefined;
    if (isMap(node)) {
      const { map, size } = convertMap(node, depth, range);
      return { node: map, size, tag };
    }
    if (isSeq(node)) {
      const items = node.items.map(item => convert(item, depth + 1, range));
      const kept = items.filter(item => item.tag !== "reset").map(item => item.node);
      const size = items.reduce((sum, item) => sum + item.size, 1);
      return { node: { kind: "list", items: kept, range }, size, tag };
    }
    return { node: { ...scalarOf(node as YamlScalar, range), range }, size: 1, tag };
  }

  function scalarOf(node: YamlScalar, range: Range): ReturnType<typeof plainScalar> {
    const text = typeof node.value === "string" ? node.value : (node.source ?? "");
    if (node.tag === undefined || node.tag === "?")
      return node.type === "PLAIN" ? plainScalar(text) : { kind: "string", text };
    if (!node.tag.startsWith(STANDARD_TAG)) return { kind: "string", text };
    const kind = node.tag.slice(STANDARD_TAG.length);
    const scalar = taggedScalar(kind, text);
    if (scalar === undefined)
      throw new BakeError("bake-syntax", `"${text}" does not fit the tag "!!${kind}"`, { range });
    return scalar;
  }

  function convertMap(node: YAMLMap, depth: number, range: Range): { map: MapNode; size: number } {
    const entries = new Map<string, Entry>();
    const dropped = new Set<string>();
    const seen = new Map<string, Range>();
    const merged: Node[] = [];
    let size = 1;
    for (const { key, value } of node.items) {
      const keyRange = isScalar(key) || isMap(key) || isSeq(key) || isAlias(key) ? rangeOf(key) : range;
      const name = convert(key, depth + 1, range);
      if (name.node.kind !== "string") {
        throw new BakeError("bake-syntax", "a key of a Compose file must be a string", {
          range: keyRange,
          hint: "put it in quotes",
        });
      }
      const { text } = name.node;
      const first = seen.get(text);
      if (first !== undefined) {
        throw BakeError.ofDiagnostics([
          {
            severity: "error",
            code: "bake-syntax",
            message: `the key "${text}" is there twice`,
            range: keyRange,
            related: [{ message: "first defined here", range: first }],
          },
        ]);
      }
      seen.set(text, keyRange);
      const converted = convert(value, depth + 1, keyRange);
      size += converted.size + 1;
      if (text === "<<" && isScalar(key) && key.type === "PLAIN") {
        merged.push(...(converted.node.kind === "list" ? converted.node.items : [converted.node]));
        continue;
      }
      if (converted.tag !== undefined) dropped.add(text);
      if (converted.tag !== "reset") entries.set(text, { keyRange, value: converted.node });
    }
    for (const from of merged) {
      if (from.kind !== "map")
        throw new BakeError("bake-syntax", 'only mappings can be merged with "<<"', {
          range: seen.get("<<") ?? range,
        });
      for (const key of from.dropped) dropped.add(key);
      // What a mapping says itself wins, then what was merged first.
      for (const [key, entry] of from.entries) if (!entries.has(key)) entries.set(key, entry);
    }
    return { map: mapNode(entries, range, dropped), size };
  }

  return convert(document.contents, 0, whole).node;
}
