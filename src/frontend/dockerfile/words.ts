// Words of a Dockerfile: quotes, escapes and the `$name` and `${name…}` forms (Dockerfile reference, "Environment
// replacement"). Everything is read rune by rune in one pass; nested words of `${…}` recurse.
import { BakeError } from "../../diagnostic/error.ts";
import { PatternProblem, replaceAll, replaceFirst, stripPattern } from "./shellpattern.ts";
import { goQuote, isSpace } from "./text.ts";

export interface Environment {
  readonly get: (name: string) => string | undefined;
  readonly keys: () => readonly string[];
}

export interface WordOptions {
  /** The escape character of the file; default backslash. */
  readonly escape?: string;
  /** Keep quotes in the result. */
  readonly rawQuotes?: boolean;
  /** Keep escape characters in the result. */
  readonly rawEscapes?: boolean;
  /** Quotes are ordinary characters. */
  readonly plainQuotes?: boolean;
  /** Leave variables that are not set as they were written. */
  readonly keepUnset?: boolean;
}

export interface Expansion {
  /** The text as one word. */
  readonly text: string;
  /** The text split at blanks outside quotes, after replacement. */
  readonly words: readonly string[];
  /** Names that were read and are set. */
  readonly matched: ReadonlySet<string>;
  /** Names that were read and are not set. */
  readonly unmatched: ReadonlySet<string>;
}

export const emptyEnvironment: Environment = { get: () => undefined, keys: () => [] };

/** An environment over `NAME=value` entries in order; the last of one name wins. */
export function environmentFromPairs(pairs: Iterable<readonly [string, string]>): Environment {
  const values = new Map<string, string>();
  const keys: string[] = [];
  for (const [name, value] of pairs) {
    keys.push(name);
    values.set(name, value);
  }
  return { get: name => values.get(name), keys: () => keys };
}

/** Characters of a text that a message quotes. */
const MAX_QUOTED = 80;

function excerptOf(text: string): string {
  return text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text;
}

/** Expands a text. @throws BakeError "dockerfile-lower" without a range, which callers add */
export function expandWord(source: string, environment: Environment, options: WordOptions = {}): Expansion {
  const lexer = createLexer(source, environment, options);
  try {
    const { text, words } = lexer.readUntil(undefined, options.rawEscapes === true);
    return { text, words, matched: lexer.matched, unmatched: lexer.unmatched };
  } catch (thrown) {
    if (thrown instanceof WordProblem || thrown instanceof PatternProblem)
      throw new BakeError(
        "dockerfile-lower",
        `cannot expand ${goQuote(excerptOf(source))}: ${thrown.message}`,
      );
    throw thrown;
  }
}

/** Internal to this file: becomes a BakeError that names the whole word. */
class WordProblem extends Error {}

const SPECIAL_NAMES = "@*#?-$!0";
/** No word needs more, and the call stack has an end. */
const MAX_DEPTH = 500;

function createLexer(source: string, environment: Environment, options: WordOptions) {
  const runes = [...source.replace(/^\ufeff/, "")];
  const escape = options.escape ?? "\\";
  const matched = new Set<string>();
  const unmatched = new Set<string>();
  let at = 0;
  let depth = 0;
  let rawEscapes = options.rawEscapes === true;

  const peek = (): string | undefined => runes[at];
  const next = (): string | undefined => runes[at++];
  const atEnd = (): boolean => at >= runes.length;

  function valueOf(name: string): string | undefined {
    const value = environment.get(name);
    (value === undefined ? unmatched : matched).add(name);
    return value;
  }

  /** Reads up to `stop` (which is consumed) or the end. */
  function readUntil(stop: string | undefined, raw: boolean): { text: string; words: string[] } {
    if (++depth > MAX_DEPTH) throw new WordProblem(`"\${…}" is nested more than ${MAX_DEPTH} deep`);
    const before = rawEscapes;
    rawEscapes = raw;
    let text = "";
    const words = createSplitter();
    while (!atEnd()) {
      const rune = peek() ?? "";
      if (rune === stop) {
        at++;
        rawEscapes = before;
        depth--;
        return { text, words: words.finish() };
      }
      const special = readSpecial(rune);
      if (special !== undefined) {
        text += special;
        if (rune === "$") for (const piece of special) words.add(piece);
        else words.addRaw(special);
        continue;
      }
      at++;
      if (rune !== escape) {
        words.add(rune);
        text += rune;
        continue;
      }
      if (rawEscapes) {
        words.addRaw(rune);
        text += rune;
      }
      const escaped = next();
      if (escaped === undefined) break;
      words.addRaw(escaped);
      text += escaped;
    }
    rawEscapes = before;
    if (stop !== undefined) throw new WordProblem(`"${stop}" is missing`);
    return { text, words: words.finish() };
  }

  function readSpecial(rune: string): string | undefined {
    if (rune === "$") return readDollar();
    if (rune === "<") return readHeredocMark();
    if (options.plainQuotes === true) return undefined;
    if (rune === "'") return readSingleQuoted();
    return rune === '"' ? readDoubleQuoted() : undefined;
  }

  function readSingleQuoted(): string {
    at++;
    let out = "";
    for (;;) {
      const rune = next();
      if (rune === undefined) throw new WordProblem("the closing ' is missing");
      if (rune === "'") return options.rawQuotes === true ? `'${out}'` : out;
      out += rune;
    }
  }

  function readDoubleQuoted(): string {
    at++;
    let out = "";
    for (;;) {
      const rune = peek();
      if (rune === undefined) throw new WordProblem('the closing " is missing');
      if (rune === "$") {
        out += readDollar();
        continue;
      }
      at++;
      if (rune === '"') return options.rawQuotes === true ? `"${out}"` : out;
      if (rune !== escape) {
        out += rune;
        continue;
      }
      if (rawEscapes) out += rune;
      const following = peek();
      if (following === undefined) continue;
      if (following === '"' || following === "$" || following === escape) {
        at++;
        out += following;
      } else out += rune;
    }
  }

  /** `<<` keeps the blanks after it, so that a heredoc's mark stays with its name. */
  function readHeredocMark(): string {
    at++;
    if (peek() !== "<") return "<";
    at++;
    let out = "<<";
    for (let rune = peek(); rune === " " || rune === "\t" || rune === "\r"; rune = peek()) {
      out += rune;
      at++;
    }
    return out;
  }

  function readName(): string {
    const first = peek() ?? "";
    if (/\p{Nd}/u.test(first)) return readWhile(/\p{Nd}/u);
    if (first !== "" && SPECIAL_NAMES.includes(first)) {
      at++;
      return first;
    }
    return readWhile(/[\p{L}\p{Nd}_]/u);
  }

  function readWhile(pattern: RegExp): string {
    let out = "";
    for (let rune = peek(); rune !== undefined && pattern.test(rune); rune = peek()) {
      out += rune;
      at++;
    }
    return out;
  }

  function readDollar(): string {
    at++;
    if (peek() !== "{") {
      const name = readName();
      if (name === "") return "$";
      const value = valueOf(name);
      return value ?? (options.keepUnset === true ? `$${name}` : "");
    }
    at++;
    const first = peek();
    if (first === undefined) throw new WordProblem(`"}" is missing`);
    if (first === "{" || first === "}" || first === ":") throw new WordProblem(`a name must follow "\${"`);
    const name = readName();
    const operator = next();
    if (operator === undefined) throw new WordProblem(`"}" is missing`);
    if (operator === "}") {
      const value = valueOf(name);
      return value ?? (options.keepUnset === true ? `\${${name}}` : "");
    }
    if (operator === "/") return readReplacement(name);
    const emptyIsUnset = operator === ":";
    return readModifier(name, emptyIsUnset ? next() : operator, emptyIsUnset);
  }

  function readModifier(name: string, operator: string | undefined, emptyIsUnset: boolean): string {
    const written = `${emptyIsUnset ? ":" : ""}${operator ?? ""}`;
    const unsupported = (): WordProblem =>
      new WordProblem(`"${written}" after "\${${name}" is not a known form`);
    const strip = operator === "#" || operator === "%";
    // After a colon the variable is read, and may be missed, before the form is found to be none.
    if (emptyIsUnset ? strip : operator === undefined || !"+-?#%".includes(operator)) throw unsupported();
    const word = readNested("}", strip);
    const value = valueOf(name);
    if (value === undefined && options.keepUnset === true) return `\${${name}${written}${word}}`;
    const missing = value === undefined || (emptyIsUnset && value === "");
    switch (operator) {
      case "-":
        return missing ? word : value;
      case "+":
        return missing ? "" : word;
      case "?":
        if (!missing) return value;
        throw new WordProblem(
          `${name}: ${word !== "" ? word : value === undefined ? "is not allowed to be unset" : "is not allowed to be empty"}`,
        );
      case "#":
      case "%": {
        const greedy = word.startsWith(operator);
        return stripPattern(value ?? "", greedy ? word.slice(1) : word, { suffix: operator === "%", greedy });
      }
      default:
        throw unsupported();
    }
  }

  function readReplacement(name: string): string {
    const all = peek() === "/";
    if (all) at++;
    const pattern = readNested("/", true);
    const replacement = readNested("}", true);
    const value = valueOf(name);
    if (value === undefined && options.keepUnset === true) return `\${${name}/${pattern}/${replacement}}`;
    return (all ? replaceAll : replaceFirst)(value ?? "", pattern, replacement);
  }

  function readNested(stop: string, raw: boolean): string {
    try {
      return readUntil(stop, raw).text;
    } catch (thrown) {
      if (thrown instanceof WordProblem && atEnd()) throw new WordProblem(`"${stop}" is missing in "\${…}"`);
      throw thrown;
    }
  }

  return { readUntil, matched, unmatched };
}

function createSplitter() {
  const words: string[] = [];
  let current = "";
  let inWord = false;
  const addRaw = (text: string): void => {
    current += text;
    inWord = true;
  };
  return {
    addRaw,
    add(rune: string): void {
      if (!isSpace(rune)) addRaw(rune);
      else if (inWord && current !== "") {
        words.push(current);
        current = "";
        inWord = false;
      }
    },
    finish(): string[] {
      return current === "" ? words : [...words, current];
    },
  };
}
