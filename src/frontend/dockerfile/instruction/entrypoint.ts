// ENTRYPOINT: the command that CMD only gives arguments to. It drops a CMD that came with the base.
import { configCommand } from "./command.ts";

export const entrypoint = configCommand("ENTRYPOINT", (draft, command, stage) => {
  draft.entrypoint = command;
  if (!stage.lastSet.has("CMD")) draft.cmd = [];
});
