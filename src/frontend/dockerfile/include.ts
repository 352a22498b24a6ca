// `# include=FILE`: the instructions of another file stand where the comment stands. BuildKit takes the line for a
// comment, so files that use it build here only. It counts on a line of its own between instructions; in heredocs and
// between continuation lines it is text like any other. Each included instruction keeps the file it was written in,
// so that problems and LLB locations point there.
import { BakeError } from "../../diagnostic/error.ts";
import type { Diagnostic } from "../../diagnostic/diagnostic.ts";
import { lineText, type Range, rangeOfLines, type Source } from "../../diagnostic/source.ts";
import { joinPath } from "../../llb/path.ts";
import { findDirective } from "./directive.ts";
import { type InstructionLine, parseDockerfile, type ParsedFile } from "./parse.ts";
import type { Folder } from "./place.ts";
import { parseOptions } from "./stage.ts";

/** A Dockerfile with everything it includes. */
export interface WholeFile extends ParsedFile {
  /** Every file that has a part in it, the Dockerfile first. */
  readonly parts: readonly FilePart[];
}

export interface FilePart {
  readonly parsed: ParsedFile;
  readonly bytes: Uint8Array;
  readonly language: string;
}

/** More includes than anybody writes: files that include each other twice and twice again grow without end. */
const MAX_INCLUDES = 500;

interface Included {
  readonly folder: Folder;
  readonly path: string;
}

/** Reads a file's includes, and those of included files. @throws BakeError at the include that fails */
export async function resolveIncludes(
  part: FilePart,
  filename: string,
  folders: readonly Folder[],
): Promise<{ readonly file: WholeFile; readonly diagnostics: readonly Diagnostic[] }> {
  const parts: FilePart[] = [];
  const problems: Diagnostic[] = [];

  const expand = async (
    current: FilePart,
    at: Included,
    stack: readonly { readonly at: Included; readonly range: Range }[],
  ): Promise<readonly InstructionLine[]> => {
    parts.push(current);
    const { source, lines, escape } = current.parsed;
    const includes = findIncludes(current.parsed);
    const out: InstructionLine[] = [];
    let next = 0;
    for (const { path, range, line: number } of includes) {
      for (let line = lines[next]; line !== undefined && line.startLine < number; line = lines[++next])
        out.push(line);
      const found = await findIncluded(path, at, folders, range);
      const loop = [...stack.map(entry => entry.at), at].findIndex(
        known => known.folder === found.folder && known.path === found.path,
      );
      if (loop >= 0) {
        throw new BakeError("dockerfile-syntax", `"${path}" includes itself`, {
          range,
          hint: "remove one of the includes",
          related: stack.slice(loop).map(entry => ({ message: "included here", range: entry.range })),
        });
      }
      if (parts.length > MAX_INCLUDES)
        throw new BakeError("dockerfile-syntax", `there are more than ${MAX_INCLUDES} includes`, { range });
      const read = parseIncluded(found, escape, range);
      problems.push(...read.diagnostics);
      out.push(...(await expand(read.part, found, [...stack, { at, range }])));
    }
    out.push(...lines.slice(next));
    // An include is no description of the instruction below it.
    return out.map(line =>
      line.range.source === source
        ? { ...line, comments: line.comments.filter(comment => !INCLUDE.test(`#${comment}`)) }
        : line,
    );
  };

  const own = folders[0];
  if (own === undefined || findIncludes(part.parsed).length === 0)
    return { file: { ...part.parsed, parts: [part] }, diagnostics: [] };
  const lines = await expand(part, { folder: own, path: joinPath(filename) }, []);
  return { file: { ...part.parsed, lines, parts }, diagnostics: problems };
}

/** Whether a text may have includes, so that a file without instructions of its own may still be a Dockerfile. */
export function mayInclude(text: string): boolean {
  return /include\s*=/.test(text);
}

const INCLUDE = /^#\s*include\s*=\s*(\S+)\s*$/;

/** The paths of all lines that look like includes, for those who only watch the files. */
export function includedPaths(text: string): readonly string[] {
  return mayInclude(text) ? text.split("\n").flatMap(line => INCLUDE.exec(line)?.[1] ?? []) : [];
}

interface Include {
  readonly path: string;
  readonly line: number;
  readonly range: Range;
}

/** The include lines that stand between instructions. */
function findIncludes({ source, lines }: ParsedFile): readonly Include[] {
  if (!mayInclude(source.text)) return [];
  const found: Include[] = [];
  const count = source.text.split("\n").length;
  let next = 0;
  for (let number = 1; number <= count; number++) {
    const holder = lines[next];
    if (holder !== undefined && holder.startLine <= number) {
      number = holder.endLine;
      next++;
      continue;
    }
    const text = lineText(source, number);
    const path = INCLUDE.exec(text.replace(/^\ufeff/, ""))?.[1];
    if (path === undefined) continue;
    const { start } = rangeOfLines(source, number, number);
    const at = start + text.indexOf(path, text.indexOf("="));
    found.push({ path, line: number, range: { source, start: at, end: at + path.length } });
  }
  return found;
}

interface FoundFile extends Included {
  readonly bytes: Uint8Array;
}

/** Beside the file that includes it, else in the build context. */
async function findIncluded(
  path: string,
  from: Included,
  folders: readonly Folder[],
  range: Range,
): Promise<FoundFile> {
  const beside = joinPath(from.path.slice(0, from.path.lastIndexOf("/") + 1), path);
  const candidates: Included[] = path.startsWith("/") ? [] : [{ folder: from.folder, path: beside }];
  for (const folder of folders) candidates.push({ folder, path: joinPath(path.replace(/^\/+/, "")) });
  for (const candidate of candidates) {
    // A path that leaves a folder names nothing in it.
    if (candidate.path.startsWith("..") || candidate.path === ".") continue;
    const bytes = await readOrNothing(candidate, range);
    if (bytes !== undefined) return { ...candidate, bytes };
  }
  throw new BakeError("file-missing", `cannot include "${path}": it does not exist`, {
    range,
    hint: "paths are relative to this file, or else to the Dockerfile's folder or the build context",
  });
}

async function readOrNothing({ folder, path }: Included, range: Range): Promise<Uint8Array | undefined> {
  try {
    return await folder.read(path);
  } catch (thrown) {
    const { code, message } = BakeError.from(thrown);
    if (code === "interrupted") throw thrown;
    if (thrown instanceof Error && "code" in thrown && thrown.code === "EISDIR")
      throw new BakeError("dockerfile-syntax", `cannot include "${path}": it is a folder`, { range });
    throw new BakeError(code === "internal" ? "file-denied" : code, `cannot include "${path}": ${message}`, {
      range,
      cause: thrown,
    });
  }
}

function parseIncluded(
  { path, bytes }: FoundFile,
  escape: string,
  range: Range,
): { readonly part: FilePart; readonly diagnostics: readonly Diagnostic[] } {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  const source: Source = { name: path, text };
  const directive = findDirective(text, "escape");
  if (directive !== undefined && directive.value !== escape) {
    throw new BakeError("dockerfile-syntax", `"${path}" has another escape character than what includes it`, {
      range: rangeOfLines(source, directive.line, directive.line),
      hint: `remove the directive, or write # escape=${escape}`,
      related: [{ message: "included here", range }],
    });
  }
  const { value, diagnostics } = parseDockerfile(source, { ...parseOptions, escape, mayBeEmpty: true });
  if (value === undefined) throw BakeError.ofDiagnostics(diagnostics);
  return { part: { parsed: value, bytes, language: "Dockerfile" }, diagnostics };
}
