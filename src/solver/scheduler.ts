// The solver as others use it: calls of `solve`, their outcomes, and the results kept until it is disposed. All calls,
// hence all targets, share one graph, which driver.ts keeps moving.
import { BakeError, invariant } from "../diagnostic/error.ts";
import type { Digest } from "../oci/digest.ts";
import type { Emit } from "../progress/event.ts";
import { createCalls } from "./calls.ts";
import { createDriver } from "./driver.ts";
import { createGraph, missingOutput, resultOf, type Failure, type Node } from "./graph.ts";
import { createHints } from "./hints.ts";
import type { CacheStore, Clock, Edge, Release } from "./op.ts";
import type { Optimization } from "./optimization.ts";
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
  /** What is not to be used. Default: nothing. */
  readonly without?: ReadonlySet<Optimization>;
  /** Names of the targets that want a vertex, for "step" events. */
  readonly targetsOf?: (vertex: Digest) => readonly string[];
}

/** The graph and the results of one build session. Disposing it releases every result it gave out. */
export interface Solver<R> extends AsyncDisposable {
  /**
   * Brings results of `edges`, in order; they stay valid until the solver is disposed. May be called again, also while
   * another call runs: equal vertices are shared. The signal ends this call only; work that no other call wants is
   * aborted and awaited.
   *
   * An op may call it from within `exec`, with the digest of its vertex as `within` and its own signal; its pool must be
   * "free", since it would hold a slot while it waits for others.
   * @throws BakeError of the first step that failed, or "interrupted"
   */
  solve(edges: readonly Edge<R>[], signal: AbortSignal, within?: Digest): Promise<readonly R[]>;
  /** As `solve`, with an outcome for each edge instead of throwing. Without `keepGoing` one failure cancels the rest. */
  solveEach(edges: readonly Edge<R>[], signal: AbortSignal, within?: Digest): Promise<readonly Outcome<R>[]>;
  /** Why a vertex was executed, in a line; undefined when it was not. */
  reasonOf(vertex: Digest): string | undefined;
  /** What has become of every step so far, inputs before users. */
  verdicts(): readonly StepVerdict[];
}

export type Outcome<R> =
  | { readonly tag: "solved"; readonly result: R }
  | { readonly tag: "failed"; readonly failure: Failure }
  | { readonly tag: "canceled"; readonly error: BakeError };

const NOTHING: ReadonlySet<Optimization> = new Set();

/** Nothing starts before `solve` is called. */
export function createSolver<R>(options: SolveOptions<R>): Solver<R> {
  const { store, clock, emit, release, pools, nonce, keepGoing = false, mayExecute, targetsOf } = options;
  const without = options.without ?? NOTHING;
  const graph = createGraph<R>();
  const acquired: R[] = [];
  const calls = createCalls<R>({
    hints: createHints(store),
    clock,
    emit,
    pools,
    mayExecute,
    without,
    keep: result => void acquired.push(result),
  });
  const driver = createDriver({ calls, clock, emit, nonce, keepGoing, without });
  const signalHub = createSignalHub();
  /** How to cancel each call of `solve` under way. */
  const cancels = new Set<(error: BakeError) => void>();
  const underWay = new Set<Promise<unknown>>();
  let closed: Promise<void> | undefined;

  async function solveEach(
    edges: readonly Edge<R>[],
    signal: AbortSignal,
    within?: Digest,
  ): Promise<readonly Outcome<R>[]> {
    for (const aborted of [options.signal, signal])
      if (aborted.aborted) return edges.map(() => canceled(abortError(aborted)));
    if (closed !== undefined)
      return edges.map(() => canceled(new BakeError("interrupted", "the build is over")));
    const owner = within === undefined ? undefined : expectOwner(within);
    for (const { vertex } of graph.add(edges, owner === undefined ? 0 : owner.priority + 1)) {
      const targets = targetsOf?.(vertex.digest);
      const inputs = [...new Set(vertex.inputs.map(input => input.vertex.digest))];
      emit({ type: "step", id: vertex.digest, name: vertex.name, inputs, ...(targets && { targets }) });
    }
    const roots = edges.map(({ vertex, index }) => {
      const node = graph.node(vertex.digest);
      invariant(node !== undefined, "BUG: a root is not in the graph");
      return { node, index };
    });
    if (owner !== undefined)
      driver.nest(
        owner,
        roots.map(({ node }) => node),
      );
    for (const { node } of roots) driver.claim(node);
    const call = runJob(roots, signal).then(async outcomes => {
      for (const { node } of roots) driver.unclaim(node);
      // What was asked for from within a step cannot wait for that step to end; the call it belongs to does.
      if (owner === undefined) await driver.unwound();
      return outcomes;
    });
    underWay.add(call);
    try {
      return await call;
    } finally {
      underWay.delete(call);
    }
  }

  function expectOwner(within: Digest): Node<R> {
    const owner = graph.node(within);
    invariant(owner?.state.tag === "executing", "BUG: only a step that executes can ask for more");
    invariant(owner.vertex.op.pool === "free", "BUG: a step that holds a slot waits for other steps");
    return owner;
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
        cancels.delete(finish);
        stopListening();
        resolve(
          outcomes.map(
            outcome =>
              outcome ??
              canceled(error ?? new BakeError("interrupted", "canceled because another step failed")),
          ),
        );
      };
      cancels.add(finish);
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
        driver.subscribe(node, index, { owner: undefined, tell });
      }
      one();
    });
  }

  async function close(): Promise<void> {
    for (const cancel of [...cancels]) cancel(new BakeError("interrupted", "the build is over"));
    await Promise.allSettled(underWay);
    await driver.unwound();
    const released = await Promise.allSettled(acquired.splice(0).map(result => release(result)));
    for (const one of released) if (one.status === "rejected") throw BakeError.from(one.reason);
  }

  return {
    solveEach,
    async solve(edges, signal, within) {
      const outcomes = await solveEach(edges, signal, within);
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

function canceled<R>(error: BakeError): Outcome<R> {
  return { tag: "canceled", error };
}

function abortError(signal: AbortSignal): BakeError {
  return BakeError.from(signal.reason ?? new DOMException("interrupted", "AbortError"));
}
