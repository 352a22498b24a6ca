// What a plain YAML scalar stands for. Compose reads YAML 1.2 with the integers of 1.1 (0755 is octal, 1_000 has a
// separator) and its dates, but without its yes/no bools and base-60 numbers, as the go-yaml package does.
import type { Scalar } from "./node.ts";

const CONSTANTS: ReadonlyMap<string, Scalar> = new Map<string, Scalar>([
  ...["true", "True", "TRUE"].map(text => [text, { kind: "bool", value: true }] as const),
  ...["false", "False", "FALSE"].map(text => [text, { kind: "bool", value: false }] as const),
  ...["", "~", "null", "Null", "NULL"].map(text => [text, { kind: "null" }] as const),
  ...[".nan", ".NaN", ".NAN"].map(text => [text, { kind: "float", value: NaN }] as const),
  ...[".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"].map(
    text => [text, { kind: "float", value: Infinity }] as const,
  ),
  ...["-.inf", "-.Inf", "-.INF"].map(text => [text, { kind: "float", value: -Infinity }] as const),
  ...["-0", "-0.0"].map(text => [text, { kind: "float", value: -0 }] as const),
]);

const FLOAT = /^[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?$/;
const INT64_MAX = 2n ** 63n - 1n;
const UINT64_MAX = 2n ** 64n - 1n;

/** The value of an unquoted scalar without a tag. */
export function plainScalar(text: string): Scalar {
  const constant = CONSTANTS.get(text);
  if (constant !== undefined) return constant;
  if (/^[-+.\d]/.test(text)) {
    if (text.startsWith(".")) {
      if (FLOAT.test(text)) return { kind: "float", value: Number(text) };
      return { kind: "string", text };
    }
    const time = timeText(text);
    if (time !== undefined) return { kind: "time", text: time };
    const plain = text.replaceAll("_", "");
    const int = parseInteger(plain);
    if (int !== undefined) return { kind: "int", value: int };
    if (FLOAT.test(plain)) {
      const value = Number(plain);
      if (Number.isFinite(value)) return { kind: "float", value };
    }
  }
  return { kind: "string", text };
}

/** The value of a scalar with one of YAML's own tags; undefined when the text does not fit the tag. */
export function taggedScalar(tag: string, text: string): Scalar | undefined {
  const plain = plainScalar(text);
  switch (tag) {
    case "bool":
    case "null":
    case "int":
      return plain.kind === tag ? plain : undefined;
    case "timestamp":
      return plain.kind === "time" ? plain : undefined;
    case "float":
      if (plain.kind === "int") return { kind: "float", value: Number(plain.value) };
      return plain.kind === "float" ? plain : undefined;
    default:
      return { kind: "string", text };
  }
}

/** Decimal, 0x, 0o, 0b and (with a leading zero) octal numbers that fit into 64 bits. */
function parseInteger(text: string): bigint | undefined {
  const found = /^([-+]?)(?:(0[xX][\da-fA-F]+|0[bB][01]+)|0[oO]?([0-7]+)|(0|[1-9]\d*))$/.exec(text);
  if (found === null) return undefined;
  const [, sign = "", prefixed, octal, decimal] = found;
  const size = BigInt(prefixed?.toLowerCase() ?? (octal === undefined ? (decimal ?? "0") : `0o${octal}`));
  if (sign === "-") return size <= INT64_MAX + 1n ? -size : undefined;
  return size <= (sign === "+" ? INT64_MAX : UINT64_MAX) ? size : undefined;
}

const TIME =
  /^(\d{4})-(\d{1,2})-(\d{1,2})(?:(?:[Tt](\d{1,2}):(\d{1,2}):(\d{1,2})([.,]\d+)?(Z|[-+]\d{2}:\d{2}))|(?: (\d{1,2}):(\d{1,2}):(\d{1,2})([.,]\d+)?))?$/;

/** A date in the words of Go's time.Time: `2020-01-01 00:00:00 +0000 UTC`. */
function timeText(text: string): string | undefined {
  const found = TIME.exec(text);
  if (found === null) return undefined;
  const [, year = "", month = "", day = ""] = found;
  const hour = found[4] ?? found[9] ?? "0";
  const minute = found[5] ?? found[10] ?? "0";
  const second = found[6] ?? found[11] ?? "0";
  const fraction = (found[7] ?? found[12] ?? "")
    .replace(",", ".")
    .slice(0, 10)
    .replace(/\.?0+$/, "");
  const zone = found[8] ?? "Z";
  const inRange =
    Number(month) >= 1 &&
    Number(month) <= 12 &&
    Number(day) >= 1 &&
    Number(day) <= daysOf(Number(year), Number(month)) &&
    Number(hour) < 24 &&
    Number(minute) < 60 &&
    Number(second) < 60;
  if (!inRange) return undefined;
  const two = (part: string): string => part.padStart(2, "0");
  const offset = zone === "Z" ? "+0000" : zone.replace(":", "");
  const name = zone === "Z" || offset === "+0000" ? "UTC" : offset;
  return `${year}-${two(month)}-${two(day)} ${two(hour)}:${two(minute)}:${two(second)}${fraction} ${offset} ${name}`;
}

function daysOf(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return [4, 6, 9, 11].includes(month) ? 30 : 31;
}
