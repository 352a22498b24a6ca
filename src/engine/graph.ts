// From a merged LLB graph to the solver's vertices: each op bound to this worker, each failure pointing at the lines of
// the Dockerfile it came from.
import { explainFullDisk } from "../content/fulldisk.ts";
import { BakeError, invariant } from "../diagnostic/error.ts";
import { rangeOfLines, type Range, type Source } from "../diagnostic/source.ts";
import type { SourceInfo, SourceLocation, VertexDigest } from "../llb/definition.ts";
import type { Graph, GraphVertex } from "../llb/graph.ts";
import { vertexName } from "../llb/name.ts";
import { sourceScheme } from "../llb/op/source.ts";
import type { OpOf } from "../llb/ops.ts";
import type { BoundVertex, OpDeps } from "../op/binding.ts";
import { bindOp } from "../op/table.ts";
import type { Ref } from "../snapshot/ref.ts";
import type { Edge, Op, Vertex } from "../solver/op.ts";
import type { Worker } from "../worker/worker.ts";

/** The edges to solve, one per root; undefined for roots that are the empty file system. */
export function solverEdges(graph: Graph, deps: OpDeps): readonly (Edge<Ref> | undefined)[] {
  const vertices = new Map<VertexDigest, Vertex<Ref>>();
  const names = vertexNames(graph);
  const sources = new Map<SourceInfo, Source>();
  const edge = (digest: VertexDigest, index: number): Edge<Ref> => {
    const vertex = vertices.get(digest);
    invariant(vertex !== undefined, "BUG: a graph lists users before inputs");
    return { vertex, index };
  };
  for (const vertex of graph.vertices.values()) {
    vertices.set(vertex.digest, {
      digest: vertex.digest,
      name: names.get(vertex.digest) ?? "",
      inputs: vertex.inputs.map(({ digest, index }) => edge(digest, index)),
      op: charged(bind(vertex, graph, deps), deps.worker.owner),
      // With the range of its definition, and the name of a disk that is full.
      explainError: thrown =>
        BakeError.from(explainFullDisk(thrown, deps.worker.root.path))
          .at(rangeOf(vertex.location, sources))
          // Nested solves are of no target.
          .of(vertex.targets.filter(name => name !== "")),
      ...(vertex.metadata.ignoreCache && { ignoreCache: true }),
    });
  }
  return graph.roots.map(({ root }) => root && edge(root.digest, root.index));
}

/** What the vertices are called. */
export function vertexNames({ vertices }: Graph): ReadonlyMap<VertexDigest, string> {
  const names = new Map<VertexDigest, string>();
  for (const { digest, op, metadata } of vertices.values())
    names.set(
      digest,
      vertexName(op, metadata, input => names.get(input.digest) ?? ""),
    );
  return names;
}

/** A command as its binding sees it. `op` is the vertex's own. */
export function boundExec(
  vertex: GraphVertex,
  op: OpOf<"exec">,
  graph: Graph,
  deps: OpDeps,
): BoundVertex<"exec"> {
  const { linuxResources: resources } = vertex.metadata;
  return { ...factsOf(vertex, graph, deps), op, ...(resources && { resources }) };
}

function bind(vertex: GraphVertex, graph: Graph, shared: OpDeps): Op<Ref> {
  const { op, targets } = vertex;
  const { session } = shared;
  // Ids of secrets are those of the targets that want the step. Registries know sessions by identity.
  const isImage = op.kind === "source" && sourceScheme(op.spec.identifier) === "docker-image";
  const lent = isImage ? undefined : session.forTargets?.(targets);
  const deps = lent === undefined ? shared : { ...shared, session: { ...session, ...lent } };
  const facts = factsOf(vertex, graph, deps);
  switch (op.kind) {
    case "source":
      return bindOp({ ...facts, op }, deps);
    case "exec":
      return bindOp(boundExec(vertex, op, graph, deps), deps);
    case "file":
      return bindOp({ ...facts, op }, deps);
    case "merge":
      return bindOp({ ...facts, op }, deps);
    case "diff":
      return bindOp({ ...facts, op }, deps);
    case "build":
      return bindOp({ ...facts, op }, deps);
  }
}

/** What bindings of all kinds are told beside the op. */
function factsOf({ digest, op, inputs }: GraphVertex, graph: Graph, { worker }: OpDeps) {
  const inPlaceInputs = inputs.map(input => {
    const source = graph.vertices.get(input.digest)?.op;
    return source?.kind === "source" && sourceScheme(source.spec.identifier) === "local";
  });
  return { digest, platform: op.platform ?? worker.platform, inPlaceInputs };
}

/** The op on the ledger. */
function charged(op: Op<Ref>, { ledger }: Worker["owner"]): Op<Ref> {
  // What only reads in place takes no room.
  if (op.pool === "free") return op;
  return {
    ...op,
    exec: async (inputs, context) => {
      await ledger.begin();
      return await op.exec(inputs, context);
    },
  };
}

/** Where a vertex comes from; undefined when that is not known, or when it is not in the graph. */
export function rangeOfVertex(graph: Graph, digest: string): Range | undefined {
  for (const vertex of graph.vertices.values())
    if (vertex.digest === digest) return rangeOf(vertex.location, new Map());
  return undefined;
}

function rangeOf(location: SourceLocation | undefined, sources: Map<SourceInfo, Source>): Range | undefined {
  const lines = location?.ranges.at(0);
  const last = location?.ranges.at(-1);
  if (location === undefined || lines === undefined || last === undefined) return undefined;
  let source = sources.get(location.source);
  if (source === undefined) {
    source = { name: location.source.filename, text: new TextDecoder().decode(location.source.data) };
    sources.set(location.source, source);
  }
  return rangeOfLines(source, lines.startLine, last.endLine);
}
