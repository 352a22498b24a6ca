// The text of an Ickfile as the instructions of a Dockerfile: the Dockerfile's reader finds lines, flags and heredocs,
// then each instruction's word is translated.
import type { Diagnosed, Diagnostic } from "../../diagnostic/diagnostic.ts";
import type { Source } from "../../diagnostic/source.ts";
import { didYouMean } from "../../diagnostic/suggest.ts";
import { instructions } from "../dockerfile/instruction/table.ts";
import { type InstructionLine, parseDockerfile, type ParsedFile } from "../dockerfile/parse.ts";

/** INTERCAL's words by those of Dockerfiles, the latter in lower case. */
export const ickWords: ReadonlyMap<string, string> = new Map([
  ["from", "COME FROM"],
  ["run", "PLEASE"],
  ["copy", "STASH"],
]);

/** The Dockerfile's word by that of an Ickfile; both in lower case. ONBUILD would put Ickfile words into images. */
const dockerWords: ReadonlyMap<string, string> = new Map(
  ["from", ...instructions.keys()]
    .filter(word => word !== "onbuild")
    .map(word => [(ickWords.get(word) ?? word).toLowerCase(), word]),
);

const options = {
  heredocs: new Set(
    [...dockerWords].flatMap(([ick, word]) => (instructions.get(word)?.heredocs ? [ick] : [])),
  ),
  wrappers: new Set<string>(),
  // COME FROM is one word.
  word: /^(?:come[\t ]+from(?=\s|$)|\S+)/i,
};

/** Never throws; problems come back as diagnostics with ranges. */
export function parseIckfile(source: Source): Diagnosed<ParsedFile> {
  const { value, diagnostics } = parseDockerfile(source, options);
  if (value === undefined) return { value, diagnostics };
  const unknown: Diagnostic[] = [];
  const lines = value.lines.map((line): InstructionLine => {
    const word = dockerWords.get(line.word.toLowerCase().replace(/[\t _]+/, " "));
    if (word === undefined) unknown.push(unknownWord(line));
    return { ...line, word: word === undefined ? line.word : casedLike(line.word, word) };
  });
  return { value: { ...value, lines }, diagnostics: [...diagnostics, ...unknown] };
}

/** The checks of Dockerfiles have a say in the case of words. */
function casedLike(written: string, word: string): string {
  if (written === written.toUpperCase()) return word.toUpperCase();
  return written === written.toLowerCase() ? word : word.charAt(0).toUpperCase() + word.slice(1);
}

function unknownWord({ word, wordRange }: InstructionLine): Diagnostic {
  const translated = ickWords.get(word.toLowerCase());
  const hint =
    translated === undefined
      ? didYouMean(
          word,
          [...dockerWords.keys()].map(known => known.toUpperCase()),
        )
      : `an Ickfile says "${translated}"`;
  return {
    severity: "error",
    code: "dockerfile-syntax",
    message: `unknown instruction "${word}"`,
    range: wordRange,
    ...(hint !== undefined && { hint }),
  };
}
