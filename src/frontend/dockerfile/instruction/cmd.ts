// CMD: the default command, or the default arguments of ENTRYPOINT.
import { configCommand } from "./command.ts";

export const cmd = configCommand("CMD", (draft, command) => {
  draft.cmd = command;
  // Deprecated in the image spec, but Docker still writes it.
  draft.argsEscaped = true;
});
