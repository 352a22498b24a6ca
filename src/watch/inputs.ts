// Which files matter to a watcher, and whether a path is among them.
import { basename, dirname, join, relative, sep } from "node:path";
import { compileIgnore } from "../pattern/ignore.ts";

export interface WatchInputs {
  readonly contexts: readonly WatchedContext[];
  /** Single files (absolute), which need not exist yet: bake files, Dockerfiles, ignore files. */
  readonly files: readonly string[];
  /** Absolute paths the build itself writes: what happens at or below them is not news. */
  readonly outputs: readonly string[];
}

export interface WatchedContext {
  /** Absolute path of the directory. */
  readonly path: string;
  /** Patterns of the ignore file that applies. */
  readonly ignore: readonly string[];
}

/** Of a repository's own files only those that tell which commit is checked out; the rest changes on every look. */
const GIT_INTERNAL = /(?:^|\/)\.git\/(?!HEAD$|packed-refs$|refs(?:\/|$)).+/;

export interface InputMatcher {
  /** Whether a change of this path asks for a new build. */
  isInput(path: string): boolean;
  /** Whether nothing at or below this path can be an input, so that it need not be watched. */
  isIgnored(path: string): boolean;
}

export function createInputMatcher({ contexts, files, outputs }: WatchInputs): InputMatcher {
  const singles = new Set(files);
  const compiled = contexts.map(({ path, ignore }) => ({ path, ignore: compileIgnore(ignore) }));
  const isOutput = (path: string): boolean =>
    outputs.some(output => contains(output, path) || path.startsWith(stagingPrefix(output)));
  const below = (root: string, path: string): string => relative(root, path).split(sep).join("/");
  return {
    isInput(path) {
      if (singles.has(path)) return true;
      if (isOutput(path)) return false;
      return compiled.some(context => {
        if (!contains(context.path, path)) return false;
        const name = below(context.path, path);
        return !GIT_INTERNAL.test(name) && !context.ignore.matches(name);
      });
    },
    isIgnored(path) {
      if (singles.has(path) || files.some(file => contains(path, file))) return false;
      if (compiled.some(context => contains(path, context.path) && path !== context.path)) return false;
      if (isOutput(path)) return true;
      return compiled.every(context => {
        if (!contains(context.path, path)) return true;
        const name = below(context.path, path);
        if (name === "") return false;
        return (
          GIT_INTERNAL.test(name) || (context.ignore.matches(name) && !context.ignore.mayReinclude(name))
        );
      });
    },
  };
}

/** Exporters complete an output in a hidden neighbour of such a name before one rename shows it. */
function stagingPrefix(output: string): string {
  return join(dirname(output), `.${basename(output)}.llbake-`);
}

/** Whether a path is a directory's own or below it. */
function contains(directory: string, path: string): boolean {
  return path === directory || path.startsWith(directory.endsWith("/") ? directory : `${directory}/`);
}
