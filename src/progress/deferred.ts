// Progress that is kept until it is certain that it is to be shown.
import type { ProgressEvent } from "./event.ts";
import type { Renderer } from "./renderer.ts";

export interface DeferredRenderer extends Renderer {
  /** What came so far, in order. */
  readonly events: readonly ProgressEvent[];
}

export function createDeferredRenderer(): DeferredRenderer {
  const events: ProgressEvent[] = [];
  return { events, emit: event => void events.push(event), close: () => Promise.resolve() };
}
