// The choice among renderers, each loaded when it is asked for.
import { BakeError } from "../diagnostic/error.ts";
import { didYouMean } from "../diagnostic/suggest.ts";
import { isTerminal, type Renderer, type RendererOptions } from "./renderer.ts";

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
