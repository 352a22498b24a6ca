// Sizes as Docker's tools write them: 64mb in a Compose file becomes "64MiB".

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];

/** Bytes of a size such as `64mb`, `1.5 GiB` or `1500`; units are powers of 1024. Undefined when malformed. */
export function parseSize(text: string): number | undefined {
  if (/^[-+]?\d+$/.test(text)) return Number(text);
  const found = /^(\d+(?:\.\d*)?|\.\d+) ?(?:([kmgtp])(?:b|ib)?|b)?$/i.exec(text);
  if (found === null) return undefined;
  const power = found[2] === undefined ? 0 : "kmgtp".indexOf(found[2].toLowerCase()) + 1;
  return Math.trunc(Number(found[1]) * 1024 ** power);
}

/** A size of at most four digits with its unit. */
export function formatSize(bytes: number): string {
  let size = bytes;
  let unit = 0;
  while (size >= 1024 && unit < UNITS.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${Number(size.toPrecision(4))}${UNITS[unit] ?? ""}`;
}
