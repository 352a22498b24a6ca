// A diagnostic as text for people: message, place, the source line with the piece underlined, and what to do.
import type { Diagnostic } from "./diagnostic.ts";
import { lineText, positionAt, type Range } from "./source.ts";

export interface RenderOptions {
  /** Whether to use terminal colours; default false. */
  readonly color?: boolean;
}

/** A piece of several lines is shown by its first lines. */
const MAX_LINES = 3;
/** Columns of a longer line that are shown: generated JSON may have it all on one line. */
const MAX_COLUMNS = 160;
/** More targets than this are counted. */
const MAX_TARGETS = 3;
/** Columns shown before the piece when the start of its line is cut off. */
const LEAD_COLUMNS = 40;

type Paint = (code: number, text: string) => string;

/** Renders one diagnostic, ending in a newline. */
export function renderDiagnostic(diagnostic: Diagnostic, { color = false }: RenderOptions = {}): string {
  const paint: Paint = (code, text) => (color ? `\x1b[${code}m${text}\x1b[0m` : text);
  const head = paint(diagnostic.severity === "error" ? 31 : 33, `${diagnostic.severity}:`);
  let out = `${head} ${printable(diagnostic.message)}\n`;
  const target = targetText(diagnostic.targets ?? []);
  if (diagnostic.range) out += excerpt(diagnostic.range, diagnostic.hint, paint, target);
  else {
    if (target !== "") out += `  ${target}\n`;
    if (diagnostic.hint) out += `  ${printable(diagnostic.hint)}\n`;
  }
  for (const { message, range } of diagnostic.related ?? []) {
    out += `  ${printable(message)}\n${excerpt(range, undefined, paint)}`;
  }
  return out;
}

export function renderDiagnostics(diagnostics: readonly Diagnostic[], options?: RenderOptions): string {
  return diagnostics.map(diagnostic => renderDiagnostic(diagnostic, options)).join("");
}

/** `target "app"`, or several with the rest of them counted. */
function targetText(targets: readonly string[]): string {
  if (targets.length === 0) return "";
  const named = targets.slice(0, MAX_TARGETS).map(name => JSON.stringify(printable(name)));
  const more = targets.length - named.length;
  return `${targets.length === 1 ? "target" : "targets"} ${named.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

function excerpt(range: Range, hint: string | undefined, paint: Paint, target = ""): string {
  const { source } = range;
  const start = positionAt(source, range.start);
  const end = positionAt(source, lastShownOffset(range));
  const lastShown = Math.min(end.line, start.line + MAX_LINES - 1);
  const width = String(lastShown).length;
  const gutter = (text: string): string => `  ${paint(90, `${text.padStart(width + 1)} |`)} `;
  const place = `  ${printable(source.name)}:${start.line}:${start.column}`;
  let out = `${place}${target === "" ? "" : `  ${target}`}\n`;
  for (let line = start.line; line <= lastShown; line++) {
    const clusters = graphemesOf(lineText(source, line));
    const from =
      line === start.line ? start.column - 1 : clusters.findIndex(cluster => cluster.trim() !== "");
    const to = line === end.line ? end.column - 1 : clusters.length;
    const first =
      clusters.length > MAX_COLUMNS
        ? Math.max(0, Math.min(from - LEAD_COLUMNS, clusters.length - MAX_COLUMNS))
        : 0;
    const last = Math.min(clusters.length, first + MAX_COLUMNS);
    const [before, after] = [first > 0 ? "…" : "", last < clusters.length ? "…" : ""];
    const pad = before.length + widthOf(clusters.slice(first, Math.max(first, from)));
    const marks = Math.max(1, widthOf(clusters.slice(Math.max(first, from), Math.min(to, last))));
    out += `${gutter(String(line))}${before}${clusters.slice(first, last).map(shown).join("")}${after}\n`;
    out += `${gutter("")}${" ".repeat(pad)}${paint(31, "^".repeat(marks))}`;
    out += line === lastShown && hint ? `  ${printable(hint)}\n` : "\n";
  }
  return out;
}

/** The end of a piece without the line end it may close with, which would put the mark on the next line. */
function lastShownOffset({ source, start, end }: Range): number {
  let offset = Math.min(Math.max(start, end), source.text.length);
  while (offset > start && /[\r\n]/.test(source.text[offset - 1] ?? "")) offset--;
  return offset;
}

let segmenter: Intl.Segmenter | undefined;

/** What an editor counts as one column each. */
function graphemesOf(text: string): readonly string[] {
  if (/^[\x20-\x7e\t]*$/.test(text)) return text.split("");
  segmenter ??= new Intl.Segmenter("en", { granularity: "grapheme" });
  return Array.from(segmenter.segment(text), ({ segment }) => segment);
}

/** Clusters that terminals draw two cells wide (East Asian Wide and Fullwidth, emoji). */
const WIDE =
  /^(?:[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{1f300}-\u{1faff}]|[\u{20000}-\u{3fffd}])/u;

function widthOf(clusters: readonly string[]): number {
  return clusters.reduce((width, cluster) => width + (WIDE.test(cluster) ? 2 : 1), 0);
}

/** A cluster of a source line as it is drawn: a tab takes one cell, so that the marks stay below their text. */
function shown(cluster: string): string {
  return cluster === "\t" ? " " : printable(cluster);
}

/** Text without what would move the cursor, colour the terminal or turn the writing round. */
function printable(text: string): string {
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g, "\u{fffd}");
}
