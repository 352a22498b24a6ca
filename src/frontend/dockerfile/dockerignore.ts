// The ignore file of a build context: one pattern a line (Dockerfile reference, ".dockerignore file").
import { cleanPath } from "../../pattern/ignore.ts";
import { trimSpace } from "./text.ts";

/** The patterns of a file in order, as they enter `local.excludepatterns`. */
export function parseIgnoreFile(bytes: Uint8Array): readonly string[] {
  const text = new TextDecoder("utf-8").decode(bytes);
  return text.split("\n").flatMap(line => {
    if (line.startsWith("#")) return [];
    const pattern = trimSpace(line);
    if (pattern === "") return [];
    if (!pattern.startsWith("!")) return [clean(pattern)];
    const negated = trimSpace(pattern.slice(1));
    return [`!${negated === "" ? "" : clean(negated)}`];
  });
}

/** Patterns are relative to the context; a leading slash says the same. */
function clean(pattern: string): string {
  const cleaned = cleanPath(pattern);
  return cleaned.length > 1 && cleaned.startsWith("/") ? cleaned.slice(1) : cleaned;
}
