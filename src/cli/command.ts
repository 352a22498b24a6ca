// What a command of the program is.
import type { Command } from "commander";
import type { Environment } from "./environment.ts";

/** What a command is run with. */
export interface CommandContext {
  readonly environment: Environment;
  readonly signal: AbortSignal;
}

/** Adds options, arguments and the action to an empty command. The action returns the exit code. */
export type DefineCommand = (
  command: Command,
  context: CommandContext,
  done: (exitCode: number) => void,
) => void;
