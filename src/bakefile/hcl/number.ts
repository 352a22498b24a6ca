// Numbers of the bake language: binary floats of a fixed precision on BigInt, as HCL defines its number type
// (512 bits for literals). Decimals print as the shortest text that reads back as the same number.

/** `sign * mantissa * 2^exponent`; the mantissa is odd or zero and fits in `precision` bits. */
export interface Num {
  readonly sign: 1 | -1;
  readonly mantissa: bigint;
  readonly exponent: number;
  readonly precision: number;
  readonly infinite: boolean;
}

/** Bits of the mantissa of literals and of most results. */
const LITERAL_BITS = 512;
/** Whole numbers made by functions such as length(). */
const INTEGER_BITS = 64;
/** Numbers read from the environment pass through a double. */
const DOUBLE_BITS = 53;
/** Decimal exponents beyond this are refused: nothing useful is that large, and the digits would fill memory. */
const MAX_EXPONENT = 5000;
const MAX_DIGITS = 5000;

function bitLength(value: bigint): number {
  if (value === 0n) return 0;
  const hex = value.toString(16);
  return (hex.length - 1) * 4 + (32 - Math.clz32(parseInt(hex[0] ?? "0", 16)));
}

/** Rounds half to even into `precision` bits. `sticky` says that the true value is a little above `mantissa`. */
function make(sign: 1 | -1, mantissa: bigint, exponent: number, precision: number, sticky = false): Num {
  let excess = bitLength(mantissa) - precision;
  if (excess > 0) {
    const dropped = mantissa & ((1n << BigInt(excess)) - 1n);
    const half = 1n << BigInt(excess - 1);
    mantissa >>= BigInt(excess);
    exponent += excess;
    if (dropped > half || (dropped === half && (sticky || (mantissa & 1n) === 1n))) mantissa += 1n;
  }
  if (mantissa === 0n) return { sign, mantissa, exponent: 0, precision, infinite: false };
  // Trailing zero bits go, so that equal numbers have one form.
  const low = mantissa & -mantissa;
  excess = bitLength(low) - 1;
  if (excess > 0) {
    mantissa >>= BigInt(excess);
    exponent += excess;
  }
  return { sign, mantissa, exponent, precision, infinite: false };
}

export function infinity(sign: 1 | -1): Num {
  return { sign, mantissa: 0n, exponent: 0, precision: LITERAL_BITS, infinite: true };
}

/** A whole number. */
export function numberFromInt(value: number | bigint): Num {
  const big = BigInt(value);
  return big < 0n ? make(-1, -big, 0, INTEGER_BITS) : make(1, big, 0, INTEGER_BITS);
}

/** A whole number of any size at full precision. */
export function numberFromBigInt(value: bigint): Num {
  const magnitude = value < 0n ? -value : value;
  return make(value < 0n ? -1 : 1, magnitude, 0, Math.max(LITERAL_BITS, bitLength(magnitude)));
}

/** A double, with its binary noise. */
export function numberFromDouble(value: number): Num {
  if (value === Infinity || value === -Infinity) return infinity(value > 0 ? 1 : -1);
  const sign = value < 0 || Object.is(value, -0) ? -1 : 1;
  let exponent = 0;
  let magnitude = Math.abs(value);
  while (!Number.isInteger(magnitude)) {
    magnitude *= 2;
    exponent--;
  }
  return make(sign, BigInt(magnitude), exponent, DOUBLE_BITS);
}

/** Reads a decimal: digits, a point, an exponent. Undefined when the text is none or is out of bounds. */
export function parseNumber(text: string): Num | undefined {
  const match = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/.exec(text);
  if (match === null) return undefined;
  const [, signText, whole = "", fraction = "", exponentText = "0"] = match;
  if (whole === "" && fraction === "") return undefined;
  const scale = Number(exponentText) - fraction.length;
  if (Math.abs(scale) > MAX_EXPONENT || whole.length + fraction.length > MAX_DIGITS) return undefined;
  const digits = BigInt(whole + fraction);
  const sign = signText === "-" ? -1 : 1;
  if (scale >= 0) return make(sign, digits * 10n ** BigInt(scale), 0, LITERAL_BITS);
  return quotient(sign, digits, 10n ** BigInt(-scale), 0, LITERAL_BITS);
}

function quotient(
  sign: 1 | -1,
  numerator: bigint,
  denominator: bigint,
  exponent: number,
  precision: number,
): Num {
  const shift = Math.max(0, precision + 2 - (bitLength(numerator) - bitLength(denominator)));
  const scaled = numerator << BigInt(shift);
  const result = scaled / denominator;
  return make(sign, result, exponent - shift, precision, result * denominator !== scaled);
}

export function isZero(a: Num): boolean {
  return !a.infinite && a.mantissa === 0n;
}

export function isInteger(a: Num): boolean {
  return !a.infinite && a.exponent >= 0;
}

export function negate(a: Num): Num {
  return { ...a, sign: a.sign === 1 ? -1 : 1 };
}

export function absolute(a: Num): Num {
  return { ...a, sign: 1 };
}

export function compareNumbers(a: Num, b: Num): number {
  if (a.infinite || b.infinite) return (a.infinite ? a.sign : 0) - (b.infinite ? b.sign : 0);
  const [x, y] = aligned(a, b);
  return x < y ? -1 : x > y ? 1 : 0;
}

/** Both numbers as whole counts of the smaller of their units. */
function aligned(a: Num, b: Num): [bigint, bigint, number] {
  const exponent = Math.min(a.exponent, b.exponent);
  const x = BigInt(a.sign) * (a.mantissa << BigInt(a.exponent - exponent));
  const y = BigInt(b.sign) * (b.mantissa << BigInt(b.exponent - exponent));
  return [x, y, exponent];
}

/** Undefined for an undefined result (infinity minus infinity). */
export function add(a: Num, b: Num): Num | undefined {
  if (a.infinite && b.infinite) return a.sign === b.sign ? a : undefined;
  if (a.infinite) return a;
  if (b.infinite) return b;
  const [x, y, exponent] = aligned(a, b);
  const sum = x + y;
  const precision = Math.max(a.precision, b.precision);
  if (sum === 0n) return make(a.sign === -1 && b.sign === -1 ? -1 : 1, 0n, 0, precision);
  return make(sum < 0n ? -1 : 1, sum < 0n ? -sum : sum, exponent, precision);
}

export function subtract(a: Num, b: Num): Num | undefined {
  return add(a, negate(b));
}

export function multiply(a: Num, b: Num): Num | undefined {
  const sign = a.sign === b.sign ? 1 : -1;
  if (a.infinite || b.infinite) return isZero(a) || isZero(b) ? undefined : infinity(sign);
  return make(sign, a.mantissa * b.mantissa, a.exponent + b.exponent, Math.max(a.precision, b.precision));
}

/** A number divided by zero is infinite; zero by zero has no result. */
export function divide(a: Num, b: Num): Num | undefined {
  const sign = a.sign === b.sign ? 1 : -1;
  if ((isZero(a) && isZero(b)) || (a.infinite && b.infinite)) return undefined;
  if (a.infinite || isZero(b)) return infinity(sign);
  const precision = Math.max(a.precision, b.precision);
  if (b.infinite) return make(sign, 0n, 0, precision);
  return quotient(sign, a.mantissa, b.mantissa, a.exponent - b.exponent, precision);
}

/** The remainder with the sign of `a`; `a` itself when `b` is zero. */
export function modulo(a: Num, b: Num): Num | undefined {
  if (a.infinite) return undefined;
  if (b.infinite || isZero(b)) return a;
  const [x, y, exponent] = aligned(a, b);
  const rest = x % y;
  return make(rest < 0n ? -1 : 1, rest < 0n ? -rest : rest, exponent, Math.max(a.precision, b.precision));
}

/** The whole part as a BigInt; the number must be finite. */
export function truncate(a: Num): bigint {
  const magnitude = a.exponent >= 0 ? a.mantissa << BigInt(a.exponent) : a.mantissa >> BigInt(-a.exponent);
  return a.sign === 1 ? magnitude : -magnitude;
}

export function floor(a: Num): Num {
  if (a.infinite || isInteger(a)) return a;
  const whole = truncate(a);
  return numberFromBigInt(a.sign === -1 ? whole - 1n : whole);
}

export function ceil(a: Num): Num {
  return negate(floor(negate(a)));
}

/** The nearest double. */
export function toDouble(a: Num): number {
  return a.infinite ? a.sign * Infinity : Number(formatNumber(a));
}

/** A whole number within the safe range of doubles, or undefined. */
export function toSafeInt(a: Num): number | undefined {
  if (!isInteger(a) || a.exponent > 64) return undefined;
  const value = Number(truncate(a));
  return Number.isSafeInteger(value) ? value : undefined;
}

/** The shortest decimal, never with an exponent, that reads back as the same number; `+Inf`, `-Inf`, `-0`. */
export function formatNumber(a: Num): string {
  if (a.infinite) return a.sign === 1 ? "+Inf" : "-Inf";
  const sign = a.sign === -1 ? "-" : "";
  if (a.mantissa === 0n) return `${sign}0`;
  if (a.exponent >= 0 && bitLength(a.mantissa) + a.exponent <= a.precision) {
    return sign + (a.mantissa << BigInt(a.exponent)).toString();
  }
  return sign + shortest(a);
}

/** Digits of `a` up to the first place where every number that would be rounded to `a` agrees. */
function shortest(a: Num): string {
  const spare = a.precision - bitLength(a.mantissa);
  const unit = a.mantissa << BigInt(spare + 1);
  const exponent = a.exponent - spare - 1;
  const inclusive = (unit & 2n) === 0n;
  const scale = exponent < 0 ? 5n ** BigInt(-exponent) : 1n << BigInt(exponent);
  const point = exponent < 0 ? -exponent : 0;
  const texts = [unit - 1n, unit, unit + 1n].map(bound => (bound * scale).toString());
  const width = Math.max(...texts.map(text => text.length), point + 1);
  const [lower = "", middle = "", upper = ""] = texts.map(text => text.padStart(width, "0"));
  const lowerEnd = lower.replace(/0+$/, "").length;
  const upperEnd = upper.replace(/0+$/, "").length;
  let whole = middle;
  const firstDigit = [...middle].findIndex((_, i) => middle[i] !== "0" || upper[i] !== "0");
  for (let i = firstDigit; i < width; i++) {
    const l = lower.charCodeAt(i);
    const m = middle.charCodeAt(i);
    const u = upper.charCodeAt(i);
    const down = l !== m || (inclusive && i + 1 >= lowerEnd);
    const up = m !== u && (inclusive || m + 1 < u || i + 1 < upperEnd);
    if (!down && !up) continue;
    const head = BigInt(middle.slice(0, i + 1));
    const rest = middle.slice(i + 1);
    const roundUp = down && up ? isAboveHalf(rest, head) : up;
    whole = (roundUp ? head + 1n : head).toString().padStart(i + 1, "0") + "0".repeat(width - i - 1);
    break;
  }
  const cut = whole.length - point;
  const fraction = whole.slice(cut).replace(/0+$/, "");
  const integer = whole.slice(0, cut).replace(/^0+(?=\d)/, "");
  return fraction === "" ? integer : `${integer}.${fraction}`;
}

function isAboveHalf(rest: string, head: bigint): boolean {
  if (rest === "") return false;
  const exactHalf = /^50*$/.test(rest);
  return exactHalf ? (head & 1n) === 1n : rest >= "5";
}
