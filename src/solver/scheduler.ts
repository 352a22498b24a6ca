// The solver: one loop that feeds events to the pure transition of edge.ts and performs what it asks for. All targets
// share one graph; a vertex works as long as somebody claims it.
import { BakeError, invariant } from "../diagnostic/error.ts";
import type { Digest } from "../oci/digest.ts";
import type { Emit } from "../progress/event.ts";
import { announceCached } from "./announce.ts";
import { identityOf, isIdle, recordOf, resultsOf, step, type EdgeEvent, type EdgeRequest } from "./edge.ts";
import { isNotable, reasonToExecute } from "./explain.ts";
import {
  createGraph,
  keyedInputs,
  resultOf,
  workerOf,
  type Failure,
  type Node,
  type Waiter,
} from "./graph.ts";
import { createHints } from "./hints.ts";
import type { CacheKey, CacheRecord, CacheStore, Clock, ContentKey, Edge, OpContext, Release } from "./op.ts";
import type { Pools } from "./pools.ts";
import { createSignalHub } from "./signalhub.ts";
import { verdictOf, type StepVerdict } from "./verdict.ts";

export interface SolveOptions<R> {
  readonly store: CacheStore<R>;
  readonly clock: Clock;
  readonly emit: Emit;
  /** Stops everything this solver does. */
  readonly signal: AbortSignal;
  readonly release: Release<R>;
  readonly pools: Pools;
  /** Any text no other run uses. Results of forced steps (`ignoreCache`) are keyed by it. */
  readonly nonce: string;
  /** Go on with what does not depend on a failed step. Default false. */
  readonly keepGoing?: boolean;
  /**
   * Whether steps may execute now; those that may not fail with "cache-miss" and their reason. Steps that read something
   * anew in every build always may. Default: always.
   */
  readonly mayExecute?: () => boolean;
  /** Names of the targets that want a vertex, for "step" events. */
  readonly targetsOf?: (vertex: Digest) => readonly string[];
}

/** The graph and the results of one build session. Disposing it releases every result it gave out. */
export interface Solver<R> extends AsyncDisposable {
  /**
   * Brings results of `edges`, in order; they stay valid until the solver is disposed. May be called again, also while
   * another call runs: equal vertices are shared. The signal ends this call only; work that no other call wants is
   * aborted and awaited.
   * @throws BakeError of the first step that failed, or "interrupted"
   */
  solve(edges: readonly Edge<R>[], signal: AbortSignal): Promise<readonly R[]>;
  /** As `solve`, with an outcome for each edge instead of throwing. Without `keepGoing` one failure cancels the rest. */
  solveEach(edges: readonly Edge<R>[], signal: AbortSignal): Promise<readonly Outcome<R>[]>;
  /** Why a vertex was executed, in a line; undefined when it was not. */
  reasonOf(vertex: Digest): string | undefined;
  /** What has become of every step so far, inputs before users. */
  verdicts(): readonly StepVerdict[];
}

export type Outcome<R> =
  | { readonly tag: "solved"; readonly result: R }
  | { readonly tag: "failed"; readonly failure: Failure }
  | { readonly tag: "canceled"; readonly error: BakeError };

/** Something to do: an event for a node, asking for its inputs ahead of time, or giving them up when it needs none. */
interface Item<R> {
  readonly node: Node<R>;
  readonly event: EdgeEvent<R> | "prefetch" | "rest";
  readonly attempt: number;
}

export function createSolver<R>(options: SolveOptions<R>): Solver<R> {
  const { store, clock, emit, release, pools, nonce, keepGoing = false, mayExecute, targetsOf } = options;
  const hints = createHints(store);
  const graph = createGraph<R>();
  const acquired: R[] = [];
  const holders = new Map<Digest, Node<R>>();
  /** How to cancel each call under way. */
  const jobs = new Set<(error: BakeError) => void>();
  /** Nodes that nobody wants and whose calls have not ended yet, with whom to tell. */
  const unwinding = new Map<Node<R>, (() => void)[]>();
  const signalHub = createSignalHub();
  const queue: Item<R>[] = [];
  const calls = new Set<Promise<unknown>>();
  let pumping = false;
  let closed: Promise<void> | undefined;

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
        if (event === "prefetch") askForInputs(node, attempt);
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
    if (event.type === "executed") node.voided = false;
    const before = node.state;
    const { state, requests } = step({ forced: node.forced, nonce }, before, event);
    node.state = state;
    if (state !== before) {
      if (!isIdle(state) && !node.holding) hold(node);
      if (state.tag === "merged") merge(node, state.key);
      if (state.tag === "known" && before.tag === "loading") announceCached(node, announcer);
      if (state.tag === "complete") for (const twin of node.twins) announceCached(twin, announcer);
      if (state.tag === "complete" || before.tag === "querying")
        for (const twin of node.twins) linkTwin(twin, node);
      settle(node);
    }
    if (node.claims === 0 && state.tag === "gathering") dispatch(node, { type: "abandoned" });
    else for (const request of requests) perform(node, request);
    if (event.type === "abandoned") {
      node.slow = node.prefetched = false;
      wantAgain(node);
    }
    // Later, as a result may be wanted at once: giving up the inputs in between would abort them.
    if (isIdle(node.state) && node.holding) enqueue({ node, event: "rest", attempt: node.attempt });
  }

  function perform(node: Node<R>, request: EdgeRequest): void {
    switch (request.type) {
      case "map":
        return mapNode(node);
      case "identify":
        return join(
          node,
          node.inputs.map(input => ({ node: input.node })),
          () => ({ type: "identified", inputs: keyedInputs(node) }),
        );
      case "query":
        return queryKey(node, request.key, request.ask);
      case "read":
        return join(
          node,
          request.inputs.map(i => inputAt(node, i)),
          () => {
            track(node, readContents(node, request.inputs), contents => ({
              type: "read",
              contents,
              inputs: keyedInputs(node),
            }));
            return undefined;
          },
        );
      case "link":
        return track(node, hints.link(request.key, request.record), () => undefined);
      case "load":
        return track(node, loadResult(request.record, request.index), result => ({
          type: "loaded",
          index: request.index,
          result,
        }));
      case "gather":
        if (node.vertex.op.pool !== "free") markSlow(node);
        // Its inputs may be refused before it is its turn.
        if (isRefused(node)) track(node, explain(node), () => undefined);
        return join(node, node.inputs, () => ({ type: "gathered" }));
      case "execute":
        return execute(node);
      case "check":
        return track(node, unchanged(node, request.inputs), same => ({
          type: "checked",
          same,
          inputs: keyedInputs(node),
        }));
      case "save":
        return track(node, saveResults(node, request.keys, request.names), record => ({
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
      const waiting = unwinding.get(node);
      unwinding.delete(node);
      // Told before it starts again for others who want it: those who left do not wait for that.
      for (const tell of waiting ?? []) tell();
      if (!node.voided) return;
      node.voided = false;
      dispatch(node, { type: "abandoned" });
    };
    call.then(
      value => ended(answer(value)),
      (error: unknown) => ended(failed(node, error, attempt)),
    );
  }

  function failed(node: Node<R>, error: unknown, attempt: number): EdgeEvent<R> | undefined {
    if (attempt !== node.attempt || node.state.tag === "failed") return undefined;
    emit({ type: "failed", id: node.vertex.digest, at: clock.now(), message: BakeError.from(error).message });
    node.shown = "ran";
    return {
      type: "failed",
      error: { vertex: node.vertex.digest, name: node.vertex.name, error } satisfies Failure,
    };
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

  // ---- waiting for other nodes

  /** Tells `waiter` when the node has what is asked: an identity, or the result `index`. */
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

  /** Waits for identities or results of other nodes. With keepGoing a failure is told when all have been tried. */
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
    if (node.prefetched || !UNDECIDED.has(node.state.tag)) return;
    node.prefetched = true;
    // Through the queue, as a chain of prefetches may be longer than the call stack.
    enqueue({ node, event: "prefetch", attempt: node.attempt });
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

  /** Tells those whom the node's new state concerns. */
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

  // ---- keys

  function mapNode(node: Node<R>): void {
    const { map } = node;
    if (map !== undefined) return dispatch(node, { type: "mapped", map });
    track(
      node,
      promised(() => node.vertex.op.cacheMap(contextOf(node))),
      found => {
        node.map = found;
        return { type: "mapped", map: found };
      },
    );
  }

  function queryKey(node: Node<R>, key: CacheKey, ask: boolean): void {
    const holder = holders.get(key.digest);
    if (holder !== undefined && workerOf(holder) !== node)
      return dispatch(node, { type: "merged", key: key.digest });
    holders.set(key.digest, node);
    if (!ask) return dispatch(node, { type: "queried", record: undefined });
    track(node, hints.query(key.digest), answer => ({ type: "queried", ...answer }));
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

  async function readContents(
    node: Node<R>,
    inputs: readonly number[],
  ): Promise<readonly (ContentKey | undefined)[]> {
    const contents: (ContentKey | undefined)[] = node.inputs.map(() => undefined);
    await Promise.all(inputs.map(async i => void (contents[i] = await contentKey(node, i))));
    return contents;
  }

  async function contentKey(node: Node<R>, i: number): Promise<ContentKey | undefined> {
    return node.map?.inputs[i]?.contentKey?.(inputResult(node, i), contextOf(node));
  }

  async function unchanged(node: Node<R>, inputs: readonly number[]): Promise<boolean> {
    const { state } = node;
    const known = state.tag === "checking" ? state.run.keying.contents : undefined;
    try {
      const now = await Promise.all(inputs.map(i => contentKey(node, i)));
      return inputs.every((i, at) => now[at] !== undefined && now[at].digest === known?.[i]?.digest);
    } catch {
      return false;
    }
  }

  // ---- results

  async function loadResult(record: CacheRecord, index: number): Promise<R | undefined> {
    const result = await hints.load(record, index);
    if (result !== undefined) acquired.push(result);
    return result;
  }

  function isRefused({ map }: Node<R>): boolean {
    return mayExecute !== undefined && map?.volatile !== true && !mayExecute();
  }

  async function refusal(node: Node<R>): Promise<never> {
    const reason = await explain(node);
    throw new BakeError(
      "cache-miss",
      `step ${JSON.stringify(node.vertex.name)} is not in the cache: ${reason}`,
    );
  }

  /** Finds out and tells why a node that has to execute does so. */
  async function explain(node: Node<R>): Promise<string> {
    const { state, vertex } = node;
    invariant(state.tag === "gathering" || state.tag === "executing", "BUG: nothing to explain");
    const inputs = vertex.inputs.map(input => input.vertex.name);
    const previous = (): ReturnType<typeof hints.previousParts> => hints.previousParts(vertex);
    const reason = await reasonToExecute({ run: state.run, inputs, previous });
    const known = node.reason === reason.text;
    node.reason = reason.text;
    if (!known) emit({ type: "reason", id: vertex.digest, text: reason.text, notable: isNotable(reason) });
    return reason.text;
  }

  function execute(node: Node<R>): void {
    if (isRefused(node)) return track(node, refusal(node), () => undefined);
    const { vertex } = node;
    const { attempt, state } = node;
    invariant(state.tag === "executing", "BUG: a vertex executes out of turn");
    const context = contextOf(node);
    const id = vertex.digest;
    let started = false;
    const work = async (): Promise<ReadonlyMap<number, R>> => {
      started = true;
      node.shown = "ran";
      emit({ type: "started", id, at: clock.now() });
      const noted = explain(node);
      const inputs = vertex.inputs.map((_, i) => inputResult(node, i));
      let results: readonly (R | undefined)[];
      try {
        results = await vertex.op.exec(inputs, context);
      } finally {
        // Nothing may still use the store when the step is over.
        await noted;
      }
      const outputs = new Map<number, R>();
      for (const [index, result] of results.entries()) {
        if (result === undefined) continue;
        acquired.push(result);
        outputs.set(index, result);
      }
      emit({ type: "done", id, at: clock.now() });
      return outputs;
    };
    const slot = pools.run(vertex.op.pool ?? "cpu", work, {
      signal: context.signal,
      priority: node.priority,
    });
    const reported = slot.catch((error: unknown) => {
      if (started && attempt !== node.attempt) emit({ type: "canceled", id, at: clock.now() });
      throw error;
    });
    track(node, reported, outputs => ({ type: "executed", outputs, inputs: keyedInputs(node) }));
  }

  function saveResults(
    node: Node<R>,
    keys: readonly CacheKey[],
    names: readonly CacheKey[],
  ): Promise<CacheRecord | undefined> {
    const { state, vertex } = node;
    invariant(state.tag === "saving", "BUG: a vertex is saved out of turn");
    const results: (R | undefined)[] = [];
    for (const [index, result] of state.outputs) results[index] = result;
    return hints.save(keys, names, vertex, Array.from(results));
  }

  /** Lets the definition key of a merged vertex find the record at once next time. */
  function linkTwin(twin: Node<R>, { state }: Node<R>): void {
    if (twin.state.tag !== "merged" || twin.state.definition === undefined) return;
    const { definition } = twin.state;
    const record = recordOf(state);
    if (record === undefined) return;
    track(twin, hints.link(definition, record), () => undefined);
  }

  function inputResult(node: Node<R>, i: number): R {
    const input = inputAt(node, i);
    const result = resultOf(input.node, input.index);
    invariant(result !== undefined, "BUG: the result of an input is missing");
    return result;
  }

  function contextOf(node: Node<R>): OpContext {
    node.abort ??= new AbortController();
    return { signal: node.abort.signal, emit };
  }

  const announcer = { emit, clock };

  // ---- jobs

  async function solveEach(edges: readonly Edge<R>[], signal: AbortSignal): Promise<readonly Outcome<R>[]> {
    for (const aborted of [options.signal, signal])
      if (aborted.aborted) return edges.map(() => canceled(abortError(aborted)));
    if (closed !== undefined)
      return edges.map(() => canceled(new BakeError("interrupted", "the build is over")));
    for (const { vertex } of graph.add(edges)) {
      const targets = targetsOf?.(vertex.digest);
      const inputs = [...new Set(vertex.inputs.map(input => input.vertex.digest))];
      emit({ type: "step", id: vertex.digest, name: vertex.name, inputs, ...(targets && { targets }) });
    }
    const roots = edges.map(({ vertex, index }) => {
      const node = graph.node(vertex.digest);
      invariant(node !== undefined, "BUG: a root is not in the graph");
      claim(node);
      return { node, index };
    });
    const call = runJob(roots, signal).then(async outcomes => {
      for (const { node } of roots) unclaim(node);
      await unwound();
      return outcomes;
    });
    calls.add(call);
    try {
      return await call;
    } finally {
      calls.delete(call);
    }
  }

  function runJob(
    roots: readonly { readonly node: Node<R>; readonly index: number }[],
    signal: AbortSignal,
  ): Promise<readonly Outcome<R>[]> {
    return new Promise(resolve => {
      const outcomes: (Outcome<R> | undefined)[] = roots.map(() => undefined);
      let pending = roots.length + 1;
      let over = false;
      const finish = (error: BakeError | undefined): void => {
        if (over) return;
        over = true;
        jobs.delete(finish);
        stopListening();
        resolve(
          outcomes.map(
            outcome =>
              outcome ??
              canceled(error ?? new BakeError("interrupted", "canceled because another step failed")),
          ),
        );
      };
      jobs.add(finish);
      const stopListening = signalHub.listen([options.signal, signal], aborted =>
        finish(abortError(aborted)),
      );
      const one = (): void => {
        if (--pending === 0) finish(undefined);
      };
      for (const [i, { node, index }] of roots.entries()) {
        const tell = (failure: Failure | undefined): void => {
          if (over) return;
          const result = failure === undefined ? resultOf(node, index) : undefined;
          if (result !== undefined) outcomes[i] = { tag: "solved", result };
          else outcomes[i] = { tag: "failed", failure: failure ?? missingOutput(node, index) };
          if (failure !== undefined && !keepGoing) finish(undefined);
          else one();
        };
        subscribe(node, index, { owner: undefined, tell });
      }
      one();
    });
  }

  /** Settles when nothing that was given up runs any more. */
  async function unwound(): Promise<void> {
    // A vertex gives up its inputs only when its own calls have ended, so there may be more after the first.
    while (unwinding.size > 0) {
      await Promise.all(
        [...unwinding.values()].map(waiting => new Promise<void>(resolve => void waiting.push(resolve))),
      );
    }
  }

  async function close(): Promise<void> {
    for (const cancel of [...jobs]) cancel(new BakeError("interrupted", "the build is over"));
    await Promise.allSettled(calls);
    await unwound();
    const released = await Promise.allSettled(acquired.splice(0).map(result => release(result)));
    for (const one of released) if (one.status === "rejected") throw BakeError.from(one.reason);
  }

  return {
    solveEach,
    async solve(edges, signal) {
      const outcomes = await solveEach(edges, signal);
      const failure = outcomes.find(outcome => outcome.tag === "failed");
      if (failure !== undefined) throw BakeError.from(failure.failure.error);
      return outcomes.map(outcome => {
        if (outcome.tag === "solved") return outcome.result;
        throw outcome.tag === "canceled" ? outcome.error : BakeError.from(outcome.failure.error);
      });
    },
    reasonOf: vertex => graph.node(vertex)?.reason,
    verdicts: () => graph.all().map(verdictOf),
    [Symbol.asyncDispose]: () => (closed ??= close()),
  };
}

/** Answers that count although their vertex was given up: what they bring exists. */
const OUTLIVES_ABORT: ReadonlySet<EdgeEvent<unknown>["type"]> = new Set([
  "executed",
  "loaded",
  "checked",
  "saved",
  "want",
  "abandoned",
]);

/** States in which it is open whether the results of the inputs are needed. */
const UNDECIDED: ReadonlySet<string> = new Set(["mapping", "querying", "reading"]);

/** States in which nothing is lost when work stops. */
const ABORTABLE: ReadonlySet<string> = new Set(["mapping", "querying", "reading", "gathering", "executing"]);

function inputAt<R>(node: Node<R>, i: number): { readonly node: Node<R>; readonly index: number } {
  const input = node.inputs[i];
  invariant(input !== undefined, "BUG: a cache map has more inputs than its vertex");
  return input;
}

function missingOutput<R>({ vertex }: Node<R>, index: number): Failure {
  const error = new BakeError("internal", `step ${JSON.stringify(vertex.name)} has no output ${index}`);
  return { vertex: vertex.digest, name: vertex.name, error };
}

function canceled<R>(error: BakeError): Outcome<R> {
  return { tag: "canceled", error };
}

function abortError(signal: AbortSignal): BakeError {
  return BakeError.from(signal.reason ?? new DOMException("interrupted", "AbortError"));
}

/** Calls an op so that even a synchronous throw is a rejection. */
async function promised<T>(work: () => Promise<T>): Promise<T> {
  return work();
}
