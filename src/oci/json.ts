// JSON as Go's encoding/json prints it: documents whose bytes enter a digest must match those of Go programs.

const HTML_ESCAPES = /[<>&\u2028\u2029]/g;
const LONE_SURROGATES = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
/** Keys that JavaScript objects keep in numeric order, before all others, whatever the order of insertion. */
const INTEGER_KEY = /^(?:0|[1-9]\d{0,9})$/;

/**
 * Serialises plain data like Go's json.Marshal (HTML escaping on), or json.MarshalIndent with `indent`. Object keys
 * keep their order: sort maps yourself with `sortedRecord`. Undefined members are left out.
 */
export function goJson(value: unknown, indent = ""): string {
  return write(value, indent, indent === "" ? "" : "\n");
}

/** `lineEnd` is the newline and indentation of the level the value stands on; empty for the compact form. */
function write(value: unknown, indent: string, lineEnd: string): string {
  if (typeof value === "string") return quote(value);
  if (value === undefined) return "null";
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const inner = lineEnd === "" ? "" : lineEnd + indent;
  const colon = lineEnd === "" ? ":" : ": ";
  const isList = Array.isArray(value);
  const items = isList
    ? value.map(item => write(item, indent, inner))
    : entriesOf(value).map(([key, member]) => quote(key) + colon + write(member, indent, inner));
  const [open, close] = isList ? "[]" : "{}";
  return items.length === 0
    ? `${open}${close}`
    : `${open}${inner}${items.join(`,${inner}`)}${lineEnd}${close}`;
}

/** An object with integer-like keys is a map that lost its order to JavaScript: Go would print it sorted. */
function entriesOf(value: object): readonly [string, unknown][] {
  const entries = Object.entries(value).filter(([, member]) => member !== undefined);
  const isDisordered = entries.some(([key]) => INTEGER_KEY.test(key));
  return isDisordered ? entries.sort(([a], [b]) => compareUtf8(a, b)) : entries;
}

function quote(text: string): string {
  return JSON.stringify(text.replace(LONE_SURROGATES, "\ufffd")).replace(
    HTML_ESCAPES,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/**
 * A copy of a string-keyed map in byte order of its keys, the order in which Go prints maps. Integer-like
 * keys come first all the same, JavaScript being what it is; `goJson` mends that.
 */
export function sortedRecord<T>(record: Readonly<Record<string, T>>): Record<string, T> {
  const keys = Object.keys(record).sort(compareUtf8);
  return Object.fromEntries(keys.map(key => [key, record[key] as T]));
}

/** Compares strings by their UTF-8 bytes, as Go does (UTF-16 order differs above U+D7FF). */
export function compareUtf8(a: string, b: string): number {
  const limit = Math.min(a.length, b.length);
  for (let i = 0; i < limit; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    const surrogateX = x >= 0xd800 && x <= 0xdfff;
    const surrogateY = y >= 0xd800 && y <= 0xdfff;
    if (surrogateX !== surrogateY) return surrogateX ? 1 : -1;
    return x - y;
  }
  return a.length - b.length;
}
