// A stage that SOURCE_DATE_EPOCH may be taken from: FROM scratch and one ADD of a URL or a git repository, so that its
// time is that of what it adds (BuildKit, docs/build-repro.md).
import { http, type State } from "../../llb/state.ts";
import { isDigest } from "../../oci/digest.ts";
import { lowerError } from "./arguments.ts";
import { parseGitReference } from "./gitref.ts";
import { computeGlobalArgs, type GlobalArgOptions } from "./globalargs.ts";
import { readAddFlags } from "./instruction/add.ts";
import { readArgs } from "./instruction/arg.ts";
import type { InstructionLine } from "./parse.ts";
import type { FileStages, StageText } from "./stage.ts";
import { located } from "./steps.ts";
import { filenameOf, gitState, readTransfer } from "./transfer.ts";
import { environmentFromPairs, expandWord } from "./words.ts";

/** What the stage adds. @throws BakeError "dockerfile-lower" at its FROM when it is of another form */
export function sourceOfStage(
  { from, commands }: StageText,
  globalArgs: FileStages["globalArgs"],
  options: GlobalArgOptions,
): State {
  const refuse = (what: string) =>
    lowerError(
      `SOURCE_DATE_EPOCH cannot be taken from the stage "${from.name}": ${what}`,
      from.line,
      "such a stage is FROM scratch with one ADD of a URL or a git repository, and ARG",
    );
  const values = new Map(computeGlobalArgs({ stages: [], globalArgs }, options).values);
  const expand = (word: string, { escape }: InstructionLine): string =>
    located(from.line, () => expandWord(word, environmentFromPairs(values), { escape }).text);
  if (expand(from.base, from.line) !== "scratch") throw refuse("it is not FROM scratch");
  let added: State | undefined;
  for (const { line } of commands) {
    const keyword = line.word.toUpperCase();
    if (keyword === "ARG") {
      for (const { name, value } of readArgs(line)) {
        const given = options.buildArgs.get(name) ?? (value === undefined ? undefined : expand(value, line));
        if (given !== undefined) values.set(name, given);
      }
    } else if (keyword !== "ADD") throw refuse(`it has the instruction ${keyword}`);
    else if (added !== undefined) throw refuse("it has more than one ADD");
    else added = addedBy(line, word => expand(word, line), refuse);
  }
  if (added === undefined) throw refuse("it has no ADD");
  return added;
}

function addedBy(
  line: InstructionLine,
  expand: (word: string) => string,
  refuse: (what: string) => Error,
): State {
  const { sources, files } = readTransfer(line);
  const [written, ...more] = sources;
  if (written === undefined || more.length + files.length > 0)
    throw refuse("its ADD has more or other than one remote source");
  const flags = readAddFlags(line);
  const checksum = expand(flags.checksum ?? "");
  const address = expand(written);
  const repository = located(line, () => parseGitReference(address));
  if (repository !== undefined && !repository.looksLocal)
    return gitState(repository, { line, checksum, keepGitDir: flags["keep-git-dir"], customName: "" });
  if (!/^https?:\/\//.test(address)) throw refuse("its ADD has no remote source");
  if (checksum !== "" && !isDigest(checksum)) throw refuse(`its checksum "${checksum}" is no digest`);
  return http(address, { filename: filenameOf(address), ...(isDigest(checksum) && { checksum }) });
}
