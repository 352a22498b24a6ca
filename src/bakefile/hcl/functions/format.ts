// format() and formatlist(): verbs as in C's printf (go-cty function/stdlib format).
import { MAX_ITEMS, MAX_TEXT, fail, param, textOf, type BakeFunction } from "./function.ts";
import { convert, describe } from "../convert.ts";
import * as number from "../number.ts";
import { valueToJson } from "../../json-value.ts";
import { DYNAMIC, NUMBER, STRING, BOOL, listValue, stringValue, unwrapItems, type Value } from "../value.ts";

interface Verb {
  readonly flags: string;
  readonly width: number | undefined;
  readonly precision: number | undefined;
  readonly letter: string;
}

const PATTERN =
  /%(?:%|(?<flags>[-+ 0#]*)(?<width>\d+)?(?:\.(?<precision>\d*))?(?:\[(?<index>\d+)\])?(?<letter>[a-zA-Z]))/gu;

function formatText(template: string, args: readonly Value[]): string {
  let next = 0;
  let highest = 0;
  let explicit = false;
  let last = 0;
  let out = "";
  for (const found of template.matchAll(PATTERN)) {
    out += plain(template.slice(last, found.index));
    last = found.index + found[0].length;
    if (found[0] === "%%") {
      out += "%";
      continue;
    }
    const groups = found.groups ?? {};
    if (groups["index"] !== undefined) {
      next = Number(groups["index"]) - 1;
      explicit = true;
    }
    const value = args[next];
    if (value === undefined)
      throw fail(`"${found[0]}" has no value: there ${args.length === 1 ? "is 1" : `are ${args.length}`}`);
    next++;
    highest = Math.max(highest, next);
    const width = groups["width"] === undefined ? undefined : Number(groups["width"]);
    const precision = groups["precision"] === undefined ? undefined : Number(groups["precision"]);
    if ((width ?? 0) > 10_000 || (precision ?? 0) > 10_000)
      throw fail(`the width in "${found[0]}" is too large`);
    out += formatOne(value, {
      flags: groups["flags"] ?? "",
      width,
      precision,
      letter: groups["letter"] ?? "v",
    });
    if (out.length > MAX_TEXT) throw fail("the result is too long");
  }
  out += plain(template.slice(last));
  if (!explicit && highest < args.length)
    throw fail(`has ${args.length} values, but the format uses only ${highest}`);
  return out;
}

function plain(text: string): string {
  if (text.includes("%"))
    throw fail('a "%" is not followed by a verb', 'write "%%" for the character itself');
  return text;
}

function formatOne(value: Value, verb: Verb): string {
  switch (verb.letter) {
    case "v":
      return pad(verb.flags.includes("#") ? valueToJson(value) : displayText(value), {
        ...verb,
        flags: verb.flags.replace("0", ""),
      });
    case "t": {
      const bool = convert(present(value, verb), BOOL);
      return pad(bool.kind === "bool" ? String(bool.value) : "", verb);
    }
    case "s":
    case "q": {
      const text = convert(present(value, verb), STRING);
      const letters = text.kind === "string" ? [...text.value] : [];
      const cut = (verb.precision === undefined ? letters : letters.slice(0, verb.precision)).join("");
      return pad(verb.letter === "q" ? JSON.stringify(cut) : cut, verb);
    }
    case "b":
    case "d":
    case "o":
    case "x":
    case "X":
      return integer(numeric(value, verb), verb);
    case "e":
    case "E":
    case "f":
    case "g":
    case "G":
      return padNumber(decimal(numeric(value, verb), verb), verb);
    default:
      throw fail(`unknown verb "%${verb.letter}"`, "verbs are %v %#v %s %q %d %t %f %e %g %b %o %x");
  }
}

function present(value: Value, verb: Verb): Value {
  if (value.kind === "null") throw fail(`null has no form for "%${verb.letter}"`, 'use "%v"');
  return value;
}

function displayText(value: Value): string {
  if (value.kind === "string") return value.value;
  if (value.kind === "number") return shortNumber(value.value);
  return valueToJson(value);
}

/** The shortest form, with an exponent when the number has more than six whole digits or is below 0.0001. */
function shortNumber(value: number.Num): string {
  const text = number.formatNumber(number.absolute(value));
  const prefix = value.sign === -1 ? "-" : "";
  if (value.infinite || number.isZero(value)) return number.formatNumber(value);
  const [whole = "", fraction = ""] = text.split(".");
  const digits = (whole + fraction).replace(/^0+/, "");
  const power =
    whole === "0" ? -(fraction.length - fraction.replace(/^0+/, "").length) - 1 : whole.length - 1;
  if (power >= -4 && power < 6) return prefix + text;
  const mantissa = digits.replace(/0+$/, "");
  const tail = mantissa.slice(1);
  const exponent = `${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  return `${prefix}${mantissa.charAt(0)}${tail === "" ? "" : `.${tail}`}e${exponent}`;
}

function numeric(value: Value, verb: Verb): number.Num {
  const found = convert(present(value, verb), NUMBER);
  if (found.kind !== "number")
    throw fail(`expected a number for "%${verb.letter}", found ${describe(value)}`);
  return found.value;
}

const BASES: Readonly<Record<string, number>> = { b: 2, o: 8, d: 10, x: 16, X: 16 };

function integer(value: number.Num, verb: Verb): string {
  if (!number.isInteger(value))
    throw fail(`expected a whole number for "%${verb.letter}", found ${number.formatNumber(value)}`);
  const whole = number.truncate(value);
  let digits = (whole < 0n ? -whole : whole).toString(BASES[verb.letter] ?? 10);
  if (verb.letter === "X") digits = digits.toUpperCase();
  if (verb.precision !== undefined) digits = digits.padStart(verb.precision, "0");
  if (verb.flags.includes("#")) digits = ({ x: "0x", X: "0X", o: "0", b: "0b" }[verb.letter] ?? "") + digits;
  return padNumber(sign(whole < 0n, verb) + digits, verb);
}

function sign(negative: boolean, verb: Verb): string {
  if (negative) return "-";
  if (verb.flags.includes("+")) return "+";
  return verb.flags.includes(" ") ? " " : "";
}

function decimal(value: number.Num, verb: Verb): string {
  const double = Math.abs(number.toDouble(value));
  const negative = value.sign === -1;
  if (verb.letter === "f") {
    const digits = verb.precision ?? 6;
    if (value.infinite) return `${sign(negative, verb)}Inf`;
    return sign(negative, verb) + fixed(number.absolute(value), digits);
  }
  const exponent = (text: string): string => text.replace(/e([+-])(\d)$/, "e$10$2");
  let text: string;
  if (verb.letter === "e" || verb.letter === "E")
    text = exponent(double.toExponential(Math.min(100, verb.precision ?? 6)));
  else if (verb.precision === undefined) {
    const power = double === 0 ? 0 : Math.floor(Math.log10(double));
    text =
      power < -4 || power >= 21
        ? exponent(double.toExponential())
        : number.formatNumber(number.numberFromDouble(double));
  } else {
    const digits = Math.max(1, verb.precision);
    const rounded = double.toExponential(Math.min(100, digits - 1));
    const power = Number(rounded.slice(rounded.indexOf("e") + 1));
    text =
      power < -4 || power >= digits
        ? exponent(rounded.replace(/\.?0+e/, "e"))
        : double
            .toFixed(Math.min(100, Math.max(0, digits - 1 - power)))
            .replace(/(\.\d*?)0+$/, "$1")
            .replace(/\.$/, "");
  }
  const out = sign(negative, verb) + text;
  return verb.letter === "E" || verb.letter === "G" ? out.toUpperCase() : out;
}

/** Decimal digits of an exact number, rounded half to even. */
function fixed(value: number.Num, digits: number): string {
  const scale = 10n ** BigInt(digits);
  const numerator = value.mantissa * scale;
  let whole: bigint;
  if (value.exponent >= 0) whole = numerator << BigInt(value.exponent);
  else {
    const shift = BigInt(-value.exponent);
    whole = numerator >> shift;
    const rest = numerator - (whole << shift);
    const half = 1n << (shift - 1n);
    if (rest > half || (rest === half && (whole & 1n) === 1n)) whole += 1n;
  }
  const text = whole.toString().padStart(digits + 1, "0");
  return digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

function pad(text: string, verb: Verb): string {
  const missing = (verb.width ?? 0) - [...text].length;
  if (missing <= 0) return text;
  if (verb.flags.includes("-")) return text + " ".repeat(missing);
  return (verb.flags.includes("0") ? "0" : " ").repeat(missing) + text;
}

function padNumber(text: string, verb: Verb): string {
  if (!verb.flags.includes("0") || verb.flags.includes("-")) return pad(text, verb);
  const prefix = /^[+\- ]/.exec(text)?.[0] ?? "";
  return prefix + text.slice(prefix.length).padStart((verb.width ?? 0) - prefix.length, "0");
}

export const formatFunctions: Readonly<Record<string, BakeFunction>> = {
  format: {
    params: [param("format", STRING)],
    variadic: param("args", DYNAMIC, true),
    call: args => stringValue(formatText(textOf(args, 0), args.slice(1))),
  },
  formatlist: {
    params: [param("format", STRING)],
    variadic: param("args", DYNAMIC, true),
    call: args => {
      const template = textOf(args, 0);
      const rest = args.slice(1);
      const lists = rest.map(arg => (arg.kind === "null" ? undefined : unwrapItems(arg)));
      const lengths = new Set(lists.flatMap(list => (list === undefined ? [] : [list.length])));
      if (lengths.size > 1) throw fail("all lists must have the same number of items");
      const [count = 1] = lengths;
      if (count > MAX_ITEMS) throw fail("the lists are too long");
      const rows = Array.from({ length: count }, (_, i) => rest.map((arg, j) => lists[j]?.[i] ?? arg));
      return listValue(
        STRING,
        rows.map(row => stringValue(formatText(template, row))),
      );
    },
  },
};
