// No progress: only the last output of failed steps, without which an error could not be understood.
import { endReport } from "./endreport.ts";
import { isTerminal, type Renderer, type RendererOptions } from "./renderer.ts";
import { createSteps } from "./steps.ts";

export function createQuietRenderer(stream: NodeJS.WriteStream, options: RendererOptions = {}): Renderer {
  const steps = createSteps(options);
  return {
    emit: event => void steps.fold(event),
    close() {
      const report = endReport(
        { ...steps, warnings: [] },
        { color: options.color ?? isTerminal(stream), terminal: isTerminal(stream) },
      );
      if (report !== "") stream.write(report);
      return Promise.resolve();
    },
  };
}
