// Reads patterns in RE2's syntax (github.com/google/re2 doc/syntax.txt, as Go's regexp has it) and compiles them.
import { fail } from "../function.ts";
import type { Assertion, CharacterSet, Instruction, Program } from "./program.ts";

type Node =
  | { readonly kind: "empty" }
  | { readonly kind: "set"; readonly set: CharacterSet }
  | { readonly kind: "assert"; readonly assertion: Assertion }
  | { readonly kind: "sequence" | "choice"; readonly parts: readonly Node[] }
  | {
      readonly kind: "repeat";
      readonly inner: Node;
      readonly min: number;
      readonly max: number;
      readonly greedy: boolean;
    }
  | { readonly kind: "group"; readonly index: number; readonly inner: Node };

/** The flags i, m, s and U. */
interface Flags {
  readonly fold: boolean;
  readonly multiline: boolean;
  readonly dotAll: boolean;
  readonly ungreedy: boolean;
}

/** RE2 refuses larger counts. */
const MAX_COUNT = 1000;
const MAX_DEPTH = 250;
const MAX_INSTRUCTIONS = 20_000;

/** @throws BakeError without a range for a pattern RE2 does not know */
export function compilePattern(pattern: string): Program {
  const names: (string | undefined)[] = [undefined];
  const letters = Array.from(pattern);
  let at = 0;
  let depth = 0;

  function wrong(what: string, hint?: string): Error {
    const shown = pattern.length > 60 ? `${pattern.slice(0, 60)}…` : pattern;
    return fail(`"${shown}" is not a valid regular expression: ${what}`, hint);
  }

  function accept(text: string): boolean {
    if (letters.slice(at, at + text.length).join("") !== text) return false;
    at += text.length;
    return true;
  }

  function parseChoice(outer: Flags): Node {
    if (++depth > MAX_DEPTH) throw wrong("it is nested too deeply");
    let flags = outer;
    const choices: Node[] = [];
    let parts: Node[] = [];
    while (at < letters.length && letters[at] !== ")") {
      if (accept("|")) {
        choices.push({ kind: "sequence", parts });
        parts = [];
        continue;
      }
      const changed = parseFlags(flags);
      if (changed !== undefined) {
        flags = changed;
        continue;
      }
      if (accept("\\Q")) {
        const start = at;
        while (at < letters.length && !accept("\\E")) parts.push(literal(letters[at++] ?? "", flags));
        const last = parts.pop();
        if (last !== undefined) parts.push(parseRepeat(last, start, flags));
        continue;
      }
      const start = at;
      parts.push(parseRepeat(parseAtom(flags), start, flags));
    }
    depth--;
    choices.push({ kind: "sequence", parts });
    return choices.length === 1 ? (choices[0] ?? { kind: "empty" }) : { kind: "choice", parts: choices };
  }

  /** `(?i)`: flags for the rest of the group. */
  function parseFlags(flags: Flags): Flags | undefined {
    if (letters[at] !== "(" || letters[at + 1] !== "?") return undefined;
    const found = /^\(\?([imsU]*)(?:-([imsU]+))?\)/.exec(letters.slice(at, at + 20).join(""));
    if (found === null || (found[1] === "" && found[2] === undefined)) return undefined;
    at += found[0].length;
    return withFlags(flags, found[1] ?? "", found[2] ?? "");
  }

  /** A repetition of `inner`, which began at `start`, when one follows. */
  function parseRepeat(inner: Node, start: number, flags: Flags): Node {
    const count = parseCount();
    if (count === undefined) return inner;
    const greedy = accept("?") === flags.ungreedy;
    const again = at;
    if (parseCount() !== undefined)
      throw wrong(`"${letters.slice(start, again + 1).join("")}" repeats a repetition`, "put it in brackets");
    return { kind: "repeat", inner, ...count, greedy };
  }

  function parseCount(): { readonly min: number; readonly max: number } | undefined {
    if (accept("*")) return { min: 0, max: Infinity };
    if (accept("+")) return { min: 1, max: Infinity };
    if (accept("?")) return { min: 0, max: 1 };
    if (letters[at] !== "{") return undefined;
    const found = /^\{(\d+)(?:(,)(\d*))?\}/.exec(letters.slice(at, at + 40).join(""));
    if (found === null) return undefined;
    const min = Number(found[1]);
    const max = found[2] === undefined ? min : found[3] === "" ? Infinity : Number(found[3]);
    if (min > MAX_COUNT || (max !== Infinity && max > MAX_COUNT) || max < min)
      throw wrong(`"${found[0]}" is no count`, `counts go up to ${MAX_COUNT}`);
    at += found[0].length;
    return { min, max };
  }

  function parseAtom(flags: Flags): Node {
    const letter = letters[at++] ?? "";
    switch (letter) {
      case "(":
        return parseGroup(flags);
      case "[":
        return { kind: "set", set: parseClass(flags) };
      case ".":
        return {
          kind: "set",
          set: flags.dotAll ? setOf([[0, 0x10ffff]]) : { ...setOf([[0x0a, 0x0a]]), negated: true },
        };
      case "^":
        return { kind: "assert", assertion: flags.multiline ? "lineStart" : "textStart" };
      case "$":
        return { kind: "assert", assertion: flags.multiline ? "lineEnd" : "textEnd" };
      case "*":
      case "+":
      case "?":
        throw wrong(`nothing stands before "${letter}"`);
      case "\\":
        return parseEscape(flags);
      default:
        return literal(letter, flags);
    }
  }

  function parseGroup(flags: Flags): Node {
    let inside = flags;
    let index: number | undefined;
    if (accept("?")) {
      const rest = letters.slice(at).join("");
      const named = /^P?<(\w+)>/.exec(rest);
      const changed = /^([imsU]*)(?:-([imsU]+))?:/.exec(rest);
      if (named !== null) {
        const name = named[1] ?? "";
        if (names.includes(name)) throw wrong(`the group "${name}" is there twice`);
        at += named[0].length;
        index = names.push(name) - 1;
      } else if (changed !== null) {
        at += changed[0].length;
        inside = withFlags(flags, changed[1] ?? "", changed[2] ?? "");
      } else if (/^<?[=!]/.test(rest)) throw wrong("look-around is not supported");
      else throw wrong("unknown kind of group");
    } else index = names.push(undefined) - 1;
    const inner = parseChoice(inside);
    if (!accept(")")) throw wrong('a ")" is missing');
    return index === undefined ? inner : { kind: "group", index, inner };
  }

  function parseEscape(flags: Flags): Node {
    const letter = letters[at] ?? "";
    const assertion = Object.hasOwn(ASSERTIONS, letter) ? ASSERTIONS[letter] : undefined;
    if (assertion !== undefined) {
      at++;
      return { kind: "assert", assertion };
    }
    const set = parseClassEscape();
    if (set !== undefined) return { kind: "set", set: { ...set, fold: flags.fold } };
    return literal(String.fromCodePoint(parseCharacter()), flags);
  }

  /** `\d`, `\pL` and their like, after the backslash. */
  function parseClassEscape(): CharacterSet | undefined {
    const letter = letters[at] ?? "";
    const known = Object.hasOwn(PERL, letter.toLowerCase()) ? PERL[letter.toLowerCase()] : undefined;
    if (known !== undefined) {
      at++;
      return { ...setOf(known), negated: letter !== letter.toLowerCase() };
    }
    if (letter !== "p" && letter !== "P") return undefined;
    at++;
    let name = letters[at++] ?? "";
    if (name === "{") {
      const end = letters.indexOf("}", at);
      if (end < 0) throw wrong('a "}" is missing');
      name = letters.slice(at, end).join("");
      at = end + 1;
    }
    const negated = name.startsWith("^") !== (letter === "P");
    return { ...setOf([]), classes: [{ test: unicodeClass(name.replace(/^\^/, "")), negated }] };
  }

  function unicodeClass(name: string): RegExp {
    for (const form of [`\\p{${name}}`, `\\p{Script=${name}}`]) {
      if (!/^\w+$/.test(name)) break;
      try {
        return new RegExp(`^${form}$`, "u");
      } catch {
        // Not of this form.
      }
    }
    throw wrong(`unknown class "${name}"`);
  }

  /** The code point of an escape, after the backslash. */
  function parseCharacter(): number {
    const letter = letters[at++];
    if (letter === undefined) throw wrong("it ends with a backslash");
    const control = Object.hasOwn(CONTROLS, letter) ? CONTROLS[letter] : undefined;
    if (control !== undefined) return control;
    const rest = letters.slice(at, at + 12).join("");
    if (letter === "x") {
      const hex = /^(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,8})\})/.exec(rest);
      const code = hex === null ? Infinity : parseInt(hex[1] ?? hex[2] ?? "", 16);
      if (hex === null || code > 0x10ffff)
        throw wrong('after "\\x" come two hexadecimal digits, or more in braces');
      at += hex[0].length;
      return code;
    }
    const octal =
      letter === "0" ? /^[0-7]{0,2}/.exec(rest) : /^[1-7]$/.test(letter) ? /^[0-7]{1,2}/.exec(rest) : null;
    if (octal !== null) {
      at += octal[0].length;
      return parseInt(letter + octal[0], 8);
    }
    if (/\d/.test(letter)) throw wrong("back-references are not supported");
    if (/[A-Za-z]/.test(letter) || letter > "\x7f") throw wrong(`unknown escape "\\${letter}"`);
    return letter.codePointAt(0) ?? 0;
  }

  function parseClass(flags: Flags): CharacterSet {
    const negated = accept("^");
    const ranges: (readonly [number, number])[] = [];
    const inner: CharacterSet[] = [];
    const one = (): number => {
      const letter = letters[at++];
      if (letter === undefined) throw wrong('a "]" is missing');
      return letter === "\\" ? parseCharacter() : (letter.codePointAt(0) ?? 0);
    };
    for (let first = true; first || letters[at] !== "]"; first = false) {
      if (at >= letters.length) throw wrong('a "]" is missing');
      const posix =
        letters[at] === "[" ? /^\[:(\^?)(\w+):\]/.exec(letters.slice(at, at + 20).join("")) : null;
      if (posix !== null) {
        const name = posix[2] ?? "";
        const known = Object.hasOwn(POSIX, name) ? POSIX[name] : undefined;
        if (known === undefined) throw wrong(`unknown class "${posix[0]}"`);
        at += posix[0].length;
        inner.push({ ...setOf(known), negated: posix[1] === "^" });
        continue;
      }
      if (letters[at] === "\\") {
        at++;
        const set = parseClassEscape();
        if (set !== undefined) {
          inner.push(set);
          continue;
        }
        at--;
      }
      const from = one();
      let to = from;
      if (letters[at] === "-" && letters[at + 1] !== undefined && letters[at + 1] !== "]") {
        at++;
        to = one();
        if (to < from) throw wrong("a range of characters ends before it starts");
      }
      ranges.push([from, to]);
    }
    at++;
    return { ranges, classes: [], inner, negated, fold: flags.fold };
  }

  const tree = parseChoice({ fold: false, multiline: false, dotAll: false, ungreedy: false });
  if (at < letters.length) throw wrong('there is a ")" too many');
  return compile(tree, names, () => wrong("it is too large"));
}

function compile(tree: Node, names: readonly (string | undefined)[], tooLarge: () => Error): Program {
  const instructions: Instruction[] = [];

  function emit(instruction: Instruction): number {
    if (instructions.length >= MAX_INSTRUCTIONS) throw tooLarge();
    return instructions.push(instruction) - 1;
  }

  /** Built from the end: gives the first instruction of `node`, which leads to `next`. */
  function build(node: Node, next: number): number {
    switch (node.kind) {
      case "empty":
        return next;
      case "set":
        return emit({ op: "char", set: node.set, next });
      case "assert":
        return emit({ op: "assert", kind: node.assertion, next });
      case "sequence":
        return node.parts.reduceRight((after, part) => build(part, after), next);
      case "choice":
        return node.parts
          .map(part => build(part, next))
          .reduceRight((other, first) => emit({ op: "split", next: first, other }));
      case "group": {
        const end = emit({ op: "save", slot: node.index * 2 + 1, next });
        return emit({ op: "save", slot: node.index * 2, next: build(node.inner, end) });
      }
      case "repeat":
        return repeat(node, next);
      default: {
        const never: never = node;
        return never;
      }
    }
  }

  function repeat({ inner, min, max, greedy }: Extract<Node, { kind: "repeat" }>, next: number): number {
    const split = (into: number, past: number): number =>
      emit(greedy ? { op: "split", next: into, other: past } : { op: "split", next: past, other: into });
    let after = next;
    if (max === Infinity) {
      // The loop leads back to its own split, which is set once its body is known.
      const loop = emit({ op: "split", next, other: next });
      const body = build(inner, loop);
      instructions[loop] = greedy
        ? { op: "split", next: body, other: next }
        : { op: "split", next, other: body };
      after = min > 0 ? body : loop;
      for (let i = 1; i < min; i++) after = build(inner, after);
      return after;
    }
    for (let i = min; i < max; i++) after = split(build(inner, after), next);
    for (let i = 0; i < min; i++) after = build(inner, after);
    return after;
  }

  const match = emit({ op: "match" });
  const start = build({ kind: "group", index: 0, inner: tree }, match);
  return { instructions, start, groups: names.length, names };
}

function setOf(ranges: readonly (readonly [number, number])[]): CharacterSet {
  return { ranges, classes: [], inner: [], negated: false, fold: false };
}

function literal(letter: string, { fold }: Flags): Node {
  const code = letter.codePointAt(0) ?? 0;
  return { kind: "set", set: { ...setOf([[code, code]]), fold } };
}

function withFlags(flags: Flags, on: string, off: string): Flags {
  const value = (letter: string, before: boolean): boolean =>
    off.includes(letter) ? false : on.includes(letter) || before;
  return {
    fold: value("i", flags.fold),
    multiline: value("m", flags.multiline),
    dotAll: value("s", flags.dotAll),
    ungreedy: value("U", flags.ungreedy),
  };
}

const ASSERTIONS: Readonly<Record<string, Assertion>> = {
  A: "textStart",
  z: "textEnd",
  b: "wordBoundary",
  B: "noWordBoundary",
};

const CONTROLS: Readonly<Record<string, number>> = { a: 7, t: 9, n: 10, v: 11, f: 12, r: 13 };

type Ranges = readonly (readonly [number, number])[];

function ranges(...pairs: readonly string[]): Ranges {
  return pairs.map(pair => [pair.charCodeAt(0), pair.charCodeAt(pair.length - 1)] as const);
}

const PERL: Readonly<Record<string, Ranges>> = {
  d: ranges("09"),
  s: ranges("\t\n", "\f\r", " "),
  w: ranges("09", "AZ", "_", "az"),
};

const POSIX: Readonly<Record<string, Ranges>> = {
  alnum: ranges("09", "AZ", "az"),
  alpha: ranges("AZ", "az"),
  ascii: ranges("\x00\x7f"),
  blank: ranges("\t", " "),
  cntrl: ranges("\x00\x1f", "\x7f"),
  digit: ranges("09"),
  graph: ranges("!~"),
  lower: ranges("az"),
  print: ranges(" ~"),
  punct: ranges("!/", ":@", "[`", "{~"),
  space: ranges("\t\r", " "),
  upper: ranges("AZ"),
  word: ranges("09", "AZ", "_", "az"),
  xdigit: ranges("09", "AF", "af"),
};
