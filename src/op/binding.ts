// What an LLB op kind means to the solver on this machine: how it is cached and how it runs. One file per kind, one row
// in op/table.ts.
import type { Definition, LinuxResources, VertexDigest } from "../llb/definition.ts";
import type { OpKind, OpOf } from "../llb/ops.ts";
import type { Platform } from "../oci/platform.ts";
import type { Session } from "../session/session.ts";
import type { Ref } from "../snapshot/ref.ts";
import type { CacheMap, OpContext } from "../solver/op.ts";
import type { Worker } from "../worker/worker.ts";

/** An op as a binding sees it: the decoded message and the facts around it. */
export interface BoundVertex<K extends OpKind> {
  readonly digest: VertexDigest;
  readonly op: OpOf<K>;
  /** The op's own platform, or the worker's. */
  readonly platform: Platform;
  /** Limits of a command; they are no part of the op. */
  readonly resources?: LinuxResources;
  /** For each input, whether it is a directory read in place (its definition says nothing about its content). */
  readonly inPlaceInputs: readonly boolean[];
}

export interface OpBinding<K extends OpKind> {
  cacheMap(vertex: BoundVertex<K>, deps: OpDeps, context: OpContext): Promise<CacheMap<Ref>>;
  exec(
    vertex: BoundVertex<K>,
    inputs: readonly Ref[],
    deps: OpDeps,
    context: OpContext,
  ): Promise<readonly (Ref | undefined)[]>;
}

export interface OpDeps {
  readonly worker: Worker;
  readonly session: Session;
  /** Solves a definition on the graph of the run while the vertex `within`, which holds no slot, executes. */
  readonly solve: (
    definition: Definition,
    options: { readonly within: VertexDigest; readonly signal: AbortSignal },
  ) => Promise<Ref>;
}
