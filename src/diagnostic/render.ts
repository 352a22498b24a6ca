// A diagnostic as text for people: message, place, the source line with the piece underlined, and what to do.
import type { Diagnostic } from "./diagnostic.ts";
import { countGraphemes, lineText, positionAt, type Range } from "./source.ts";

export interface RenderOptions {
  /** Whether to use terminal colours; default false. */
  readonly color?: boolean;
}

const MAX_LINES = 3;

/** Renders one diagnostic, ending in a newline. */
export function renderDiagnostic(diagnostic: Diagnostic, { color = false }: RenderOptions = {}): string {
  const paint = (code: number, text: string): string => (color ? `\x1b[${code}m${text}\x1b[0m` : text);
  const head = paint(diagnostic.severity === "error" ? 31 : 33, `${diagnostic.severity}:`);
  let out = `${head} ${diagnostic.message}\n`;
  if (diagnostic.range) out += excerpt(diagnostic.range, diagnostic.hint, paint);
  else if (diagnostic.hint) out += `  ${diagnostic.hint}\n`;
  for (const { message, range } of diagnostic.related ?? []) out += `  ${message}\n${excerpt(range, undefined, paint)}`;
  return out;
}

export function renderDiagnostics(diagnostics: readonly Diagnostic[], options?: RenderOptions): string {
  return diagnostics.map(diagnostic => renderDiagnostic(diagnostic, options)).join("");
}

function excerpt(range: Range, hint: string | undefined, paint: (code: number, text: string) => string): string {
  const { source } = range;
  const start = positionAt(source, range.start);
  const end = positionAt(source, Math.max(range.start, range.end));
  const lastShown = Math.min(end.line, start.line + MAX_LINES - 1);
  const width = String(lastShown).length;
  let out = `  ${source.name}:${start.line}:${start.column}\n`;
  for (let line = start.line; line <= lastShown; line++) {
    const text = lineText(source, line).replaceAll("\t", " ");
    const from = line === start.line ? start.column : 1 + (text.length - text.trimStart().length);
    const to = line === end.line ? end.column : countGraphemes(text.trimEnd()) + 1;
    const last = line === lastShown;
    out += `  ${paint(90, `${String(line).padStart(width + 1)} |`)} ${visible(text)}\n`;
    const marks = "^".repeat(Math.max(1, to - from));
    out += `  ${paint(90, `${" ".repeat(width + 1)} |`)} ${" ".repeat(from - 1)}${paint(31, marks)}${last && hint ? `  ${hint}` : ""}\n`;
  }
  return out;
}

/** Control characters of a source must not reach the terminal. */
function visible(text: string): string {
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]/g, "\u{fffd}");
}
