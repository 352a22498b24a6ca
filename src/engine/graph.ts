// From a merged LLB graph to the solver's vertices: each op bound to this worker, each failure pointing at the lines of
// the Dockerfile it came from.
import { BakeError, invariant } from "../diagnostic/error.ts";
import { rangeOfLines, type Range, type Source } from "../diagnostic/source.ts";
import type { SourceInfo, SourceLocation, VertexDigest } from "../llb/definition.ts";
import type { Graph, GraphVertex } from "../llb/graph.ts";
import { vertexName } from "../llb/name.ts";
import { sourceScheme } from "../llb/op/source.ts";
import type { OpDeps } from "../op/binding.ts";
import { bindOp } from "../op/table.ts";
import type { Ref } from "../snapshot/ref.ts";
import type { Edge, Op, Vertex } from "../solver/op.ts";

/** The edges to solve, one per root; undefined for roots that are the empty file system. */
export function solverEdges(graph: Graph, deps: OpDeps): readonly (Edge<Ref> | undefined)[] {
  const vertices = new Map<VertexDigest, Vertex<Ref>>();
  const sources = new Map<SourceInfo, Source>();
  const edge = (digest: VertexDigest, index: number): Edge<Ref> => {
    const vertex = vertices.get(digest);
    invariant(vertex !== undefined, "BUG: a graph lists users before inputs");
    return { vertex, index };
  };
  for (const vertex of graph.vertices.values()) {
    vertices.set(vertex.digest, {
      digest: vertex.digest,
      name: vertexName(vertex.op, vertex.metadata, input => vertices.get(input.digest)?.name ?? ""),
      inputs: vertex.inputs.map(({ digest, index }) => edge(digest, index)),
      op: located(bind(vertex, graph, deps), rangeOf(vertex.location, sources)),
      ...(vertex.metadata.ignoreCache && { ignoreCache: true }),
    });
  }
  return graph.roots.map(({ root }) => root && edge(root.digest, root.index));
}

function bind({ digest, op, inputs, metadata }: GraphVertex, graph: Graph, deps: OpDeps): Op<Ref> {
  const inPlaceInputs = inputs.map(input => {
    const source = graph.vertices.get(input.digest)?.op;
    return source?.kind === "source" && sourceScheme(source.spec.identifier) === "local";
  });
  const platform = op.platform ?? deps.worker.platform;
  switch (op.kind) {
    case "source":
      return bindOp({ digest, op, platform, inPlaceInputs }, deps);
    case "exec": {
      const { linuxResources: resources } = metadata;
      return bindOp({ digest, op, platform, inPlaceInputs, ...(resources && { resources }) }, deps);
    }
    case "file":
      return bindOp({ digest, op, platform, inPlaceInputs }, deps);
    case "merge":
      return bindOp({ digest, op, platform, inPlaceInputs }, deps);
    case "diff":
      return bindOp({ digest, op, platform, inPlaceInputs }, deps);
    case "build":
      return bindOp({ digest, op, platform, inPlaceInputs }, deps);
  }
}

/** The op with the range of its definition added to whatever it throws. */
function located(op: Op<Ref>, range: Range | undefined): Op<Ref> {
  if (range === undefined) return op;
  const at = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      throw BakeError.from(error).at(range);
    }
  };
  return {
    ...op,
    cacheMap: async context => {
      const map = await at(op.cacheMap(context));
      return {
        ...map,
        inputs: map.inputs.map(({ contentKey, ...input }) =>
          contentKey === undefined
            ? input
            : { ...input, contentKey: (ref, keyContext) => at(contentKey(ref, keyContext)) },
        ),
      };
    },
    exec: (inputs, context) => at(op.exec(inputs, context)),
  };
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
