// A command for a foreign platform where the kernel knows no emulator: the emulator is mounted into the container and
// runs the command's program. Programs that this one starts are not emulated.
import { existsSync } from "node:fs";
import { BakeError } from "../diagnostic/error.ts";
import { resolveInRoot } from "../layer/rootpath.ts";
import type { ProcessSpec, RootSpec } from "./executor.ts";
import { findProgram } from "./program.ts";

/** /dev is a file system of the container: the mount point leaves nothing in the image. */
const MOUNTED_AT = "/dev/.llbake-emulator";

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
  if (emulation?.way === "namespace") return { command: withVariables(command, emulation.env), root };
  return emulation?.way === "mounted"
    ? withEmulator(withVariables(command, emulation.env), root, emulation.emulator)
    : { command, root };
}

/** The step's own value of a variable comes first. */
function withVariables(command: ProcessSpec, variables: readonly string[]): ProcessSpec {
  const nameOf = (entry: string): string => entry.slice(0, entry.indexOf("="));
  const own = new Set(command.env.map(nameOf));
  const further = variables.filter(entry => !own.has(nameOf(entry)));
  return further.length === 0 ? command : { ...command, env: [...command.env, ...further] };
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
  const program = findProgram(command, root.path);
  if (program === undefined) return { command, root };
  return {
    command: { ...command, args: [MOUNTED_AT, "-0", program.name, program.path, ...program.args] },
    root: {
      ...root,
      mounts: [...root.mounts, { type: "bind", source: emulator, dest: MOUNTED_AT, readonly: true }],
    },
  };
}
