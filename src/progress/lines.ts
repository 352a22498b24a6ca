// Output of a step as lines. Bytes arrive cut anywhere, in two streams: a line is told whole or not at all, and a
// character whose bytes were cut is not damaged.

/** A line longer than this many characters is passed on in pieces, so that output without line ends stays bounded. */
const MAX_LINE = 64 * 1024;

/** Splits what one stream of a step writes into lines without their ends. */
export interface LineSplitter {
  feed(data: Uint8Array): readonly string[];
  /** The unfinished last line, when there is one. */
  flush(): readonly string[];
}

export function createLineSplitter(): LineSplitter {
  const decoder = new TextDecoder("utf-8");
  let rest = "";
  const take = (text: string): readonly string[] => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    while (rest.length > MAX_LINE) {
      lines.push(rest.slice(0, MAX_LINE));
      rest = rest.slice(MAX_LINE);
    }
    return lines.map(line => (line.endsWith("\r") ? line.slice(0, -1) : line));
  };
  return {
    feed: data => take(decoder.decode(data, { stream: true })),
    flush() {
      const lines = take(decoder.decode());
      if (rest === "") return lines;
      const last = rest;
      rest = "";
      return [...lines, last];
    },
  };
}

/** Escape sequences: CSI, then OSC and other strings up to their end, then two-character ones. */
const ESCAPES = /\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\|$)|\x1b[ -/]*[0-~]?/g;
const COLOR = /^\x1b\[[0-9;:]*m$/;
const CONTROLS = /[\x00-\x08\x0a-\x1a\x1c-\x1f\x7f\x80-\x9f]/g;

/**
 * A line of a step's output made safe for a terminal: what overwrote itself with carriage returns shows its last
 * state, cursor movements and other controls go, colours stay when `color` is set (and are closed again).
 */
export function safeLine(line: string, { color }: { readonly color: boolean }): string {
  const shown = line.includes("\r") ? (line.split("\r").findLast(part => part !== "") ?? "") : line;
  if (!/[\x00-\x1f\x7f\x80-\x9f]/.test(shown)) return shown;
  const kept = shown
    .replace(ESCAPES, escape => (color && COLOR.test(escape) ? escape : ""))
    .replaceAll("\t", "    ")
    .replace(CONTROLS, "");
  return kept.includes("\x1b") ? `${kept}\x1b[0m` : kept;
}
