// Regular expressions in Go's RE2 syntax, translated to JavaScript's where the two differ.
import { fail } from "./function.ts";

const cache = new Map<string, RegExp>();
const POSIX: Readonly<Record<string, string>> = {
  alnum: "0-9A-Za-z",
  alpha: "A-Za-z",
  ascii: "\\x00-\\x7F",
  blank: "\\t ",
  cntrl: "\\x00-\\x1F\\x7F",
  digit: "0-9",
  graph: "!-~",
  lower: "a-z",
  print: " -~",
  punct: "!-\\/:-@\\[-`{-~",
  space: "\\t\\n\\v\\f\\r ",
  upper: "A-Z",
  word: "0-9A-Za-z_",
  xdigit: "0-9A-Fa-f",
};

/** @throws BakeError without a range for a pattern RE2 does not know */
export function compileRegex(pattern: string, flags: "u" | "gu"): RegExp {
  const key = `${flags}/${pattern}`;
  let found = cache.get(key);
  if (found === undefined) {
    const { source, extra } = translate(pattern);
    try {
      found = new RegExp(source, flags + extra);
    } catch {
      throw fail(`"${pattern}" is not a valid regular expression`);
    }
    if (cache.size > 500) cache.clear();
    cache.set(key, found);
  }
  found.lastIndex = 0;
  return found;
}

function translate(pattern: string): { source: string; extra: string } {
  let extra = "";
  let body = pattern;
  const leading = /^\(\?([ims]+)\)/.exec(body);
  if (leading !== null) {
    body = body.slice(leading[0].length);
    extra = [...new Set(leading[1])].join("");
  }
  if (/\(\?(?:[=!]|<[=!])/.test(body)) throw fail("look-around is not supported in regular expressions");
  if (/(?<!\\)(?:\\\\)*\\[1-9]/.test(body))
    throw fail("back-references are not supported in regular expressions");
  let source = "";
  let inClass = false;
  for (let at = 0; at < body.length; at++) {
    const rest = body.slice(at);
    const character = body[at] ?? "";
    if (character === "\\") {
      const next = body[at + 1] ?? "";
      at++;
      if (next === "A") source += "^";
      else if (next === "z") source += "$";
      else if (next === "a") source += "\\x07";
      else if (next === "Q") {
        const end = body.indexOf("\\E", at);
        const literal = body.slice(at + 1, end < 0 ? undefined : end);
        source += literal.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
        at = end < 0 ? body.length : end + 1;
      } else if (next === "x" && body[at + 1] === "{") {
        source += "\\u";
      } else if (/[pP]/.test(next) && body[at + 1] !== "{") {
        source += `\\${next}{${body[at + 1] ?? ""}}`;
        at++;
      } else if (/^\p{Cased}?$/u.test(next) && /[^dDwWsSbBnrtfvxpPu0-9]/.test(next) && next !== "") {
        throw fail(`unknown escape "\\${next}" in a regular expression`);
      } else if (/[\^$\\.*+?()[\]{}|/dDwWsSbBnrtfvxpP0-9]/.test(next)) source += `\\${next}`;
      else if (next === "-") source += inClass ? "\\-" : "-";
      else source += next;
      continue;
    }
    const posix = inClass ? /^\[:(\^?)(\w+):\]/.exec(rest) : null;
    if (posix !== null) {
      const set = POSIX[posix[2] ?? ""];
      if (set === undefined || posix[1] === "^") throw fail(`unknown character class "${posix[0]}"`);
      source += set;
      at += posix[0].length - 1;
      continue;
    }
    if (inClass) {
      if (character === "]") inClass = false;
      source += character === "[" ? "\\[" : character;
      continue;
    }
    if (character === "[") {
      inClass = true;
      const open = /^\[\^?\]?/.exec(rest)?.[0] ?? "[";
      source += open.replace("]", "\\]");
      at += open.length - 1;
      continue;
    }
    const named = /^\(\?P<(\w+)>/.exec(rest);
    if (named !== null) {
      source += `(?<${named[1] ?? ""}>`;
      at += named[0].length - 1;
      continue;
    }
    if (character === "{" && !/^\{\d+(,\d*)?\}/.test(rest)) source += "\\{";
    else if (character === "{") {
      const quantifier = /^\{\d+(,\d*)?\}/.exec(rest)?.[0] ?? "{";
      source += quantifier;
      at += quantifier.length - 1;
    } else if (character === "}" || character === "]") source += `\\${character}`;
    else source += character;
  }
  return { source, extra };
}

/** Fills `$1`, `$name` and `${name}` of a replacement; unknown groups are empty. */
export function expandReplacement(
  template: string,
  groups: readonly string[],
  named: Readonly<Record<string, string | undefined>>,
): string {
  return template.replace(/\$(?:\$|(\w+)|\{(\w+)\})/g, (whole, bare?: string, braced?: string) => {
    if (whole === "$$") return "$";
    const name = bare ?? braced ?? "";
    if (/^\d+$/.test(name)) {
      const group = groups[Number(name)];
      return group === undefined || group === "undefined" ? "" : group;
    }
    return named[name] ?? "";
  });
}
