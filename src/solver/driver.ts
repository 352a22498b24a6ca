// The driver of the edge machines: one loop that feeds events to the pure transition of edge.ts and performs what it asks
// for. A vertex works as long as somebody claims it; equal keys are worked on once.
import { BakeError, invariant } from "../diagnostic/error.ts";
import type { Digest } from "../oci/digest.ts";
import type { Emit } from "../progress/event.ts";
import { announceCached } from "./announce.ts";
import type { Calls } from "./calls.ts";
import { isIdle, recordOf, step, type EdgeEvent, type EdgeRequest } from "./edge.ts";
import {
  circular,
  hasMovingNested,
  inputAt,
  keyedInputs,
  waitsFor,
  workerOf,
  type Failure,
  type Node,
  type Waiter,
} from "./graph.ts";
import type { CacheKey, CacheRecord, Clock } from "./op.ts";
import type { Optimization } from "./optimization.ts";
import { createWaiting } from "./waiting.ts";

export interface DriverOptions<R> {
  readonly calls: Calls<R>;
  readonly clock: Clock;
  readonly emit: Emit;
  /** See `SolveOptions`. */
  readonly nonce: string;
  readonly keepGoing: boolean;
  readonly without: ReadonlySet<Optimization>;
}

export interface Driver<R> {
  /** Tells a waiter when a node, which must be claimed, has what is asked: an identity, or a result. */
  subscribe(node: Node<R>, index: number | undefined, waiter: Waiter<R>): void;
  /**
   * Notes that the op of a node that executes waits for `roots`.
   * @throws BakeError "llb-invalid" when they wait for it
   */
  nest(owner: Node<R>, roots: readonly Node<R>[]): void;
  /** Counts one more who needs the node. Each claim is to be given up once. */
  claim(node: Node<R>): void;
  /** Gives up a claim. Without any, work on the node stops, and its inputs are given up. */
  unclaim(node: Node<R>): void;
  /** Settles when nothing that was given up runs any more. */
  unwound(): Promise<void>;
}

/** Something to do: an event for a node, asking for its inputs ahead of time, or giving them up when it needs none. */
interface Item<R> {
  readonly node: Node<R>;
  readonly event: EdgeEvent<R> | "prefetch" | "rest";
  readonly attempt: number;
}

export function createDriver<R>({
  calls,
  clock,
  emit,
  nonce,
  keepGoing,
  without,
}: DriverOptions<R>): Driver<R> {
  const holders = new Map<Digest, Node<R>>();
  /** Nodes that nobody wants and whose calls have not ended yet, with whom to tell. */
  const unwinding = new Map<Node<R>, (() => void)[]>();
  const queue: Item<R>[] = [];
  let pumping = false;
  /** Whether any op has asked for more while it executes: only then can vertices wait for each other in a circle. */
  let nesting = false;
  const announcer = { emit, clock };
  const waiting = createWaiting<R>({
    dispatch,
    queuePrefetch: node => enqueue({ node, event: "prefetch", attempt: node.attempt }),
    keepGoing,
    prefetches: !without.has("ahead"),
  });

  // ---- the loop

  function dispatch(node: Node<R>, event: EdgeEvent<R>): void {
    enqueue({ node, event, attempt: node.attempt });
  }

  function enqueue(item: Item<R>): void {
    queue.push(item);
    if (pumping) return;
    pumping = true;
    try {
      for (let i = 0; i < queue.length; i++) {
        const { node, event, attempt } = queue[i] ?? item;
        if (event === "prefetch") waiting.askForInputs(node, attempt);
        else if (event === "rest") rest(node);
        else advance(node, event, attempt);
      }
    } finally {
      queue.length = 0;
      pumping = false;
    }
  }

  function advance(node: Node<R>, event: EdgeEvent<R>, attempt: number): void {
    if (attempt !== node.attempt && !OUTLIVES_ABORT.has(event.type)) return;
    if (event.type === "want" && node.claims === 0) return;
    if (event.type === "executed" || event.type === "found") node.voided = false;
    const before = node.state;
    const { state, requests } = step({ forced: node.forced, nonce }, before, event);
    node.state = state;
    if (state !== before) {
      if (!isIdle(state) && !node.holding) hold(node);
      if (state.tag === "merged") merge(node, state.key);
      if (state.tag === "known" && (before.tag === "loading" || event.type === "found"))
        announceCached(node, announcer);
      if (state.tag === "complete") for (const twin of node.twins) announceCached(twin, announcer);
      if (state.tag === "complete" || before.tag === "querying")
        for (const twin of node.twins) linkTwin(twin, node);
      waiting.settle(node);
    }
    if (node.claims === 0 && state.tag === "gathering") dispatch(node, { type: "abandoned" });
    else for (const request of requests) perform(node, request);
    if (event.type === "abandoned") {
      node.slow = node.prefetched = false;
      waiting.wantAgain(node);
    }
    releaseKey(node);
    // Later, as a result may be wanted at once: giving up the inputs in between would abort them.
    if (isIdle(node.state) && node.holding) enqueue({ node, event: "rest", attempt: node.attempt });
  }

  function perform(node: Node<R>, request: EdgeRequest): void {
    switch (request.type) {
      case "map":
        return mapNode(node);
      case "identify":
        return waiting.join(
          node,
          node.inputs.map(input => ({ node: input.node })),
          () => ({ type: "identified", inputs: keyedInputs(node) }),
        );
      case "query":
        return queryKey(node, request.key, request.ask);
      case "read":
        return waiting.join(
          node,
          request.inputs.map(i => inputAt(node, i)),
          () => {
            track(node, calls.readContents(node, request.inputs), contents => ({
              type: "read",
              contents,
              inputs: keyedInputs(node),
            }));
            return undefined;
          },
        );
      case "link":
        return link(node, request.key, request.record);
      case "load":
        return track(node, calls.load(request.record, request.index), result => ({
          type: "loaded",
          index: request.index,
          result,
        }));
      case "gather":
        if (node.vertex.op.pool !== "free") waiting.markSlow(node);
        // Its inputs may be refused before it is its turn.
        if (calls.isRefused(node)) track(node, calls.explain(node), () => undefined);
        if (nesting && node.inputs.some(input => waitsFor(input.node, node)))
          return fail(node, circular(node));
        return waiting.join(node, node.inputs, () => ({ type: "gathered" }));
      case "execute":
        node.nested.length = 0;
        return track(node, calls.execute(node), done => {
          if (done.tag === "found") return { type: "found", ...done.found };
          return {
            type: "executed",
            outputs: done.outputs,
            inputs: keyedInputs(node),
            ...(hasMovingNested(node) && { unkept: true }),
          };
        });
      case "check":
        return track(node, calls.unchanged(node, request.inputs), same => ({
          type: "checked",
          same,
          inputs: keyedInputs(node),
        }));
      case "save":
        return track(node, calls.save(node, request.keys, request.names), record => ({
          type: "saved",
          record,
        }));
      default: {
        const never: never = request;
        return never;
      }
    }
  }

  /** Follows a call made for a node; its answer becomes an event. Failures are the node's. */
  function track<T>(node: Node<R>, call: Promise<T>, answer: (value: T) => EdgeEvent<R> | undefined): void {
    const { attempt } = node;
    node.running++;
    if (node.claims === 0 && !unwinding.has(node)) unwinding.set(node, []);
    const ended = (event: EdgeEvent<R> | undefined): void => {
      node.running--;
      if (event !== undefined && (attempt === node.attempt || OUTLIVES_ABORT.has(event.type)))
        dispatch(node, event);
      if (node.running > 0) return;
      releaseKey(node);
      const leavers = unwinding.get(node);
      unwinding.delete(node);
      // Told before it starts again for others who want it: those who left do not wait for that.
      for (const tell of leavers ?? []) tell();
      if (!node.voided) return;
      node.voided = false;
      dispatch(node, { type: "abandoned" });
    };
    call.then(
      value => ended(answer(value)),
      (error: unknown) => ended(failed(node, error, attempt)),
    );
  }

  function fail(node: Node<R>, error: BakeError): void {
    const event = failed(node, error, node.attempt);
    if (event !== undefined) dispatch(node, event);
  }

  /** Others who want the same wait until it has been saved, or will not be. */
  function releaseKey(node: Node<R>): void {
    if (node.heldKey === undefined || !isIdle(node.state)) return;
    node.heldKey.release();
    node.heldKey = undefined;
  }

  function failed(node: Node<R>, error: unknown, attempt: number): EdgeEvent<R> | undefined {
    const { digest: vertex, name, explainError } = node.vertex;
    const { started } = node;
    node.started = false;
    if (attempt !== node.attempt || node.state.tag === "failed") {
      if (started) emit({ type: "canceled", id: vertex, at: clock.now() });
      return undefined;
    }
    const told = explainError === undefined ? error : explainError(error);
    emit({ type: "failed", id: vertex, at: clock.now(), message: BakeError.from(told).message });
    node.shown = "ran";
    return { type: "failed", error: { vertex, name, error: told } satisfies Failure };
  }

  // ---- claims: who still wants what

  function claim(node: Node<R>): void {
    // Only the step from none to one concerns the node it was merged into.
    for (let at: Node<R> | undefined = node; at !== undefined; at = at.into) if (at.claims++ > 0) return;
  }

  function unclaim(node: Node<R>): void {
    for (let at: Node<R> | undefined = node; at !== undefined; at = at.into) {
      at.claims--;
      invariant(at.claims >= 0, "BUG: a vertex was given up twice");
      if (at.claims > 0) return;
      unwanted(at);
    }
  }

  function unwanted(node: Node<R>): void {
    node.identityWaiters = [];
    node.resultWaiters = [];
    if (node.running > 0 && !unwinding.has(node)) unwinding.set(node, []);
    if (node.state.tag === "failed") node.abort?.abort();
    if (!ABORTABLE.has(node.state.tag)) return;
    node.attempt++;
    if (node.running === 0) return dispatch(node, { type: "abandoned" });
    node.voided = true;
    node.abort?.abort();
    node.abort = undefined;
  }

  function hold(node: Node<R>): void {
    node.holding = true;
    for (const input of node.inputs) claim(input.node);
  }

  function rest(node: Node<R>): void {
    if (!isIdle(node.state) || !node.holding) return;
    node.holding = false;
    for (const input of node.inputs) unclaim(input.node);
  }

  /** Settles when nothing that was given up runs any more. */
  async function unwound(): Promise<void> {
    // A vertex gives up its inputs only when its own calls have ended, so there may be more after the first.
    while (unwinding.size > 0) {
      await Promise.all(
        [...unwinding.values()].map(leavers => new Promise<void>(resolve => void leavers.push(resolve))),
      );
    }
  }

  // ---- keys

  function mapNode(node: Node<R>): void {
    const { map } = node;
    if (map !== undefined) return dispatch(node, { type: "mapped", map });
    track(node, calls.cacheMap(node), found => {
      node.map = found;
      return { type: "mapped", map: found };
    });
  }

  function queryKey(node: Node<R>, key: CacheKey, ask: boolean): void {
    const holder = without.has("merge") ? undefined : holders.get(key.digest);
    const worker = holder && workerOf(holder);
    if (worker !== undefined && worker !== node) {
      // Waiting for one that waits for it would be for ever: it does the work once more.
      if (!(nesting && waitsFor(worker, node))) return dispatch(node, { type: "merged", key: key.digest });
    } else holders.set(key.digest, node);
    if (!ask) return dispatch(node, { type: "queried", record: undefined });
    track(node, calls.query(key.digest), answer => ({ type: "queried", ...answer }));
  }

  function merge(node: Node<R>, key: Digest): void {
    const holder = holders.get(key);
    invariant(holder !== undefined && workerOf(holder) !== node, "BUG: a vertex was merged into nothing");
    const worker = workerOf(holder);
    node.into = worker;
    worker.twins.push(node);
    if (node.claims > 0) claim(worker);
    if (worker.shown !== "step") announceCached(node, announcer);
    linkTwin(node, worker);
  }

  /** Lets the definition key of a merged vertex find the record at once next time. */
  function linkTwin(twin: Node<R>, { state }: Node<R>): void {
    if (twin.state.tag !== "merged" || twin.state.definition === undefined) return;
    const { definition } = twin.state;
    const record = recordOf(state);
    if (record === undefined) return;
    link(twin, definition, record);
  }

  function link(node: Node<R>, key: CacheKey, record: CacheRecord): void {
    if (!without.has("link")) track(node, calls.link(key, record), () => undefined);
  }

  /** @throws BakeError when one of `roots` waits for the owner */
  function nest(owner: Node<R>, roots: readonly Node<R>[]): void {
    if (roots.some(root => waitsFor(root, owner))) throw circular(owner);
    nesting = true;
    owner.nested.push(...roots);
  }

  return {
    nest,
    subscribe: (node, index, waiter) => waiting.subscribe(node, index, waiter),
    claim,
    unclaim,
    unwound,
  };
}

/** Answers that count although their vertex was given up: what they bring exists. */
const OUTLIVES_ABORT: ReadonlySet<EdgeEvent<unknown>["type"]> = new Set([
  "executed",
  "found",
  "loaded",
  "checked",
  "saved",
  "want",
  "abandoned",
]);

/** States in which nothing is lost when work stops. */
const ABORTABLE: ReadonlySet<string> = new Set(["mapping", "querying", "reading", "gathering", "executing"]);
