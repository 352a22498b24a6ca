// JSON as Go's encoding/json prints it: documents whose bytes enter a digest must match those of Go programs.

const HTML_ESCAPES = /[<>&\u2028\u2029]/g;

/** Serialises a value like Go's json.Marshal (HTML escaping on). Object keys keep their order: sort maps yourself. */
export function goJson(value: unknown, indent?: string): string {
  return JSON.stringify(value, undefined, indent).replace(
    HTML_ESCAPES,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** A copy of a string-keyed map in byte order of its keys, the order in which Go prints maps. */
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
