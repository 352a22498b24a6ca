// Grapheme clusters: what people take for one character.

let segmenter: Intl.Segmenter | undefined;

/** Longer texts are cut up first: each segment that Intl gives holds a copy of the whole text. */
const WINDOW = 512;

/** The grapheme clusters of a text, in order. */
export function splitGraphemes(text: string): readonly string[] {
  // ASCII without line ends, by far the common case, needs no segmenter.
  if (/^[\x20-\x7e\t]*$/.test(text)) return text.split("");
  segmenter ??= new Intl.Segmenter("en", { granularity: "grapheme" });
  const out: string[] = [];
  let window = WINDOW;
  for (let at = 0; at < text.length;) {
    const piece = text.slice(at, at + window);
    const found = Array.from(segmenter.segment(piece), ({ segment }) => segment);
    const last = at + window >= text.length;
    // The last cluster of a window may go on behind it.
    const whole = last ? found : found.slice(0, -1);
    if (whole.length === 0) window *= 2;
    for (const segment of whole) {
      out.push(segment);
      at += segment.length;
    }
    if (whole.length > 0) window = WINDOW;
  }
  return out;
}
