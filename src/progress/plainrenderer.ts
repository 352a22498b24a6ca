// Plain progress with a clock: events that arrive together are printed together, so that short steps do not interrupt
// one another's output.
import { createPlainPrinter } from "./plain.ts";
import { isTerminal, type Renderer, type RendererOptions } from "./renderer.ts";

const PRINT_INTERVAL_MS = 100;

export function createPlainRenderer(stream: NodeJS.WriteStream, options: RendererOptions = {}): Renderer {
  const printer = createPlainPrinter(text => void stream.write(text), {
    color: isTerminal(stream),
    ...options,
    terminal: isTerminal(stream),
  });
  const ticker = setInterval(() => printer.print(Date.now()), PRINT_INTERVAL_MS);
  // Progress alone is no reason to keep the process alive.
  ticker.unref();
  return {
    emit: event => printer.update(event),
    close() {
      clearInterval(ticker);
      printer.close(Date.now());
      return Promise.resolve();
    },
  };
}
