// What became of the steps of a solve, or would: taken from the states of their nodes, for reports and plans.
import type { Digest } from "../oci/digest.ts";
import { recordOf } from "./edge.ts";
import { workerOf, type Failure, type Node } from "./graph.ts";

export type Verdict =
  | { readonly tag: "cached" }
  /** Looked at anew in every build, such as a directory read in place. */
  | { readonly tag: "read" }
  /** Executed, or would be. `reason` is to be read after "because". */
  | { readonly tag: "ran"; readonly reason: string }
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

export function verdictOf<R>(node: Node<R>): StepVerdict {
  const { digest: id, name } = node.vertex;
  const worker = workerOf(node);
  const record = recordOf(worker.state)?.id;
  return { id, name, verdict: judge(node, worker), ...(record !== undefined && { record }) };
}

function judge<R>(node: Node<R>, worker: Node<R>): Verdict {
  if (worker.map?.volatile === true && worker.shown !== "cached") return { tag: "read" };
  if (worker.reason !== undefined) return { tag: "ran", reason: worker.reason };
  if (node.shown === "cached" || worker.shown === "cached" || recordOf(worker.state) !== undefined)
    return { tag: "cached" };
  if (worker.state.tag === "failed") {
    // The nearest input says more than the one far below where it began.
    const open = worker.inputs.find(({ node: input }) => workerOf(input).state.tag === "failed");
    return { tag: "unknown", until: open?.node.vertex.name ?? (worker.state.error as Failure).name };
  }
  return { tag: "unneeded" };
}
