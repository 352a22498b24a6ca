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
 * now. Inputs are told before their users. Each node is visited once.
 */
export function announceCached<R>(node: Node<R>, { emit, clock }: Announcer): void {
  const at = clock.now();
  const say = (cached: Node<R>): void => {
    if (cached.shown !== "step") return;
    cached.shown = "cached";
    emit({ type: "cached", id: cached.vertex.digest, at });
  };
  // A stack of our own: chains are longer than the call stack is deep.
  const stack: Visit<R>[] = [{ node, told: true, leaving: false }];
  for (let visit = stack.pop(); visit !== undefined; visit = stack.pop()) {
    const { node: top, told } = visit;
    if (visit.leaving || top.chained) {
      if (told) say(top);
      continue;
    }
    top.chained = true;
    stack.push({ node: top, told, leaving: true });
    for (const twin of top.twins) stack.push({ node: twin, told: true, leaving: false });
    for (const { node: input } of top.inputs) {
      const worker = workerOf(input);
      const { state } = worker;
      if (state.tag !== "known" || worker.resultWaiters.length > 0) continue;
      const hasRecord = state.record !== undefined;
      stack.push({ node: worker, told: hasRecord, leaving: false });
      if (input !== worker) stack.push({ node: input, told: hasRecord, leaving: false });
    }
  }
}

interface Visit<R> {
  readonly node: Node<R>;
  /** Whether the node is to be announced, not only passed on the way to its inputs. */
  readonly told: boolean;
  readonly leaving: boolean;
}
