// Secrets in the output of a step: their values are replaced before anything is shown or written to a log.

/** Shorter values would be found in everything. */
const MIN_LENGTH = 4;

/** Lines of a secret shorter than this are only found together with the others: a key's "}" is no secret. */
const MIN_LINE_LENGTH = 8;

const MASK = "***";

/** What one stream of a step writes, cut anywhere, without secrets. */
export interface Redactor {
  /** What may be passed on of all that was fed; what may be the beginning of a secret waits for more. */
  feed(data: Uint8Array): Uint8Array;
  /** What waited, at the end of the stream. */
  flush(): Uint8Array;
}

/**
 * A redactor of these secrets: each as a whole, and each of its longer lines. Undefined when there is nothing to hide.
 * Bytes are compared as they are; a secret that the step encodes is not known by its looks.
 */
export function createRedactor(secrets: readonly Uint8Array[]): Redactor | undefined {
  const needles = [...new Set(secrets.flatMap(needlesOf))].sort((a, b) => b.length - a.length);
  const longest = needles[0]?.length ?? 0;
  if (longest === 0) return undefined;
  let rest = "";
  return {
    feed(data) {
      // One character is one byte here.
      let text = rest + Buffer.from(data).toString("latin1");
      for (const needle of needles) text = text.replaceAll(needle, MASK);
      const cut = beginningOf(needles, text, longest);
      rest = text.slice(cut);
      return Buffer.from(text.slice(0, cut), "latin1");
    },
    flush() {
      const last = Buffer.from(rest, "latin1");
      rest = "";
      return last;
    },
  };
}

function needlesOf(secret: Uint8Array): readonly string[] {
  const whole = Buffer.from(secret).toString("latin1").trim();
  const lines = whole.split(/\r?\n/).map(line => line.trim());
  return [whole, ...lines.filter(line => line.length >= MIN_LINE_LENGTH)].filter(
    needle => needle.length >= MIN_LENGTH,
  );
}

/** Where the first suffix begins that may become a secret. */
function beginningOf(needles: readonly string[], text: string, longest: number): number {
  for (let at = Math.max(0, text.length - longest + 1); at < text.length; at++) {
    const suffix = text.slice(at);
    if (needles.some(needle => needle.startsWith(suffix))) return at;
  }
  return text.length;
}
