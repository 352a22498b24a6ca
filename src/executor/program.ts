// The program that a command runs, as execve(2) and execvp(3) find it in the root: by PATH, through scripts to the
// interpreters they name. What lies in further mounts is not looked at.
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { posix } from "node:path";
import { resolveInRoot } from "../layer/rootpath.ts";
import { type ElfHead, readElfHead } from "./elf.ts";

export interface Program {
  /** What it is called by: argv[0]. */
  readonly name: string;
  /** In the root. */
  readonly path: string;
  readonly args: readonly string[];
  /** Undefined when it is no ELF program. */
  readonly head: ElfHead | undefined;
}

export interface Command {
  readonly args: readonly string[];
  /** `NAME=value` entries. */
  readonly env: readonly string[];
  readonly cwd: string;
}

/** As in the kernel, a script may name a script; longer chains are mistakes. */
const MAX_SCRIPTS = 4;
const SHEBANG_BYTES = 256;

/** `root` is the path of the root on the machine. */
export function findProgram(command: Command, root: string): Program | undefined {
  const resolved = new Map<string, string>();
  const onHost = (inRoot: string): string => {
    const known = resolved.get(inRoot) ?? resolveInRoot(root, inRoot, { followLast: true });
    resolved.set(inRoot, known);
    return known;
  };
  let [name = "", ...args] = command.args;
  let path = searchProgram(name, command, onHost);
  for (let depth = 0; path !== undefined; depth++) {
    const interpreter = scriptInterpreter(onHost(path));
    if (interpreter === undefined || depth === MAX_SCRIPTS)
      return { name, path, args, head: readElfHead(onHost(path)) };
    args = [...interpreter.argument, path, ...args];
    path = name = interpreter.path;
  }
  return undefined;
}

function searchProgram(
  name: string,
  { env, cwd }: Command,
  onHost: (inRoot: string) => string,
): string | undefined {
  const search = env.findLast(entry => entry.startsWith("PATH="))?.slice("PATH=".length) ?? "";
  const candidates = name.includes("/")
    ? [posix.resolve(cwd, name)]
    : search.split(":").map(folder => posix.resolve(cwd, folder, name));
  return candidates.find(path => {
    const found = statSync(onHost(path), { throwIfNoEntry: false });
    return found?.isFile() === true && (found.mode & 0o111) !== 0;
  });
}

/** What the first line of a script names after `#!`: a program and at most one argument. */
function scriptInterpreter(
  path: string,
): { readonly path: string; readonly argument: readonly string[] } | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(path, "r");
    const head = Buffer.alloc(SHEBANG_BYTES);
    const text = head.toString("latin1", 0, readSync(fd, head, 0, head.length, 0));
    const line = /^#![ \t]*(\S+)(?:[ \t]+(.*?))?[ \t]*(?:\n|$)/.exec(text);
    if (line?.[1] === undefined) return undefined;
    return { path: line[1], argument: line[2] === undefined || line[2] === "" ? [] : [line[2]] };
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
