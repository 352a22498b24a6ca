// What a renderer is. Progress goes to one stream (standard error in the command line); a renderer folds events and
// draws them, and gives the terminal back as it was when it is closed.
import type { Emit } from "./event.ts";
import type { StepsOptions } from "./steps.ts";

export interface Renderer {
  readonly emit: Emit;
  /** Draws what is left and restores the terminal. Nothing may be emitted afterwards. */
  close(): Promise<void>;
}

export interface RendererOptions extends StepsOptions {
  /** Whether to use colours; default: as the stream is a terminal. */
  readonly color?: boolean;
}

/** Whether a stream is a terminal: `isTTY` is absent, not false, when it is none. */
export function isTerminal(stream: { readonly isTTY?: boolean }): boolean {
  return stream.isTTY === true;
}
