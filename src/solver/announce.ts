// Telling the user that steps came from the cache: a step whose result was used, and the chain below it that for this
// reason nobody had to look at.
import type { Emit } from "../progress/event.ts";
import { workerOf, type Node } from "./graph.ts";
import type { Clock } from "./op.ts";

export interface Announcer {
  readonly emit: Emit;
  readonly clock: Clock;
}

/**
 * Announces a node as cached, and with it the inputs that have a record of their own and whose results nobody wants
 * now. Each node is visited once.
 */
export function announceCached<R>(node: Node<R>, { emit, clock }: Announcer): void {
  const at = clock.now();
  const say = (cached: Node<R>): void => {
    if (cached.shown !== "step") return;
    cached.shown = "cached";
    emit({ type: "cached", id: cached.vertex.digest, at });
  };
  say(node);
  const stack = [node];
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    if (top.chained) continue;
    top.chained = true;
    for (const twin of top.twins) {
      say(twin);
      stack.push(twin);
    }
    for (const { node: input } of top.inputs) {
      const worker = workerOf(input);
      const { state } = worker;
      if (state.tag !== "known" || worker.resultWaiters.length > 0) continue;
      if (state.record !== undefined) {
        say(worker);
        say(input);
      }
      stack.push(worker);
      if (input !== worker) stack.push(input);
    }
  }
}
