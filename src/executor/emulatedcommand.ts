// A command for a foreign platform where the kernel knows no emulator: the emulator is mounted into the container and
// runs the command's program. Programs that this one starts are not emulated.
import { closeSync, existsSync, openSync, readSync, statSync } from "node:fs";
import { posix } from "node:path";
import { BakeError } from "../diagnostic/error.ts";
import { resolveInRoot } from "../layer/rootpath.ts";
import type { ProcessSpec, RootSpec } from "./executor.ts";

/** /dev is a file system of the container: the mount point leaves nothing in the image. */
const MOUNTED_AT = "/dev/.llbake-emulator";
/** As in the kernel, a script may name a script; longer chains are mistakes. */
const MAX_SCRIPTS = 4;
const SHEBANG_BYTES = 256;

export interface EmulatedCommand {
  readonly command: ProcessSpec;
  readonly root: RootSpec;
}

/**
 * The command and root as the runtime is to be given them. A command whose program is not found is left as it is, to
 * fail as usual.
 * @throws BakeError "emulator-missing" when the image should contain the emulator and does not
 */
export function emulatedCommand(command: ProcessSpec, root: RootSpec): EmulatedCommand {
  const { emulation } = command;
  if (emulation?.way === "host" && !emulation.isOpen) expectInImage(emulation.interpreter, root);
  return emulation?.way === "mounted" ? withEmulator(command, root, emulation.emulator) : { command, root };
}

function expectInImage(interpreter: string, root: RootSpec): void {
  if (existsSync(resolveInRoot(root.path, interpreter, { followLast: true }))) return;
  throw new BakeError(
    "emulator-missing",
    `the kernel runs this step's programs with "${interpreter}", which is not in the image`,
    {
      hint: "install an emulator for llbake to use (apt-get install qemu-user-static), or register the machine's with the flag F",
    },
  );
}

/** `emulator` is a static program of this machine. */
function withEmulator(command: ProcessSpec, root: RootSpec, emulator: string): EmulatedCommand {
  const [name = "", ...rest] = command.args;
  let program = findProgram(name, command, root);
  if (program === undefined) return { command, root };
  let args: readonly string[] = rest;
  let shownName = name;
  for (let depth = 0; depth < MAX_SCRIPTS; depth++) {
    const interpreter = scriptInterpreter(resolveInRoot(root.path, program, { followLast: true }));
    if (interpreter === undefined) break;
    args = [...interpreter.argument, program, ...args];
    program = shownName = interpreter.path;
  }
  return {
    command: { ...command, args: [MOUNTED_AT, "-0", shownName, program, ...args] },
    root: {
      ...root,
      mounts: [...root.mounts, { type: "bind", source: emulator, dest: MOUNTED_AT, readonly: true }],
    },
  };
}

/** The path of a program in the root, found as execvp(3) does. */
function findProgram(name: string, { env, cwd }: ProcessSpec, root: RootSpec): string | undefined {
  const search = env.findLast(entry => entry.startsWith("PATH="))?.slice("PATH=".length) ?? "";
  const candidates = name.includes("/")
    ? [posix.resolve(cwd, name)]
    : search.split(":").map(folder => posix.resolve(cwd, folder, name));
  return candidates.find(path => {
    const found = statSync(resolveInRoot(root.path, path, { followLast: true }), { throwIfNoEntry: false });
    return found?.isFile() === true && (found.mode & 0o111) !== 0;
  });
}

/** What the first line of a script names after `#!`: a program and at most one argument. */
function scriptInterpreter(
  path: string,
): { readonly path: string; readonly argument: readonly string[] } | undefined {
  const fd = openSync(path, "r");
  try {
    const head = Buffer.alloc(SHEBANG_BYTES);
    const text = head.toString("latin1", 0, readSync(fd, head, 0, head.length, 0));
    const line = /^#![ \t]*(\S+)(?:[ \t]+(.*?))?[ \t]*(?:\n|$)/.exec(text);
    if (line?.[1] === undefined) return undefined;
    return { path: line[1], argument: line[2] === undefined || line[2] === "" ? [] : [line[2]] };
  } finally {
    closeSync(fd);
  }
}
