// Reading a build file: from its place to instructions, with its includes, checked as far as text alone allows.
import { type Diagnosed, hasErrors } from "../../diagnostic/diagnostic.ts";
import { BakeError } from "../../diagnostic/error.ts";
import { rangeOfLines, type Source } from "../../diagnostic/source.ts";
import type { FrontendHost, FrontendRequest } from "../frontend.ts";
import { findDirective } from "./directive.ts";
import { type FilePart, mayInclude, resolveIncludes, type WholeFile } from "./include.ts";
import { type LintOptions, parseLintOptions } from "./lint.ts";
import { type DockerfileOptions, readOptions } from "./options.ts";
import { parseDockerfile, type ParsedFile } from "./parse.ts";
import type { BuildPlace } from "./place.ts";
import { parseOptions } from "./stage.ts";

const NEWLINE = 0x0a;

export interface ConvertOptions {
  readonly request: FrontendRequest;
  readonly host: FrontendHost;
  readonly signal: AbortSignal;
  readonly place: BuildPlace;
  /** The language the source is recorded as; default "Dockerfile". */
  readonly language?: string;
  /** Reads the text as instructions of a Dockerfile; default: it is one, and may have includes. */
  readonly parse?: (source: Source) => Diagnosed<ParsedFile>;
}

/** A build file before anything of it is understood. */
export interface OpenFile {
  readonly given: DockerfileOptions;
  readonly source: Source;
}

/** Checks the options. @throws BakeError "usage" or "platform-invalid" */
export function openFile({ request, place }: ConvertOptions): OpenFile {
  const given = readOptions(request.options, request.buildPlatform);
  const source: Source = { name: place.filename, text: textOf(place) };
  return { given, source };
}

/** Parses it and what it includes. @throws BakeError with every problem of its form */
export async function readFile(
  { source }: OpenFile,
  { place, parse, language = "Dockerfile" }: ConvertOptions,
): Promise<WholeFile> {
  const hasIncludes = parse === undefined && mayInclude(source.text);
  const { value, diagnostics } =
    parse?.(source) ?? parseDockerfile(source, { ...parseOptions, mayBeEmpty: hasIncludes });
  if (value === undefined || hasErrors(diagnostics)) throw BakeError.ofDiagnostics(diagnostics);
  const part: FilePart = { parsed: value, bytes: place.dockerfile, language };
  const { file, diagnostics: problems } = hasIncludes
    ? await resolveIncludes(part, place.filename, place.folders)
    : { file: { ...value, parts: [part] }, diagnostics: [] };
  if (hasErrors(problems)) throw BakeError.ofDiagnostics(problems);
  if (file.lines.length === 0) {
    throw new BakeError("dockerfile-syntax", "the Dockerfile and what it includes have no instructions", {
      range: rangeOfLines(source, 1, 1),
      hint: "it must begin with FROM",
    });
  }
  for (const each of file.parts) checkEncoding(each);
  return file;
}

/** The text of a build file, a byte order mark included; bytes that are not UTF-8 become U+FFFD. */
export function textOf({ dockerfile }: BuildPlace): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(dockerfile);
}

/** What a build arg, or else the file's first lines, say of checks. @throws BakeError "dockerfile-syntax" */
export function lintOptions({ given, source }: OpenFile): LintOptions {
  if (given.lint !== undefined) return given.lint;
  const directive = findDirective(source.text, "check");
  const options = parseLintOptions(directive?.value ?? "");
  if (typeof options !== "string") return options;
  const line = directive?.line ?? 1;
  throw new BakeError("dockerfile-syntax", `the check directive is wrong: ${options}`, {
    range: rangeOfLines(source, line, line),
    reported: [],
    hint: "write for example check=skip=JSONArgsRecommended;error=true",
  });
}

/**
 * Bytes that are not UTF-8 may stand in comments, and become U+FFFD where words are expanded. In commands and heredocs
 * they would be lost without a word.
 */
function checkEncoding({ parsed: { lines, source }, bytes }: FilePart): void {
  if (isUtf8(bytes)) return;
  for (const line of lines) {
    if (line.word.toLowerCase() !== "run" && line.heredocs.length === 0) continue;
    for (let number = line.startLine; number <= line.endLine; number++) {
      if (isUtf8(bytesOfLine(bytes, number))) continue;
      throw new BakeError("dockerfile-syntax", `line ${number} is not UTF-8`, {
        range: rangeOfLines(source, number, number),
        hint: "save the file as UTF-8",
      });
    }
  }
}

function bytesOfLine(bytes: Uint8Array, number: number): Uint8Array {
  let start = 0;
  for (let line = 1; line < number; line++) start = bytes.indexOf(NEWLINE, start) + 1;
  const end = bytes.indexOf(NEWLINE, start);
  return bytes.subarray(start, end < 0 ? bytes.length : end);
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}
