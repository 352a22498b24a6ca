// The calls made for a node, of its op and of the cache: what an edge machine asks for, as promises. No call
// advances the machine: driver.ts follows it and turns its answer into an event.
import { BakeError, invariant } from "../diagnostic/error.ts";
import type { Emit } from "../progress/event.ts";
import { reasonToExecute } from "./explain.ts";
import { inputAt, resultOf, type Node } from "./graph.ts";
import type { Hints } from "./hints.ts";
import type { CacheKey, CacheMap, CacheRecord, Clock, ContentKey, OpContext } from "./op.ts";
import type { Optimization } from "./optimization.ts";
import type { Pools } from "./pools.ts";
import { createSharing, type Found } from "./sharing.ts";

export interface CallOptions<R> {
  readonly hints: Hints<R>;
  readonly clock: Clock;
  readonly emit: Emit;
  readonly pools: Pools;
  /** See `SolveOptions`. */
  readonly mayExecute: (() => boolean) | undefined;
  readonly without: ReadonlySet<Optimization>;
  /** Takes charge of every result that a call brings; told before the call is answered. */
  readonly keep: (result: R) => void;
}

export interface Calls<R> {
  cacheMap(node: Node<R>): Promise<CacheMap<R>>;
  query: Hints<R>["query"];
  link: Hints<R>["link"];
  load: Hints<R>["load"];
  /** Content keys of `inputs`, by input; holes for the others and where the op offers none. */
  readContents(node: Node<R>, inputs: readonly number[]): Promise<readonly (ContentKey | undefined)[]>;
  /** Whether the contents of `inputs` still are what the node was keyed by. */
  unchanged(node: Node<R>, inputs: readonly number[]): Promise<boolean>;
  /** Whether the node may not execute now. */
  isRefused(node: Node<R>): boolean;
  /** Finds out and tells why a node that has to execute does so. */
  explain(node: Node<R>): Promise<string>;
  /**
   * Executes the node when its pool has a slot, or waits for another process that does. Gives the results by output.
   * @throws BakeError "cache-miss" when it is refused; whatever the op throws
   */
  execute(node: Node<R>): Promise<Executed<R>>;
  /** Saves what the node has executed under `keys`, and makes `names` further names of the record. */
  save(
    node: Node<R>,
    keys: readonly CacheKey[],
    names: readonly CacheKey[],
  ): Promise<CacheRecord | undefined>;
}

export type Executed<R> =
  | { readonly tag: "ran"; readonly outputs: ReadonlyMap<number, R> }
  /** By another process. */
  | { readonly tag: "found"; readonly found: Found<R> };

export function createCalls<R>(options: CallOptions<R>): Calls<R> {
  const { hints, clock, emit, pools, mayExecute, without, keep } = options;

  function contextOf(node: Node<R>): OpContext {
    node.abort ??= new AbortController();
    return { signal: node.abort.signal, emit };
  }

  // Not only a promise of the op: a synchronous throw is a rejection too.
  async function cacheMap(node: Node<R>): Promise<CacheMap<R>> {
    const map = await node.vertex.op.cacheMap(contextOf(node));
    if (!without.has("content")) return map;
    return { ...map, inputs: map.inputs.map(({ contentKey: _, ...input }) => input) };
  }

  async function contentKey(node: Node<R>, i: number): Promise<ContentKey | undefined> {
    return node.map?.inputs[i]?.contentKey?.(inputResult(node, i), contextOf(node));
  }

  async function readContents(
    node: Node<R>,
    inputs: readonly number[],
  ): Promise<readonly (ContentKey | undefined)[]> {
    const contents: (ContentKey | undefined)[] = node.inputs.map(() => undefined);
    await Promise.all(inputs.map(async i => void (contents[i] = await contentKey(node, i))));
    return contents;
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

  async function load(record: CacheRecord, index: number): Promise<R | undefined> {
    const result = await hints.load(record, index);
    if (result !== undefined) keep(result);
    return result;
  }

  const sharing = createSharing(hints, load);

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

  async function explain(node: Node<R>): Promise<string> {
    const { state, vertex } = node;
    invariant(state.tag === "gathering" || state.tag === "executing", "BUG: nothing to explain");
    const inputs = vertex.inputs.map(input => input.vertex.name);
    const previous = (): ReturnType<typeof hints.previousParts> => hints.previousParts(vertex);
    const reason = await reasonToExecute({ run: state.run, inputs, previous });
    const known = node.reason === reason;
    node.reason = reason;
    // That a directory is read in place needs no reason.
    if (!known && node.map?.volatile !== true) emit({ type: "reason", id: vertex.digest, text: reason });
    return reason;
  }

  async function execute(node: Node<R>): Promise<Executed<R>> {
    if (isRefused(node)) return refusal(node);
    const { vertex } = node;
    const { state } = node;
    invariant(state.tag === "executing", "BUG: a vertex executes out of turn");
    const context = contextOf(node);
    const id = vertex.digest;
    const start = (): void => {
      if (!node.started) emit({ type: "started", id, at: clock.now() });
      node.started = true;
    };
    const foundByAnother = (found: Found<R>): Executed<R> => {
      // What has begun is to end, whatever was said of it before.
      if (node.started) node.shown = "step";
      node.started = false;
      return { tag: "found", found };
    };
    const work = async (): Promise<Executed<R> | "busy"> => {
      const shared = await sharing.take(node);
      if (shared === "busy") return "busy";
      if (shared !== undefined) return foundByAnother(shared);
      node.shown = "ran";
      start();
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
        keep(result);
        outputs.set(index, result);
      }
      node.started = false;
      emit({ type: "done", id, at: clock.now() });
      return { tag: "ran", outputs };
    };
    /** Without a slot: others may run meanwhile. */
    const waitForAnother = async (): Promise<Found<R> | undefined> => {
      let part: string | undefined;
      const tell = (done: boolean): void => {
        if (part !== undefined)
          emit({ type: "status", id, part, at: clock.now(), current: 0, total: 0, done });
      };
      const onWait = (holder: string): void => {
        start();
        part = `waiting for ${holder}, which runs this step`;
        tell(false);
      };
      try {
        return await sharing.wait(node, { signal: context.signal, onWait });
      } finally {
        tell(true);
      }
    };
    const options = { signal: context.signal, priority: without.has("priority") ? 0 : node.priority };
    for (;;) {
      const outcome = await pools.run(vertex.op.pool ?? "cpu", work, options);
      if (outcome !== "busy") return outcome;
      const found = await waitForAnother();
      if (found !== undefined) return foundByAnother(found);
    }
  }

  function save(
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

  return {
    cacheMap,
    query: key => hints.query(key),
    link: (key, record) => hints.link(key, record),
    load,
    readContents,
    unchanged,
    isRefused,
    explain,
    execute,
    save,
  };
}

function inputResult<R>(node: Node<R>, i: number): R {
  const input = inputAt(node, i);
  const result = resultOf(input.node, input.index);
  invariant(result !== undefined, "BUG: the result of an input is missing");
  return result;
}
