// Who waits for which node: users for the identities and results of their inputs, calls of `solve` for their roots; and
// asking ahead of time for what will most likely be needed.
import { identityOf, resultsOf, type EdgeEvent } from "./edge.ts";
import { missingOutput, workerOf, type Failure, type Node, type Waiter } from "./graph.ts";

export interface WaitingOptions<R> {
  readonly dispatch: (node: Node<R>, event: EdgeEvent<R>) => void;
  /** Has `askForInputs` called for the node's attempt of now, after what is queued. */
  readonly queuePrefetch: (node: Node<R>) => void;
  readonly keepGoing: boolean;
  /** Whether anything is asked for ahead of time. */
  readonly prefetches: boolean;
}

export interface Waiting<R> {
  /** Tells `waiter` when the node has what is asked: an identity, or the result `index`. */
  subscribe(node: Node<R>, index: number | undefined, waiter: Waiter<R>): void;
  /** Waits for identities or results of other nodes. With keepGoing a failure is told when all have been tried. */
  join(
    node: Node<R>,
    parts: readonly { readonly node: Node<R>; readonly index?: number }[],
    then: () => EdgeEvent<R> | undefined,
  ): void;
  /** Tells those whom the node's new state concerns. */
  settle(node: Node<R>): void;
  /** Asks a node that starts afresh for what others still wait for. */
  wantAgain(node: Node<R>): void;
  /** Notes that a node, and with it all who wait for it, waits for a step that has to execute. */
  markSlow(node: Node<R>): void;
  /** Asks for the results of a node's inputs ahead of time, unless it has been decided whether they are needed. */
  askForInputs(node: Node<R>, attempt: number): void;
}

export function createWaiting<R>({
  dispatch,
  queuePrefetch,
  keepGoing,
  prefetches,
}: WaitingOptions<R>): Waiting<R> {
  function subscribe(from: Node<R>, index: number | undefined, waiter: Waiter<R>): void {
    const node = workerOf(from);
    const { state } = node;
    if (state.tag === "failed") return waiter.tell(state.error as Failure);
    if (index === undefined) {
      if (identityOf(state) !== undefined) return waiter.tell(undefined);
      node.identityWaiters.push(waiter);
      dispatch(node, { type: "want" });
    } else {
      if (resultsOf(state).has(index)) return waiter.tell(undefined);
      if (state.tag === "complete") return waiter.tell(missingOutput(node, index));
      node.resultWaiters.push({ index, waiter });
      if (node.slow) prefetch(node);
      dispatch(node, { type: "want", index });
    }
    if (node.slow && waiter.owner !== undefined) markSlow(waiter.owner);
  }

  function join(
    node: Node<R>,
    parts: readonly { readonly node: Node<R>; readonly index?: number }[],
    then: () => EdgeEvent<R> | undefined,
  ): void {
    const { attempt } = node;
    let pending = parts.length + 1;
    let failure: Failure | undefined;
    const tell = (partFailure: Failure | undefined): void => {
      if (attempt !== node.attempt || node.state.tag === "failed") return;
      failure ??= partFailure;
      pending--;
      if (failure !== undefined && (pending === 0 || !keepGoing))
        dispatch(node, { type: "failed", error: failure });
      else if (pending === 0) {
        const event = then();
        if (event !== undefined) dispatch(node, event);
      }
    };
    const waiter = { owner: node, tell };
    for (const part of parts) subscribe(part.node, part.index, waiter);
    tell(undefined);
  }

  function settle(node: Node<R>): void {
    const { state, identityWaiters, resultWaiters } = node;
    if (identityWaiters.length > 0) {
      if (state.tag === "failed" || state.tag === "merged" || identityOf(state) !== undefined) {
        node.identityWaiters = [];
        for (const waiter of identityWaiters) subscribe(node, undefined, waiter);
      }
    }
    if (resultWaiters.length === 0) return;
    if (state.tag === "merged" || state.tag === "failed" || state.tag === "complete") {
      node.resultWaiters = [];
      for (const { index, waiter } of resultWaiters) subscribe(node, index, waiter);
      return;
    }
    if (state.tag !== "known" && state.tag !== "loading") return;
    const rest = resultWaiters.filter(({ index }) => !state.results.has(index));
    if (rest.length < resultWaiters.length) {
      node.resultWaiters = rest;
      for (const { index, waiter } of resultWaiters) if (state.results.has(index)) waiter.tell(undefined);
    }
    // Those who asked for a result before there was an identity.
    if (state.tag === "known") for (const { index } of rest) dispatch(node, { type: "want", index });
  }

  function wantAgain(node: Node<R>): void {
    if (node.identityWaiters.length > 0) dispatch(node, { type: "want" });
    for (const { index } of node.resultWaiters) dispatch(node, { type: "want", index });
  }

  // A key that depends on content waits for executions, and while it is unknown nobody knows whether the other inputs
  // of its users will be needed. As something executes anyway, they most likely will: waiting for certainty would run
  // independent stages one after the other. A build that executes nothing is never affected.

  function markSlow(node: Node<R>): void {
    const stack = [node];
    for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
      if (top.slow) continue;
      top.slow = true;
      for (const { owner } of top.identityWaiters) if (owner !== undefined) stack.push(owner);
      for (const { waiter } of top.resultWaiters) if (waiter.owner !== undefined) stack.push(waiter.owner);
      if (top.resultWaiters.length > 0) prefetch(top);
    }
  }

  function prefetch(node: Node<R>): void {
    if (!prefetches || node.prefetched || !UNDECIDED.has(node.state.tag)) return;
    node.prefetched = true;
    // Through the queue, as a chain of prefetches may be longer than the call stack.
    queuePrefetch(node);
  }

  function askForInputs(node: Node<R>, attempt: number): void {
    if (attempt !== node.attempt || !UNDECIDED.has(node.state.tag)) return;
    const tell = (failure: Failure | undefined): void => {
      if (failure === undefined || keepGoing || attempt !== node.attempt || !UNDECIDED.has(node.state.tag))
        return;
      dispatch(node, { type: "failed", error: failure });
    };
    const waiter = { owner: node, tell };
    for (const { node: input, index } of node.inputs) subscribe(input, index, waiter);
  }

  return { subscribe, join, settle, wantAgain, markSlow, askForInputs };
}

/** States in which it is open whether the results of the inputs are needed. */
const UNDECIDED: ReadonlySet<string> = new Set(["mapping", "querying", "reading"]);
