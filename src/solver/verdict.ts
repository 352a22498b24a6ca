// What became of the steps of a solve, or would: taken from the states of their nodes, for reports and plans.
import { BakeError } from "../diagnostic/error.ts";
import type { Digest } from "../oci/digest.ts";
import { recordOf } from "./edge.ts";
import { workerOf, type Failure, type Node } from "./graph.ts";

export type Verdict =
  | { readonly tag: "cached" }
  /** Looked at anew in every build, such as a directory read in place. */
  | { readonly tag: "read" }
  /** Executed, or would be. `reason` is to be read after "because". */
  | { readonly tag: "ran"; readonly reason: string }
  /** Failed by itself, when it executed or before: then there is no reason. */
  | { readonly tag: "failed"; readonly reason?: string }
  /** Began, and was stopped since the build ended. */
  | { readonly tag: "canceled"; readonly reason: string }
  /** Failed, canceled or refused before it was known whether its result is in the cache: that depends on `until`. */
  | { readonly tag: "unknown"; readonly until: string }
  /** Nobody needed it. */
  | { readonly tag: "unneeded" };

export interface StepVerdict {
  readonly id: Digest;
  readonly name: string;
  readonly verdict: Verdict;
  /** What holds its result, for explanations in later runs. */
  readonly record?: Digest;
}

/** As things stand: of a vertex that is not done yet it may still change. */
export function verdictOf<R>(node: Node<R>): StepVerdict {
  const { digest: id, name } = node.vertex;
  const worker = workerOf(node);
  const record = recordOf(worker.state)?.id;
  return { id, name, verdict: judge(node, worker), ...(record !== undefined && { record }) };
}

function judge<R>(node: Node<R>, worker: Node<R>): Verdict {
  if (worker.map?.volatile === true && worker.shown !== "cached") return { tag: "read" };
  const { state, reason } = worker;
  if (state.tag === "failed" && isOwn(state.error as Failure, worker))
    return { tag: "failed", ...(reason !== undefined && { reason }) };
  if (reason !== undefined)
    return state.tag === "known" && state.record === undefined && state.results.size === 0
      ? { tag: "canceled", reason }
      : { tag: "ran", reason };
  if (node.shown === "cached" || worker.shown === "cached" || recordOf(state) !== undefined)
    return { tag: "cached" };
  if (state.tag === "failed") {
    // The nearest input says more than the one far below where it began.
    const open = worker.inputs.find(({ node: input }) => workerOf(input).state.tag === "failed");
    return { tag: "unknown", until: open?.node.vertex.name ?? (state.error as Failure).name };
  }
  return { tag: "unneeded" };
}

/** Whether a step failed by itself, not because of another, nor since it was refused. */
function isOwn<R>({ vertex, error }: Failure, node: Node<R>): boolean {
  return vertex === node.vertex.digest && !(error instanceof BakeError && error.code === "cache-miss");
}
