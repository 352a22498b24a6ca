// Progress on a terminal: listr2 paints the frames (cursor, erasing, cropping), frame.ts says what is in them.
import type { ListrDefaultRendererOptions } from "listr2";
import { endReport } from "./endreport.ts";
import { drawFrame } from "./frame.ts";
import type { Renderer, RendererOptions } from "./renderer.ts";
import { createSteps } from "./steps.ts";

const FRAME_INTERVAL_MS = 100;
const DEFAULT_COLUMNS = 80;
const DEFAULT_ROWS = 24;

export async function createTtyRenderer(
  stream: NodeJS.WriteStream,
  options: RendererOptions = {},
): Promise<Renderer> {
  const { DefaultRenderer, Listr, ListrLogger, ProcessOutput } = await import("listr2");
  const { color = true } = options;
  const steps = createSteps(options);
  const draw = (last: boolean): string =>
    drawFrame(steps, {
      columns: stream.columns || DEFAULT_COLUMNS,
      rows: stream.rows || DEFAULT_ROWS,
      now: Date.now(),
      color,
      last,
    }).join("\n");

  class StepsRenderer extends DefaultRenderer {
    // Whether there is a terminal was asked of the right stream already; listr2 would ask standard output.
    static override nonTTY = true;
    #ended = false;
    override create(): string {
      return draw(this.#ended);
    }
    override end(): void {
      this.#ended = true;
      super.end();
    }
  }

  // Both are the stream of progress: standard output belongs to the results.
  const output = new ProcessOutput(stream, stream);
  const logger = new ListrLogger({ processOutput: output });
  let finish = (): void => undefined;
  const finished = new Promise<void>(resolve => (finish = resolve));
  let refresh = (): void => undefined;
  const rendererOptions: ListrDefaultRendererOptions & { logger: typeof logger } = { lazy: true, logger };
  const list = new Listr(
    [
      {
        title: "build",
        task: (_context, task) => {
          refresh = () => void (task.title = "build");
          return finished;
        },
      },
    ],
    { renderer: StepsRenderer, rendererOptions, registerSignalListeners: false, concurrent: true },
  );
  const painting = list.run();
  const ticker = setInterval(() => refresh(), FRAME_INTERVAL_MS);
  ticker.unref();
  return {
    emit: event => void steps.fold(event),
    async close() {
      clearInterval(ticker);
      finish();
      await painting;
      stream.write(endReport(steps, { color, terminal: true }));
    },
  };
}
