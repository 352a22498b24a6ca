// Functions on strings (names and behaviour: the bake reference's standard library, go-cty function/stdlib).
import { MAX_TEXT, fail, intOf, param, textOf, type BakeFunction } from "./function.ts";
import {
  NUMBER,
  STRING,
  listValue,
  numberValue,
  stringValue,
  tupleValue,
  unwrapItems,
  objectValue,
  type Value,
} from "../value.ts";
import { splitGraphemes } from "../../../diagnostic/graphemes.ts";
import { numberFromInt } from "../number.ts";
import { expandReplacement, findAllRegex, findRegex, type Found } from "./regex.ts";

const str = param("str", STRING);

/** A function from one string to a string. */
function mapText(map: (text: string) => string): BakeFunction {
  return { params: [str], call: args => stringValue(map(textOf(args, 0))) };
}

function trimSet(text: string, cutset: string): string {
  const cut = new Set(cutset);
  const letters = [...text];
  let start = 0;
  let end = letters.length;
  while (start < end && cut.has(letters[start] ?? "")) start++;
  while (end > start && cut.has(letters[end - 1] ?? "")) end--;
  return letters.slice(start, end).join("");
}

/** Blanks as Unicode's White_Space, which lacks the byte order mark that JavaScript trims. */
const SPACES = "[\\t\\n\\v\\f\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const LEADING = new RegExp(`^${SPACES}+`, "u");
const TRAILING = new RegExp(`${SPACES}+$`, "u");

/** Letter by letter, as Go does: a letter whose other case takes several letters stays. */
function mapLetters(text: string, map: (letter: string) => string): string {
  return Array.from(text, letter => {
    const other = map(letter);
    return [...other].length === 1 ? other : letter;
  }).join("");
}

export function strings(value: Value): readonly string[] {
  return (unwrapItems(value) ?? []).map(item => {
    if (item.kind !== "string") throw fail("the list has a null item");
    return item.value;
  });
}

function bounded(text: string): Value {
  if (text.length > MAX_TEXT) throw fail(`the result is longer than ${MAX_TEXT} characters`);
  return stringValue(text);
}

export const textFunctions: Readonly<Record<string, BakeFunction>> = {
  upper: mapText(text => mapLetters(text, letter => letter.toUpperCase())),
  lower: mapText(text => mapLetters(text, letter => letter.toLowerCase())),
  title: mapText(text =>
    text.replace(
      /(^|[^\p{L}\p{N}_'])(\p{L})/gu,
      (_, before: string, letter: string) => before + letter.toUpperCase(),
    ),
  ),
  chomp: mapText(text => text.replace(/(?:\r\n?|\n)+$/, "")),
  trimspace: mapText(text => text.replace(LEADING, "").replace(TRAILING, "")),
  sanitize: mapText(text => text.replace(/[^a-zA-Z0-9_-]/gu, "_")),
  reverse: mapText(text => [...splitGraphemes(text)].reverse().join("")),
  urlencode: mapText(text =>
    encodeURIComponent(text.replace(/\p{Surrogate}/gu, "\ufffd")).replace(/[!'()*]|%20/g, found =>
      found === "%20" ? "+" : `%${found.charCodeAt(0).toString(16).toUpperCase()}`,
    ),
  ),
  indent: {
    params: [param("spaces", NUMBER), str],
    call: args => {
      const count = intOf(args, 0);
      if (count < 0 || count > 10_000) throw fail("the number of spaces must be between 0 and 10000");
      return bounded(textOf(args, 1).replaceAll("\n", `\n${" ".repeat(count)}`));
    },
  },
  trim: {
    params: [str, param("cutset", STRING)],
    call: args => stringValue(trimSet(textOf(args, 0), textOf(args, 1))),
  },
  trimprefix: {
    params: [str, param("prefix", STRING)],
    call: args => {
      const text = textOf(args, 0);
      const prefix = textOf(args, 1);
      return stringValue(text.startsWith(prefix) ? text.slice(prefix.length) : text);
    },
  },
  trimsuffix: {
    params: [str, param("suffix", STRING)],
    call: args => {
      const text = textOf(args, 0);
      const suffix = textOf(args, 1);
      return stringValue(suffix !== "" && text.endsWith(suffix) ? text.slice(0, -suffix.length) : text);
    },
  },
  replace: {
    params: [str, param("substr", STRING), param("replace", STRING)],
    call: args => {
      const [text, from, to] = [textOf(args, 0), textOf(args, 1), textOf(args, 2)];
      if (from === "") return bounded(to + [...text].map(letter => letter + to).join(""));
      return bounded(text.split(from).join(to));
    },
  },
  split: {
    params: [param("separator", STRING), str],
    call: args => {
      const separator = textOf(args, 0);
      const text = textOf(args, 1);
      return listValue(STRING, (separator === "" ? [...text] : text.split(separator)).map(stringValue));
    },
  },
  join: {
    params: [param("separator", STRING)],
    variadic: param("lists", { kind: "list", element: STRING }),
    call: args => {
      if (args.length < 2) throw fail("needs at least one list");
      return bounded(args.slice(1).flatMap(strings).join(textOf(args, 0)));
    },
  },
  strlen: { params: [str], call: args => numberValue(numberFromInt(splitGraphemes(textOf(args, 0)).length)) },
  substr: {
    params: [str, param("offset", NUMBER), param("length", NUMBER)],
    call: args => {
      const letters = splitGraphemes(textOf(args, 0));
      let offset = intOf(args, 1);
      const length = intOf(args, 2);
      if (offset < 0) offset += letters.length;
      if (offset < 0) offset = 0;
      return stringValue(letters.slice(offset, length < 0 ? undefined : offset + length).join(""));
    },
  },
  regex: {
    params: [param("pattern", STRING), param("string", STRING)],
    call: (args, _host, spend) => {
      const found = findRegex(textOf(args, 0), textOf(args, 1), spend);
      if (found === undefined)
        throw fail("the pattern does not match the text", "use regexall() for any number of matches");
      return matchValue(found);
    },
  },
  regexall: {
    params: [param("pattern", STRING), param("string", STRING)],
    call: (args, _host, spend) =>
      tupleValue([...findAllRegex(textOf(args, 0), textOf(args, 1), spend)].map(matchValue)),
  },
  regex_replace: {
    params: [str, param("pattern", STRING), param("replace", STRING)],
    call: (args, _host, spend) => {
      const text = textOf(args, 0);
      const template = textOf(args, 2);
      let out = "";
      let at = 0;
      for (const found of findAllRegex(textOf(args, 1), text, spend)) {
        out += text.slice(at, found.start) + expandReplacement(template, found);
        at = found.end;
        if (out.length > MAX_TEXT) break;
      }
      return bounded(out + text.slice(at));
    },
  },
};

/** The whole match without groups, a list for unnamed groups, an object for named ones. */
function matchValue({ groups, names }: Found): Value {
  const text = (part: string | undefined): Value =>
    part === undefined ? { kind: "null", type: STRING } : stringValue(part);
  if (names.some(name => name !== undefined)) {
    return objectValue(
      names.flatMap((name, i) => (name === undefined ? [] : [[name, text(groups[i])] as const])),
    );
  }
  if (groups.length === 1) return text(groups[0]);
  return tupleValue(groups.slice(1).map(text));
}
