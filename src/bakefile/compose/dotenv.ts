// Environment files: `.env` beside a Compose file and what `env_file` names. NAME=value lines with quotes, comments
// and variables, in the form that Docker Compose reads.
import { BakeError } from "../../diagnostic/error.ts";
import type { Source } from "../../diagnostic/source.ts";
import { substitute } from "./interpolate.ts";

const SPACE = /[\t\v\f\r \u0085\u00a0]/;

/**
 * The variables of a file. `lookUp` gives those that are known already: a name without a value takes its value from
 * there, and `$NAME` prefers them to what the file said before.
 * @throws BakeError where the file is malformed
 */
export function parseDotenv(
  source: Source,
  lookUp: (name: string) => string | undefined,
): ReadonlyMap<string, string> {
  const text = source.text.replace(/^\ufeff/, " ");
  const out = new Map<string, string>();
  let at = 0;

  function fail(message: string, start: number, end: number, hint?: string): BakeError {
    return new BakeError("bake-syntax", message, { range: { source, start, end }, hint });
  }

  function expand(value: string, start: number): string {
    try {
      return substitute(value, {
        lookUp: name => lookUp(name) ?? out.get(name),
        names: () => out.keys(),
        missing: () => undefined,
      });
    } catch (thrown) {
      if (!(thrown instanceof BakeError)) throw thrown;
      throw thrown.at({ source, start, end: at });
    }
  }

  function lineEnd(from: number): number {
    const end = text.indexOf("\n", from);
    return end < 0 ? text.length : end;
  }

  function skipSpace(): void {
    while (at < text.length && SPACE.test(text[at] ?? "")) at++;
  }

  for (;;) {
    while (at < text.length && /\s/.test(text[at] ?? "")) at++;
    if (at >= text.length) return out;
    if (text[at] === "#") {
      at = lineEnd(at);
      continue;
    }
    const exported = /^export[\t\v\f\r ]+/.exec(text.slice(at, at + 64));
    if (exported !== null) at += exported[0].length;
    const start = at;
    while (at < text.length && !/[=:\n]/.test(text[at] ?? "")) {
      const sign = String.fromCodePoint(text.codePointAt(at) ?? 0);
      if (!SPACE.test(sign) && !/^[_.\-[\]\p{L}\p{N}]$/u.test(sign))
        throw fail(`the name of a variable cannot have "${sign}"`, at, at + sign.length);
      at += sign.length;
    }
    const name = text.slice(start, at).trimEnd();
    if (name.includes(" "))
      throw fail(`the name "${name}" has a space in it`, start, start + name.length, "write NAME=value");
    const inherited = text[at] === "\n" || at >= text.length;
    at++;
    if (inherited) {
      const value = lookUp(name);
      if (value !== undefined) out.set(name, value);
      continue;
    }
    skipSpace();
    const valueStart = at;
    const quote = text[at];
    if (quote !== '"' && quote !== "'") {
      at = lineEnd(at);
      const line = text.slice(valueStart, at);
      const comment = line.indexOf(" #");
      out.set(name, expand((comment < 0 ? line : line.slice(0, comment)).trimEnd(), valueStart));
      continue;
    }
    let value = "";
    for (at++; at < text.length && text[at] !== quote; at++) {
      // A backslash keeps the quote from ending the value; before anything else it stays.
      if (text[at] === "\\" && at + 1 < text.length) {
        at++;
        if (text[at] !== quote) value += "\\";
      }
      value += text[at] ?? "";
    }
    if (at >= text.length)
      throw fail(`the value of "${name}" has no closing quote`, valueStart, lineEnd(valueStart));
    at++;
    out.set(name, quote === '"' ? expand(unescape(value), valueStart) : value);
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  '"': '"',
  // Left for the variables: $$ is a dollar sign.
  $: "$$",
};

function unescape(text: string): string {
  return text.replace(/\\(?:([abcfnrtv$"\\])|0(\d{0,3}))/g, (whole, letter?: string, octal?: string) => {
    if (letter !== undefined) return ESCAPES[letter] ?? whole;
    return /^[0-3][0-7]{2}$/.test(octal ?? "") ? String.fromCodePoint(parseInt(octal ?? "", 8)) : whole;
  });
}
