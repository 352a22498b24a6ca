// The ignore file of a build context: one pattern a line (Dockerfile reference, ".dockerignore file").
import { BakeError } from "../../diagnostic/error.ts";
import { type Range, rangeOfLines, type Source } from "../../diagnostic/source.ts";
import { cleanPath, compileIgnore } from "../../pattern/ignore.ts";
import { trimSpace } from "./text.ts";

export interface IgnoreLine {
  /** As it enters `local.excludepatterns`. */
  readonly pattern: string;
  readonly range: Range;
}

/** The patterns of a file in order. @throws BakeError "pattern-invalid" at the line that is wrong */
export function readIgnoreFile(name: string, bytes: Uint8Array): readonly IgnoreLine[] {
  const source: Source = { name, text: new TextDecoder("utf-8").decode(bytes) };
  return source.text.split("\n").flatMap((text, index) => {
    const pattern = readPattern(text);
    if (pattern === undefined) return [];
    const range = rangeOfLines(source, index + 1, index + 1);
    try {
      compileIgnore([pattern]);
    } catch (thrown) {
      throw thrown instanceof BakeError ? thrown.at(range) : thrown;
    }
    return [{ pattern, range }];
  });
}

/** The patterns of a file, whatever they are worth: for those who only watch it. */
export function parseIgnoreFile(bytes: Uint8Array): readonly string[] {
  return new TextDecoder("utf-8")
    .decode(bytes)
    .split("\n")
    .flatMap(line => readPattern(line) ?? []);
}

function readPattern(line: string): string | undefined {
  if (line.startsWith("#")) return undefined;
  const pattern = trimSpace(line);
  if (pattern === "") return undefined;
  if (!pattern.startsWith("!")) return clean(pattern);
  const negated = trimSpace(pattern.slice(1));
  return `!${negated === "" ? "" : clean(negated)}`;
}

/** Patterns are relative to the context; a leading slash says the same. */
function clean(pattern: string): string {
  const cleaned = cleanPath(pattern);
  return cleaned.length > 1 && cleaned.startsWith("/") ? cleaned.slice(1) : cleaned;
}
