// JSON with positions and exact numbers (RFC 8259): the second syntax of bake files, and of jsondecode().
import { BakeError } from "../diagnostic/error.ts";
import type { Range, Source } from "../diagnostic/source.ts";

export type JsonNode =
  | { readonly kind: "object"; readonly members: readonly JsonMember[]; readonly range: Range }
  | { readonly kind: "array"; readonly items: readonly JsonNode[]; readonly range: Range }
  | JsonString
  | { readonly kind: "number"; readonly text: string; readonly range: Range }
  | { readonly kind: "boolean"; readonly value: boolean; readonly range: Range }
  | { readonly kind: "null"; readonly range: Range };

export interface JsonString {
  readonly kind: "string";
  readonly value: string;
  readonly range: Range;
  /** Offset in the source of each code unit of `value`, and of its end. */
  readonly offsets: readonly number[];
}

export interface JsonMember {
  readonly key: JsonString;
  readonly value: JsonNode;
}

const MAX_DEPTH = 150;

/** @throws BakeError "bake-syntax" at the first mistake */
export function parseJsonText(source: Source): JsonNode {
  const { text } = source;
  let at = text.startsWith("\ufeff") ? 1 : 0;
  const range = (start: number, end = at): Range => ({ source, start, end });
  const blanks = (): void => {
    while (at < text.length && " \t\r\n".includes(text[at] ?? "")) at++;
  };
  const found = (): string => (at >= text.length ? "the end of the file" : JSON.stringify(text[at]));
  const wrong = (message: string, start = at, hint?: string): BakeError =>
    new BakeError("bake-syntax", message, {
      range: range(start, Math.min(text.length, Math.max(at, start + 1))),
      hint,
    });

  const string = (): JsonString => {
    const start = at;
    at++;
    let value = "";
    const offsets: number[] = [];
    for (;;) {
      const character = text[at];
      if (character === undefined || character === "\n")
        throw wrong("a string is not closed on its line", start);
      if (character === '"') break;
      if (character < " ") throw wrong("a string must not hold a control character");
      offsets.push(at);
      if (character !== "\\") {
        value += character;
        at++;
        continue;
      }
      const letter = text[at + 1] ?? "";
      const code = /^[0-9a-fA-F]{4}/.exec(text.slice(at + 2, at + 6))?.[0];
      if (letter === "u" && code !== undefined) {
        value += String.fromCharCode(parseInt(code, 16));
        at += 6;
        continue;
      }
      const simple = ESCAPES.get(letter);
      if (simple === undefined) throw wrong(`unknown escape "\\${letter}" in a string`);
      value += simple;
      at += 2;
    }
    offsets.push(at);
    at++;
    return { kind: "string", value, range: range(start), offsets };
  };

  const node = (depth: number): JsonNode => {
    if (depth > MAX_DEPTH) throw wrong(`objects and lists nest deeper than ${MAX_DEPTH} levels`);
    blanks();
    const start = at;
    const character = text[at];
    if (character === '"') return string();
    if (character === "{") {
      const members: JsonMember[] = [];
      at++;
      blanks();
      while (text[at] !== "}") {
        blanks();
        if (at >= text.length) throw wrong("the object is not closed", start);
        if (text[at] !== '"')
          throw wrong(`expected the name of a property in double quotes, found ${found()}`);
        const key = string();
        blanks();
        if (text[at] !== ":") throw wrong(`expected ":" after the name of a property, found ${found()}`);
        at++;
        members.push({ key, value: node(depth + 1) });
        blanks();
        if (at >= text.length) throw wrong("the object is not closed", start);
        if (text[at] === ",") {
          at++;
          blanks();
          if (text[at] === "}") throw wrong("a comma must not stand before the end of an object", at - 1);
        } else if (text[at] !== "}") throw wrong(`expected "," or "}" after a property, found ${found()}`);
      }
      at++;
      return { kind: "object", members, range: range(start) };
    }
    if (character === "[") {
      const items: JsonNode[] = [];
      at++;
      blanks();
      while (text[at] !== "]") {
        if (at >= text.length) throw wrong("the list is not closed", start);
        items.push(node(depth + 1));
        blanks();
        if (at >= text.length) throw wrong("the list is not closed", start);
        if (text[at] === ",") {
          at++;
          blanks();
          if (text[at] === "]") throw wrong("a comma must not stand before the end of a list", at - 1);
        } else if (text[at] !== "]")
          throw wrong(`expected "," or "]" after an item of a list, found ${found()}`);
      }
      at++;
      return { kind: "array", items, range: range(start) };
    }
    const word = /^[A-Za-z_]+/.exec(text.slice(at, at + 40))?.[0];
    if (word !== undefined) {
      at += word.length;
      if (word === "true" || word === "false")
        return { kind: "boolean", value: word === "true", range: range(start) };
      if (word === "null") return { kind: "null", range: range(start) };
      throw wrong(`unknown word "${word}"`, start, "strings are written in double quotes");
    }
    const number = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])/.exec(
      text.slice(at, at + 6000),
    )?.[0];
    if (number !== undefined) {
      at += number.length;
      return { kind: "number", text: number, range: range(start) };
    }
    throw wrong(`expected a value, found ${found()}`);
  };

  const root = node(0);
  blanks();
  if (at < text.length) throw wrong(`expected the end of the file, found ${found()}`);
  return root;
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ["\\", "\\"],
  ["/", "/"],
  ["b", "\b"],
  ["f", "\f"],
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
]);
