// Source text and ranges within it: what every language front part points at when it reports a problem.

import { splitGraphemes } from "./graphemes.ts";

/** A text a user wrote: `name` is the path as the user would type it. */
export interface Source {
  readonly name: string;
  readonly text: string;
}

/** A half-open piece `[start, end)` of a source, in UTF-16 code units. */
export interface Range {
  readonly source: Source;
  readonly start: number;
  readonly end: number;
}

/** A place in a source. `line` and `column` count from 1; `column` counts grapheme clusters, as editors do. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

const lineStarts = new WeakMap<Source, readonly number[]>();

function startsOf(source: Source): readonly number[] {
  let starts = lineStarts.get(source);
  if (starts === undefined) {
    const found = [0];
    for (let at = source.text.indexOf("\n"); at >= 0; at = source.text.indexOf("\n", at + 1))
      found.push(at + 1);
    starts = found;
    lineStarts.set(source, starts);
  }
  return starts;
}

/** Index (from 0) of the line that holds `offset`. */
function lineIndexAt(source: Source, offset: number): number {
  const starts = startsOf(source);
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((starts[middle] ?? 0) <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** How many grapheme clusters `text` has. */
export function countGraphemes(text: string): number {
  return splitGraphemes(text).length;
}

/** The line and column of an offset; offsets past the end give the end. */
export function positionAt(source: Source, offset: number): Position {
  const clamped = Math.max(0, Math.min(offset, source.text.length));
  const index = lineIndexAt(source, clamped);
  const start = startsOf(source)[index] ?? 0;
  return { line: index + 1, column: countGraphemes(source.text.slice(start, clamped)) + 1 };
}

/** The text of a line (counted from 1) without its line end; empty when there is no such line. */
export function lineText(source: Source, line: number): string {
  const starts = startsOf(source);
  const start = starts[line - 1];
  if (start === undefined) return "";
  return source.text.slice(start, starts[line] ?? source.text.length).replace(/\r?\n$/, "");
}

/** The range of whole lines `first` to `last` (counted from 1, both included), without the last line end. */
export function rangeOfLines(source: Source, first: number, last: number): Range {
  const start = startsOf(source)[first - 1] ?? source.text.length;
  const lastStart = startsOf(source)[last - 1] ?? source.text.length;
  return { source, start, end: lastStart + lineText(source, last).length };
}
