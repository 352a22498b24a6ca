// The choice among renderers. Progress goes to one stream (standard error in the command line); a renderer folds
// events and draws them, and gives the terminal back as it was when it is closed.
import { BakeError } from "../diagnostic/error.ts";
import { didYouMean } from "../diagnostic/suggest.ts";
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

export type ProgressMode = "tty" | "plain" | "rawjson" | "quiet";

const factories = {
  tty: async () => (await import("./tty.ts")).createTtyRenderer,
  plain: async () => (await import("./plainrenderer.ts")).createPlainRenderer,
  rawjson: async () => (await import("./rawjson.ts")).createRawJsonRenderer,
  quiet: async () => (await import("./quiet.ts")).createQuietRenderer,
} satisfies Readonly<
  Record<
    ProgressMode,
    () => Promise<(stream: NodeJS.WriteStream, options: RendererOptions) => Renderer | Promise<Renderer>>
  >
>;

/** The renderer for a mode, loaded when asked for. */
export async function createRenderer(
  mode: ProgressMode,
  stream: NodeJS.WriteStream,
  options: RendererOptions = {},
): Promise<Renderer> {
  const factory = await factories[mode]();
  return factory(stream, options);
}

/** Whether a stream is a terminal: `isTTY` is absent, not false, when it is none. */
export function isTerminal(stream: { readonly isTTY?: boolean }): boolean {
  return stream.isTTY === true;
}

/**
 * The mode behind what the user typed: `auto` (also empty) is `tty` on a terminal and `plain` otherwise.
 * @throws BakeError "usage" for an unknown mode, or for `tty` without a terminal
 */
export function chooseProgressMode(text: string, stream: { readonly isTTY?: boolean }): ProgressMode {
  if (text === "" || text === "auto") return isTerminal(stream) ? "tty" : "plain";
  if (text === "tty" && !isTerminal(stream)) {
    throw new BakeError("usage", `progress mode "tty" needs a terminal`, {
      hint: `use --progress=plain, or leave the choice to --progress=auto`,
    });
  }
  if (text === "tty" || text === "plain" || text === "rawjson" || text === "quiet") return text;
  const modes = ["auto", "plain", "tty", "quiet", "rawjson"];
  throw new BakeError("usage", `invalid progress mode "${text}"`, {
    hint: didYouMean(text, modes) ?? `one of ${modes.join(", ")}`,
  });
}
