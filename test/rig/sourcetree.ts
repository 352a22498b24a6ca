// The project's own sources as data, for the tests that hold its shape: files, what they import, and their syntax.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

export const projectRoot = fileURLToPath(new URL("../../", import.meta.url));

export interface SourceFile {
  /** Slash-separated path from the project's root: `src/oci/digest.ts`. */
  readonly path: string;
  readonly text: string;
  /** Everything named by an import, export-from or `import()`, types included. */
  readonly imports: readonly ImportOf[];
}

export type ImportOf =
  { readonly kind: "file"; readonly path: string } | { readonly kind: "package"; readonly name: string };

/** Every TypeScript file below the given folders of the project, sorted by path. */
export function readSources(...folders: readonly string[]): readonly SourceFile[] {
  return folders
    .flatMap(folder => filesBelow(folder))
    .filter(path => path.endsWith(".ts"))
    .sort()
    .map(path => {
      const text = readFileSync(join(projectRoot, path), "utf8");
      const imports = ts
        .preProcessFile(text, true, true)
        .importedFiles.map(({ fileName }): ImportOf =>
          fileName.startsWith(".")
            ? { kind: "file", path: relative(projectRoot, resolve(projectRoot, dirname(path), fileName)) }
            : { kind: "package", name: fileName },
        );
      return { path, text, imports };
    });
}

/** Paths (from the project's root) of all files below a folder; nothing when the folder is missing. */
export function filesBelow(folder: string): string[] {
  if (!existsSync(join(projectRoot, folder))) return [];
  return readdirSync(join(projectRoot, folder), { withFileTypes: true }).flatMap(entry => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return entry.name === "node_modules" ? [] : filesBelow(path);
    return entry.isFile() ? [path] : [];
  });
}

/** Calls `visit` for every node of a file's syntax tree. */
export function walkSyntax(file: SourceFile, visit: (node: ts.Node, at: () => string) => void): void {
  const tree = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.ESNext, true);
  const step = (node: ts.Node): void => {
    visit(node, () => `${file.path}:${tree.getLineAndCharacterOfPosition(node.getStart(tree)).line + 1}`);
    ts.forEachChild(node, step);
  };
  step(tree);
}

/** The folder directly below src/ that holds a file: its module. */
export function moduleOf(path: string): string | undefined {
  const [top, module, rest] = path.split("/");
  return top === "src" && rest !== undefined ? module : undefined;
}
