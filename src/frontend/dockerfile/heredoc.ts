// Heredoc words (`<<EOF`, `<<-"EOF"`, `3<<EOF`) of RUN, COPY and ADD.
import { emptyEnvironment, expandWord } from "./words.ts";

export interface HeredocWord {
  readonly name: string;
  /** Whether variables in the body are replaced: not when the name is quoted. */
  readonly expand: boolean;
  /** `<<-`: leading tabs of the body are removed. */
  readonly chomp: boolean;
}

/** Reads one word; undefined when it is no heredoc. @throws BakeError when its quotes do not close */
export function parseHeredocWord(word: string): HeredocWord | undefined {
  const match = /^(?:\d*)<<(-?)[\t\n\f\r ]*([^<]*)$/.exec(word);
  const rest = match?.[2];
  if (match === null || rest === undefined || rest === "") return undefined;
  // Names are always read with backslash, whatever the escape character of the file.
  const { words } = expandWord(rest, emptyEnvironment, { keepUnset: true });
  const raw = expandWord(rest, emptyEnvironment, { keepUnset: true, rawQuotes: true }).words;
  const name = words[0];
  if (name === undefined || words.length !== 1) return undefined;
  return { name, expand: countQuotes(name) === countQuotes(raw[0] ?? ""), chomp: match[1] === "-" };
}

/** Removes the leading tabs of every line, as `<<-` asks. */
export function chompTabs(body: string): string {
  return body.replace(/(^|\n)\t+/g, "$1");
}

function countQuotes(text: string): number {
  return text.replace(/[^'"]/g, "").length;
}
