// Files that bake files name: `import` blocks bring in other bake files, `env_file` blocks give values for variables.
// Both are blocks because `docker buildx bake` skips blocks it does not know: no working file can mean anything else.
import { BakeError } from "../diagnostic/error.ts";
import type { Diagnosed, Diagnostic } from "../diagnostic/diagnostic.ts";
import type { Range, Source } from "../diagnostic/source.ts";
import { didYouMean } from "../diagnostic/suggest.ts";
import { cleanPath, isRemote } from "./path.ts";
import { evaluateError, schemaError } from "./problems.ts";
import { attributeOf, type Block, type Body, type Expression } from "./hcl/ast.ts";

export interface ImportOptions {
  /** A file by its path from the working directory; undefined when there is none. @throws BakeError */
  readonly readFile: (path: string) => string | undefined;
  readonly parse: (source: Source) => Diagnosed<Body>;
}

export interface Imported {
  /** Of the files themselves and of all they import; what a file imports comes before the file, which extends it. */
  readonly bodies: readonly Body[];
  /** The sources that were imported: their contexts are relative to their own folder. */
  readonly sources: ReadonlySet<Source>;
  /** What the `env_file` blocks name, in order: later ones win. */
  readonly envFiles: readonly Source[];
  readonly diagnostics: readonly Diagnostic[];
}

/** Imports nested deeper than this are refused. */
const MAX_DEPTH = 50;

/** Names of the blocks of this file. */
export const FILE_BLOCKS = ["import", "env_file"] as const;

/** Follows the `import` and reads the `env_file` blocks of parsed files. Each file is imported once. */
export function importFiles(
  files: readonly { readonly source: Source; readonly body: Body }[],
  { readFile, parse }: ImportOptions,
): Imported {
  const bodies: Body[] = [];
  const sources = new Set<Source>();
  const envFiles: Source[] = [];
  const diagnostics: Diagnostic[] = [];
  const seen = new Set<string>();

  function attempt(step: () => void): void {
    try {
      step();
    } catch (thrown) {
      if (!(thrown instanceof BakeError)) throw thrown;
      diagnostics.push(...thrown.diagnostics);
    }
  }

  function follow({ source, body }: { source: Source; body: Body }, trail: readonly string[]): void {
    for (const block of body.blocks) {
      if (block.type !== "import" && block.type !== "env_file") continue;
      attempt(() => {
        const { paths, optional } = readFileBlock(block);
        for (const { text, range } of paths) {
          attempt(() => {
            const path = resolvePath(text, source.name, range);
            if (block.type === "import") importOne(path, optional, range, [...trail, cleanName(source.name)]);
            else readEnvFile(path, optional, range);
          });
        }
      });
    }
    bodies.push(body);
  }

  function importOne(path: string, optional: boolean, range: Range, trail: readonly string[]): void {
    const loop = trail.indexOf(path);
    if (loop >= 0)
      throw schemaError(`bake files import each other: ${[...trail.slice(loop), path].join(" -> ")}`, range);
    if (trail.length > MAX_DEPTH)
      throw schemaError(`bake files import each other over more than ${MAX_DEPTH} levels`, range);
    if (seen.has(path)) return;
    seen.add(path);
    if (/\.ya?ml$/i.test(path))
      throw schemaError(`"${path}" is a Compose file`, range, "name it with -f; import reads .hcl and .json");
    const text = read(path, range);
    if (text === undefined) {
      if (optional) return;
      throw new BakeError("file-missing", `there is no bake file "${path}"`, {
        range,
        hint: "the path is relative to the folder of this file",
      });
    }
    const source = { name: path, text };
    sources.add(source);
    const parsed = parse(source);
    diagnostics.push(...parsed.diagnostics);
    if (parsed.value !== undefined) follow({ source, body: parsed.value }, trail);
  }

  function readEnvFile(path: string, optional: boolean, range: Range): void {
    const text = read(path, range);
    if (text !== undefined) envFiles.push({ name: path, text });
    else if (!optional) {
      throw new BakeError("file-missing", `there is no env file "${path}"`, {
        range,
        hint: "the path is relative to the folder of this file; optional = true allows it to be missing",
      });
    }
  }

  function read(path: string, range: Range): string | undefined {
    try {
      return readFile(path);
    } catch (thrown) {
      throw thrown instanceof BakeError ? thrown.at(range) : thrown;
    }
  }

  for (const file of files) follow(file, []);
  return { bodies, sources, envFiles, diagnostics };
}

interface FileBlock {
  readonly paths: readonly { readonly text: string; readonly range: Range }[];
  readonly optional: boolean;
}

function readFileBlock(block: Block): FileBlock {
  const known = ["path", "optional"];
  const [label] = block.labels;
  if (label !== undefined) {
    throw schemaError(`the block "${block.type}" has no name`, label.range, `${block.type} { path = "..." }`);
  }
  for (const { name, nameRange } of block.body.attributes) {
    if (known.includes(name)) continue;
    const hint = didYouMean(name, known) ?? "path and optional are known";
    throw schemaError(`the block "${block.type}" has no attribute "${name}"`, nameRange, hint);
  }
  const find = (name: string): Expression | undefined => attributeOf(block, name)?.expression;
  const path = find("path");
  if (path === undefined)
    throw schemaError(`the block "${block.type}" needs a path`, block.headRange, 'path = "folder/file"');
  const optional = find("optional");
  const flag = optional?.kind === "literal" && optional.value.kind === "bool" ? optional.value.value : false;
  if (optional !== undefined && !(optional.kind === "literal" && optional.value.kind === "bool"))
    throw schemaError('"optional" must be true or false', optional.range);
  const items = path.kind === "tuple" ? path.items : [path];
  return { paths: items.map(plainText), optional: flag };
}

/** Files are read before anything has a value. */
function plainText(expression: Expression): { readonly text: string; readonly range: Range } {
  if (expression.kind === "literal" && expression.value.kind === "string" && expression.value.value !== "")
    return { text: expression.value.value, range: expression.range };
  const hint = "files are read before variables have values";
  throw evaluateError("a path must be a plain string", expression.range, hint);
}

function resolvePath(text: string, importer: string, range: Range): string {
  if (text.startsWith("cwd://")) return cleanPath(text.slice("cwd://".length));
  if (isRemote(text)) throw schemaError(`"${text}" is no local file`, range);
  if (text.startsWith("/")) return cleanPath(text);
  const name = cleanName(importer);
  const slash = name.lastIndexOf("/");
  return cleanPath(slash < 0 ? text : `${name.slice(0, slash)}/${text}`);
}

function cleanName(name: string): string {
  return cleanPath(name.startsWith("cwd://") ? name.slice("cwd://".length) : name);
}
