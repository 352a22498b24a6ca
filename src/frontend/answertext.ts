// Answers of frontends as text for people: the tables and excerpts that buildx prints (commands/build.go, printResult).
import type { AnswerSource, CallAnswer, LintAnswer, OutlineAnswer, Place, TargetsAnswer } from "./answer.ts";

export interface AnswerTextOptions {
  /** The first source's name as the user knows it; default is the one the frontend was given. */
  readonly filename?: string | undefined;
}

export interface AnswerText {
  readonly text: string;
  /** Why a check could not go on, printed after the text. */
  readonly failure?: string;
}

export function answerText(answer: CallAnswer, options: AnswerTextOptions = {}): AnswerText {
  switch (answer.method) {
    case "lint":
      return lintText(answer, options);
    case "outline":
      return { text: outlineText(answer) };
    case "targets":
      return { text: targetsText(answer) };
    case "subrequests.describe": {
      const rows = answer.requests.map(({ name, version, description }) => [name, version, description]);
      return { text: table([["NAME", "VERSION", "DESCRIPTION"], ...rows], 1) };
    }
    default: {
      const never: never = answer;
      return never;
    }
  }
}

function lintText({ warnings, sources, failure }: LintAnswer, { filename }: AnswerTextOptions): AnswerText {
  const named = sources.map((source, index) =>
    index === 0 && filename !== undefined ? { ...source, filename } : source,
  );
  const count = warnings.length;
  let out =
    count === 0
      ? failure === undefined
        ? "Check complete, no warnings found.\n"
        : ""
      : `Check complete, ${count === 1 ? "1 warning has" : `${count} warnings have`} been found!\n`;
  const order = (place: Place): string => named[place.source]?.filename ?? "";
  const line = (place: Place): number => place.ranges[0]?.[0] ?? 0;
  const sorted = warnings.toSorted(
    (a, b) =>
      compare(order(a.place), order(b.place)) || line(a.place) - line(b.place) || compare(a.rule, b.rule),
  );
  for (const { rule, url, detail, hint, place } of sorted) {
    out += `\nWARNING: ${rule}${url === "" ? "" : ` - ${url}`}\n${detail}\n`;
    if (hint !== undefined) out += `${hint}\n`;
    out += excerpt(place, named);
  }
  if (failure === undefined) return { text: out };
  if (count > 0) out += "\n";
  const hint = failure.hint === undefined ? "" : `${failure.hint}\n`;
  return { text: out, failure: `${failure.message}\n${hint}${excerpt(failure.place, named)}` };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** How many lines are shown beside the ones meant: about so many in all. */
const CONTEXT_LINES = { single: 4, several: 2 };

/** The lines meant, marked, with some around them. */
function excerpt({ source, ranges }: Place, sources: readonly AnswerSource[]): string {
  const info = sources[source];
  if (info === undefined || ranges.length === 0) return "";
  const lines = new TextDecoder().decode(info.data).split("\n");
  const first = Math.min(...ranges.map(([start]) => start));
  if (first < 1 || first > lines.length) return "";
  let start = first;
  let end = Math.min(lines.length, Math.max(...ranges.map(range => Math.max(...range))));
  const wanted = start === end ? CONTEXT_LINES.single : CONTEXT_LINES.several;
  // As upstream counts: a step above, a step below, and one for having tried.
  for (let padded = 0; padded < wanted; padded++) {
    if (start > 1) {
      start--;
      padded++;
    }
    if (end !== lines.length) {
      end++;
      padded++;
    }
  }
  let out = `${info.filename}:${first}\n${RULE}`;
  for (let number = start; number <= end; number++) {
    const isMeant = ranges.some(([from, to]) => from <= number && number <= Math.max(from, to));
    out += ` ${String(number).padStart(3)} | ${isMeant ? ">>>" : "   "} ${lines[number - 1] ?? ""}\n`;
  }
  return out + RULE;
}

const RULE = `${"-".repeat(20)}\n`;

function outlineText({ name, description, args, secrets, ssh }: OutlineAnswer): string {
  let out = "";
  if (name !== "" || description !== "") {
    const rows = [["TARGET:", name === "" ? "(default)" : name]];
    if (description !== "") rows.push(["DESCRIPTION:", description]);
    out += `${table(rows, 1)}\n`;
  }
  if (args.length > 0) {
    const rows = args.map(arg => [arg.name, arg.value, arg.description]);
    out += `${table([["BUILD ARG", "VALUE", "DESCRIPTION"], ...rows], 3)}\n`;
  }
  for (const [title, needs] of [
    ["SECRET", secrets],
    ["SSH", ssh],
  ] as const) {
    if (needs.length === 0) continue;
    const rows = needs.map(need => [need.name, need.required ? "true" : ""]);
    out += `${table([[title, "REQUIRED"], ...rows], 3)}\n`;
  }
  return out;
}

function targetsText({ targets }: TargetsAnswer): string {
  const rows = targets.map(({ name, isDefault, description }) => [
    isDefault ? `${name} (default)`.trim() : name,
    description,
  ]);
  return table([["TARGET", "DESCRIPTION"], ...rows], 1);
}

/** Columns as wide as their widest cell and `gap` more, the last one as it is. */
function table(rows: readonly (readonly string[])[], gap: number): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map(row => [...(row[column] ?? "")].length)),
  );
  return rows
    .map(
      row =>
        `${row
          .map((cell, column) =>
            column === row.length - 1
              ? cell
              : cell + " ".repeat((widths[column] ?? 0) - [...cell].length + gap),
          )
          .join("")}\n`,
    )
    .join("");
}
