// Sizes in bytes as people write them: `64m`, `1.5GiB`. Units are powers of 1024 (docker/go-units, RAMInBytes).

const POWERS = ["", "k", "m", "g", "t", "p"];

/** Bytes, or undefined when the text is not a size. */
export function parseMemorySize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?|\.\d+) ?([a-z]*)$/i.exec(text);
  const unit = /^([kmgtp]?)(?:i?b)?$/.exec(match?.[2]?.toLowerCase() ?? "-");
  if (match === null || unit === null) return undefined;
  return Math.trunc(Number(match[1]) * 1024 ** POWERS.indexOf(unit[1] ?? ""));
}
