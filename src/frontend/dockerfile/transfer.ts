// What COPY and ADD share: sources, destination, heredoc files, and the file op they become.
import { copy, type CopyOptions, type FileAction, mkfile } from "../../llb/builder/file.ts";
import { git, http, merge, scratch, type State } from "../../llb/state.ts";
import { cleanPath, joinPath } from "../../llb/path.ts";
import { isDigest } from "../../oci/digest.ts";
import type { IgnoreMatcher } from "../../pattern/ignore.ts";
import { hasWildcard } from "../../pattern/wildcard.ts";
import { BakeError } from "../../diagnostic/error.ts";
import { positionAt } from "../../diagnostic/source.ts";
import { lowerError, readListOrWords, syntaxError } from "./arguments.ts";
import { type GitReference, parseGitReference } from "./gitref.ts";
import { chompTabs, parseHeredocWord } from "./heredoc.ts";
import { addHistory } from "./imageconfig.ts";
import { type Conversion, locationOf, type Stage } from "./model.ts";
import { absolutePath, basePath, isAbsolute, toSlash, withoutDrive } from "./ospath.ts";
import type { InstructionLine } from "./parse.ts";
import { environmentOf, expand, located, nameStep, stepText } from "./steps.ts";
import { cut } from "./text.ts";

export interface TransferPaths {
  readonly sources: readonly string[];
  readonly files: readonly InlineFile[];
  readonly dest: string;
}

/** A file given as a heredoc. */
interface InlineFile {
  readonly name: string;
  readonly body: string;
  readonly expand: boolean;
}

export interface Transfer {
  readonly line: InstructionLine;
  readonly paths: TransferPaths;
  /** Where plain sources are read. */
  readonly from: State;
  readonly isAdd: boolean;
  /** These three are expanded here. */
  readonly chown: string;
  readonly chmod: string;
  readonly checksum: string;
  readonly link: boolean;
  readonly parents: boolean;
  readonly excludes: readonly string[];
  /** The ignore file that applies to the sources. */
  readonly ignore: IgnoreMatcher | undefined;
  readonly unpack: boolean | undefined;
  readonly keepGitDir: boolean | undefined;
}

const FILE_MODE = 0o644;

/** Reads sources and destination. @throws BakeError "dockerfile-syntax" */
export function readTransfer(line: InstructionLine): TransferPaths {
  const keyword = line.word.toUpperCase();
  const words = readListOrWords(line);
  const dest = words.at(-1);
  if (dest === undefined || words.length < 2)
    throw syntaxError(`${keyword} needs a source and a destination`, line);
  if (heredocOf(dest) !== undefined)
    throw syntaxError(`${keyword} cannot have a heredoc as its destination`, line);
  const bodies = new Map(line.heredocs.map(heredoc => [heredoc.name, heredoc.body]));
  const sources: string[] = [];
  const files: InlineFile[] = [];
  for (const word of words.slice(0, -1)) {
    const heredoc = heredocOf(word);
    if (heredoc === undefined) sources.push(word);
    else {
      const body = bodies.get(heredoc.name) ?? "";
      files.push({
        name: heredoc.name,
        body: heredoc.chomp ? chompTabs(body) : body,
        expand: heredoc.expand,
      });
    }
  }
  return { sources, files, dest };
}

function heredocOf(word: string) {
  try {
    return parseHeredocWord(word);
  } catch (thrown) {
    if (thrown instanceof BakeError) return undefined;
    throw thrown;
  }
}

/** Adds the copy to the stage; returns the sources after expansion. @throws BakeError "dockerfile-lower" */
export function lowerTransfer(stage: Stage, conversion: Conversion, transfer: Transfer): readonly string[] {
  const { line } = transfer;
  const word = (text: string): string => {
    try {
      return expand(text, line, stage, conversion);
    } catch (thrown) {
      if (!(thrown instanceof BakeError) || !/["']/.test(text)) throw thrown;
      const hint = `quotes do not join words here; paths with blanks need the JSON form ["a b", "/dest/"]`;
      throw new BakeError(thrown.code, thrown.message, { range: line.range, hint });
    }
  };
  const chown = word(transfer.chown);
  const chmod = word(transfer.chmod);
  const checksum = transfer.isAdd ? word(transfer.checksum) : "";
  const sources = transfer.paths.sources.map(word);
  const dest = word(transfer.paths.dest);
  // Bodies of heredocs know no quotes, and their escape character is always a backslash.
  const files = transfer.paths.files.map(file =>
    file.expand
      ? { ...file, body: expand(file.body, line, stage, conversion, { escape: "\\", plainQuotes: true }) }
      : file,
  );
  const platform = stage.platform ?? conversion.targetPlatform;
  const target = located(line, () => destination(stage.state, dest, platform.os));
  const common: CopyOptions = {
    ...(chown !== "" && { owner: chown }),
    ...(transfer.excludes.length > 0 && { excludePatterns: transfer.excludes }),
    ...modeOf(chmod, line),
    createDestPath: true,
  };
  checkChecksum(checksum, sources, line);

  const keyword = transfer.isAdd ? "ADD" : "COPY";
  const history = [
    keyword,
    ...(transfer.parents ? ["--parents"] : []),
    ...(chown === "" ? [] : [`--chown=${chown}`]),
    ...(chmod === "" ? [] : [`--chmod=${chmod}`]),
    ...sources,
    ...files.map(file => `<<${file.name}`),
    dest,
  ];
  const environment = environmentOf(stage);
  const text = stepText(line.original, environment, { escape: conversion.escape });
  const customName = nameStep(stage, text, conversion, platform, environment);

  let action: FileAction | undefined;
  const then = (from: State, src: string, options: CopyOptions): void => {
    action =
      action === undefined ? copy(from, src, target, options) : action.copy(from, src, target, options);
  };
  for (const source of sources) {
    const repository = located(line, () => parseGitReference(source));
    if (repository !== undefined && !repository.looksLocal) {
      if (!transfer.isAdd)
        throw lowerError(`COPY cannot read the git repository "${source}"`, line, "use ADD");
      then(gitState(repository, { ...transfer, checksum, customName }), "/", common);
    } else if (/^https?:\/\//.test(source)) {
      if (!transfer.isAdd) throw lowerError(`COPY cannot read the URL "${source}"`, line, "use ADD");
      const filename = filenameOf(source);
      if (checksum !== "" && !isDigest(checksum))
        throw lowerError(`--checksum takes a digest, not "${checksum}"`, line, "write for example sha256:…");
      const from = http(source, { filename, customName, ...(isDigest(checksum) && { checksum }) });
      then(from, filename, { ...common, attemptUnpack: transfer.unpack === true });
    } else {
      warnIgnored(source, transfer, conversion);
      then(transfer.from, ...localCopy(source, transfer, platform.os, common));
    }
  }
  for (const file of files) {
    const path = located(line, () => withoutDrive(file.name, { os: platform.os }));
    const from = scratch().file(mkfile(path, FILE_MODE, file.body), {
      customName: "[internal] preparing inline document",
    });
    then(from, toSlash(path, platform.os), common);
  }
  if (action === undefined) throw lowerError(`${keyword} has no sources`, line);
  const options = {
    location: locationOf(line, conversion.sources),
    ...(stage.ignoreCache && { ignoreCache: true }),
  };
  if (transfer.link && chmod === "") {
    const group = { id: customName, name: customName };
    const layer = scratch().file(action, { ...options, customName, progressGroup: { ...group, weak: true } });
    stage.stepsDone -= stage.stepsTotal === 0 ? 0 : 1;
    const linkName = nameStep(stage, `LINK ${text}`, conversion, platform, environment);
    const merged = merge([stage.state, layer], { ...options, customName: linkName, progressGroup: group });
    stage.state = stage.state.withOutput(merged.output);
  } else stage.state = stage.state.file(action, { ...options, customName });
  addHistory(stage.draft, `${history.join(" ")} # buildkit`, { layer: true, epoch: conversion.epoch });
  return sources;
}

/** The destination as an absolute path; a trailing "/" or "/." stays, for it means a directory. */
function destination(state: State, dest: string, os: string): string {
  const path = withoutDrive(dest, { os, keepSlash: true });
  if (isAbsolute(path, os)) return absolutePath("/", path, { os, keepSlash: true });
  return absolutePath(state.values.dir, path === "." || path === "" ? "./" : path, { os, keepSlash: true });
}

const MAX_MODE = 0o7777;
const SYMBOLIC_MODE = /^[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+(?:,[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+)*$/;

function modeOf(chmod: string, line: InstructionLine): Pick<CopyOptions, "mode" | "modeStr"> {
  if (chmod === "") return {};
  if (/^[0-7]+$/.test(chmod) && Number.parseInt(chmod, 8) <= MAX_MODE)
    return { mode: Number.parseInt(chmod, 8) };
  if (SYMBOLIC_MODE.test(chmod)) return { modeStr: chmod };
  throw lowerError(
    `--chmod takes a mode, not "${chmod}"`,
    line,
    "write an octal mode up to 7777 or a symbolic one such as u=rwX,go=rX",
  );
}

function checkChecksum(checksum: string, sources: readonly string[], line: InstructionLine): void {
  if (checksum === "") return;
  const [source = "", ...more] = sources;
  if (more.length > 0 || sources.length === 0) throw lowerError("--checksum needs exactly one source", line);
  const remote = /^https?:\/\//.test(source) || located(line, () => parseGitReference(source)) !== undefined;
  if (!remote) throw lowerError("--checksum needs a URL or a git repository as its source", line);
}

/** The file name a URL gives: the last part of its path. */
export function filenameOf(url: string): string {
  const path = /^https?:\/\/[^/?#]*([^?#]*)/.exec(url)?.[1] ?? "";
  try {
    const base = basePath(decodeURIComponent(path));
    return base === "." || base === "/" ? "__unnamed__" : base;
  } catch {
    return "__unnamed__";
  }
}

interface GitTransfer {
  readonly line: InstructionLine;
  readonly keepGitDir: boolean | undefined;
  readonly checksum: string;
  readonly customName: string;
}

/** The repository that an ADD names. @throws BakeError "dockerfile-lower" */
export function gitState(
  reference: GitReference,
  { line, keepGitDir, checksum, customName }: GitTransfer,
): State {
  if (keepGitDir !== undefined && reference.keepGitDir !== undefined && keepGitDir !== reference.keepGitDir) {
    throw lowerError("--keep-git-dir contradicts the address of the repository", line);
  }
  if (checksum !== "" && reference.checksum !== "" && checksum !== reference.checksum) {
    throw lowerError(
      `--checksum "${checksum}" contradicts "${reference.checksum}" in the address of the repository`,
      line,
    );
  }
  const commit = reference.checksum || checksum;
  return git(reference.remote, {
    customName,
    ref: reference.ref,
    ...((reference.keepGitDir ?? keepGitDir) && { keepGitDir: true }),
    ...(commit !== "" && { checksum: commit }),
    ...(reference.subdir !== "" && { subdir: reference.subdir }),
    ...(reference.submodules === false && { skipSubmodules: true }),
    ...(reference.fetchByCommit && { fetchByCommit: true }),
  });
}

function localCopy(
  source: string,
  { isAdd, parents, unpack, line }: Transfer,
  os: string,
  common: CopyOptions,
): readonly [string, CopyOptions] {
  let base = source;
  let parentOptions: CopyOptions = {};
  if (parents) {
    // "/./" divides what is left off from what is kept.
    const [pivot, kept] = cut(source, "/./") ?? ["/", source];
    const pattern = located(line, () => absolutePath("/", kept, { os }));
    base = pivot;
    const required =
      hasWildcard(pivot) || hasWildcard(pattern) ? [] : [absolutePath("/", joinPath(pivot, pattern), { os })];
    parentOptions = { includePatterns: [pattern.replace(/^\//, "")], requiredPaths: required };
  }
  return [
    located(line, () => absolutePath("/", base, { os })),
    {
      ...common,
      ...parentOptions,
      followSymlink: true,
      dirCopyContents: true,
      attemptUnpack: unpack ?? isAdd,
      allowWildcard: true,
      allowEmptyWildcard: true,
    },
  ];
}

/** Warns when the ignore file leaves out what is copied; lists with "!" cannot be judged. */
function warnIgnored(source: string, { ignore, isAdd, line }: Transfer, conversion: Conversion): void {
  if (ignore === undefined || ignore.patterns.some(pattern => pattern.startsWith("!"))) return;
  const path = cleanPath(source);
  if (
    (path === "." || path === "/") &&
    !ignore.patterns.some(pattern => ["*", "**", "**/*"].includes(pattern))
  )
    return;
  // The root itself counts as a name here, so that "*" matches it.
  const ignored = path === "." || path === "/" ? true : ignore.matches(path);
  if (!ignored) return;
  const message = `Attempting to ${isAdd ? "Add" : "Copy"} file ${JSON.stringify(path)} that is excluded by .dockerignore`;
  const decided = ignore.decidedBy(path);
  const at = conversion.ignoreLines[decided?.index ?? -1]?.range;
  const advice = at && {
    hint: `excluded by the pattern "${decided?.pattern ?? ""}" in ${at.source.name}:${positionAt(at.source, at.start).line}`,
  };
  conversion.linter.withComments(line.comments).warn("CopyIgnoredFile", message, line.range, advice);
}
