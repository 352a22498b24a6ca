// The nodes of a solve: one for each vertex digest, shared by all who ask for it, with the bookkeeping around its state.
import { BakeError, invariant } from "../diagnostic/error.ts";
import type { Digest } from "../oci/digest.ts";
import type { KeyedInput } from "./cachekey.ts";
import { identityOf, isIdle, resultsOf, type EdgeState } from "./edge.ts";
import type { CacheMap, Claim, Edge, Vertex } from "./op.ts";

/** Why a vertex has no result: the step where it began, which may be an input far below. */
export interface Failure {
  readonly vertex: Digest;
  readonly name: string;
  readonly error: unknown;
}

/** Someone who waits for a node: another node, or a job. */
export interface Waiter<R> {
  readonly owner: Node<R> | undefined;
  readonly tell: (failure: Failure | undefined) => void;
}

export interface Node<R> {
  readonly vertex: Vertex<R>;
  readonly inputs: readonly { readonly node: Node<R>; readonly index: number }[];
  forced: boolean;
  state: EdgeState<R>;
  /** Length of the longest path to a root that was asked for: who is far from the end goes first. */
  priority: number;
  /** How many live users (roots of jobs, active vertices) it has. Without any, work on it stops. */
  claims: number;
  /** Whether it claims its inputs now. */
  holding: boolean;
  /** Incremented when everything it waits for has become void. */
  attempt: number;
  /** Asynchronous calls under way. */
  running: number;
  /** Aborted while calls are still under way; starts afresh when they have ended. */
  voided: boolean;
  abort: AbortController | undefined;
  /** Its claim in the store: held from before it executes until it has been saved, or will not be. */
  heldKey: Claim | undefined;
  /** What its op asked to be solved while it executes: it waits for these as for inputs. */
  readonly nested: Node<R>[];
  /** The node it was merged into. */
  into: Node<R> | undefined;
  /** Nodes merged into it. */
  readonly twins: Node<R>[];
  map: CacheMap<R> | undefined;
  identityWaiters: Waiter<R>[];
  resultWaiters: { readonly index: number; readonly waiter: Waiter<R> }[];
  /** It waits, itself or through inputs, for a step that has to execute. */
  slow: boolean;
  /** Results of its inputs were asked for before it is certain that they are needed. */
  prefetched: boolean;
  /** It was said to have started, and not yet how that ended. */
  started: boolean;
  /** What has been said of it: nothing but "step", that it was cached, or that it ran. */
  shown: "step" | "cached" | "ran";
  /** Whether its inputs were visited when it was shown as cached. */
  chained: boolean;
  reason: string | undefined;
}

export interface Graph<R> {
  node(digest: Digest): Node<R> | undefined;
  /** Every node, inputs before users. */
  all(): readonly Node<R>[];
  /**
   * Adds what is missing below `edges`; returns the new nodes, inputs before users. `priority` is the least that the
   * edges have: their distance to a root of the build.
   */
  add(edges: readonly Edge<R>[], priority: number): readonly Node<R>[];
}

export function createGraph<R>(): Graph<R> {
  const nodes = new Map<Digest, Node<R>>();
  return {
    node: digest => nodes.get(digest),
    all: () => [...nodes.values()],
    add(edges, priority) {
      const before = nodes.size;
      const order = walk(nodes, edges);
      for (const { vertex } of edges) raise(nodes.get(vertex.digest), priority);
      rank(order);
      return nodes.size === before ? [] : order.filter(({ added }) => added).map(({ node }) => node);
    },
  };
}

interface Visit<R> {
  readonly node: Node<R>;
  readonly added: boolean;
}

/** Everything below `edges`, inputs before users. With a stack of its own: chains may be longer than the call stack. */
function walk<R>(nodes: Map<Digest, Node<R>>, edges: readonly Edge<R>[]): Visit<R>[] {
  const order: Visit<R>[] = [];
  const visited = new Set<Digest>();
  const stack: { readonly vertex: Vertex<R>; entered: boolean }[] = [];
  for (let i = edges.length - 1; i >= 0; i--) {
    const edge = edges[i];
    if (edge !== undefined) stack.push({ vertex: edge.vertex, entered: false });
  }
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const { vertex } = top;
    if (top.entered) {
      stack.pop();
      if (visited.has(vertex.digest)) continue;
      visited.add(vertex.digest);
      const known = nodes.get(vertex.digest);
      const node = known ?? createNode(nodes, vertex);
      // What has begun stays as it is: a vertex is decided once.
      if (vertex.ignoreCache === true && node.state.tag === "initial") node.forced = true;
      order.push({ node, added: known === undefined });
      continue;
    }
    top.entered = true;
    if (visited.has(vertex.digest)) continue;
    for (let i = vertex.inputs.length - 1; i >= 0; i--) {
      const input = vertex.inputs[i];
      if (input !== undefined && !visited.has(input.vertex.digest))
        stack.push({ vertex: input.vertex, entered: false });
    }
  }
  return order;
}

function rank<R>(order: readonly Visit<R>[]): void {
  for (let i = order.length - 1; i >= 0; i--) {
    const node = order[i]?.node;
    if (node === undefined) continue;
    for (const input of node.inputs) raise(input.node, node.priority + 1);
  }
}

function raise<R>(node: Node<R> | undefined, priority: number): void {
  if (node !== undefined && node.priority < priority) node.priority = priority;
}

function createNode<R>(nodes: Map<Digest, Node<R>>, vertex: Vertex<R>): Node<R> {
  const inputs = vertex.inputs.map(({ vertex: input, index }) => {
    const node = nodes.get(input.digest);
    if (node === undefined) throw new Error("BUG: an input was not visited before its user");
    return { node, index };
  });
  const node: Node<R> = {
    vertex,
    inputs,
    forced: vertex.ignoreCache === true,
    state: { tag: "initial" },
    priority: 0,
    claims: 0,
    holding: false,
    attempt: 0,
    running: 0,
    voided: false,
    abort: undefined,
    heldKey: undefined,
    nested: [],
    into: undefined,
    twins: [],
    map: undefined,
    identityWaiters: [],
    resultWaiters: [],
    slow: false,
    prefetched: false,
    started: false,
    shown: "step",
    chained: false,
    reason: undefined,
  };
  nodes.set(vertex.digest, node);
  return node;
}

/** The node that does the work for `node`. */
export function workerOf<R>(node: Node<R>): Node<R> {
  let worker = node;
  while (worker.into !== undefined) worker = worker.into;
  return worker;
}

/** Whether `node` waits for `other`, or is about to: through inputs, merges, or what ops have asked for meanwhile. */
export function waitsFor<R>(node: Node<R>, other: Node<R>): boolean {
  return someBelow([node], below => below === other, isOpen);
}

/** Whether a vertex may still ask for its inputs. One with a record asks only if its results turn out to be lost. */
function isOpen<R>({ state }: Node<R>): boolean {
  return state.tag === "initial" || state.tag === "merged" || !(isIdle(state) || state.tag === "loading");
}

/** Whether what an op asked for while it executed may be another in the next build: it has a key of its own then. */
export function hasMovingNested<R>({ nested }: Node<R>): boolean {
  return nested.length > 0 && someBelow(nested, ({ map }) => map?.volatile === true || map?.asked === true);
}

/** Whether a node below `roots`, these included, passes. Goes on below those that `enter` lets in. */
function someBelow<R>(
  roots: readonly Node<R>[],
  test: (node: Node<R>) => boolean,
  enter: (node: Node<R>) => boolean = () => true,
): boolean {
  const seen = new Set<Node<R>>();
  const stack = [...roots];
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    if (seen.has(top)) continue;
    seen.add(top);
    if (test(top)) return true;
    if (!enter(top)) continue;
    if (top.into !== undefined) stack.push(top.into);
    stack.push(...top.nested);
    for (const input of top.inputs) stack.push(input.node);
  }
  return false;
}

/** The inputs as they enter keys now. */
export function keyedInputs<R>(node: Node<R>): readonly KeyedInput[] {
  return node.inputs.map(({ node: input, index }) => ({
    identity: identityOf(workerOf(input).state) ?? "volatile",
    index,
  }));
}

/** An output that is at hand, whichever vertex of equal key made it. */
export function resultOf<R>(node: Node<R>, index: number): R | undefined {
  return resultsOf(workerOf(node).state).get(index);
}

/** The input that a cache map names by its place. */
export function inputAt<R>(node: Node<R>, i: number): { readonly node: Node<R>; readonly index: number } {
  const input = node.inputs[i];
  invariant(input !== undefined, "BUG: a cache map has more inputs than its vertex");
  return input;
}

/** The failure of whoever asks for an output that the node, though complete, does not have. */
export function missingOutput<R>({ vertex }: Node<R>, index: number): Failure {
  const error = new BakeError("internal", `step ${JSON.stringify(vertex.name)} has no output ${index}`);
  return { vertex: vertex.digest, name: vertex.name, error };
}

/** The error of a step that asks, while it executes, for something that is built upon it. */
export function circular<R>({ vertex }: Node<R>): BakeError {
  return new BakeError("llb-invalid", `step ${JSON.stringify(vertex.name)} is built upon itself`, {
    hint: "what it has solved while it runs must not contain the step",
  });
}
