// Several definitions as one graph: equal ops of different targets are one vertex. Definitions may come from outside,
// so everything is checked here once; users of a Graph need not check again.
import { BakeError } from "../diagnostic/error.ts";
import { digestOf } from "../oci/digest.ts";
import type { Definition, OpMetadata, SourceLocation, VertexDigest } from "./definition.ts";
import { mergeLocation, mergeMetadata } from "./marshal.ts";
import { decodeOp, validateOp, type Op } from "./ops.ts";
import { execOutputs } from "./op/exec.ts";
import type { Input } from "./op/op.ts";

/** Vertices in an order in which inputs come before users. */
export interface Graph {
  readonly vertices: ReadonlyMap<VertexDigest, GraphVertex>;
  /** One for each definition given, in that order. */
  readonly roots: readonly GraphRoot[];
}

export interface GraphVertex {
  readonly digest: VertexDigest;
  readonly op: Op;
  /** What the digest is of. */
  readonly bytes: Uint8Array;
  /** As in the op: indexes in the op's message count these. */
  readonly inputs: readonly Input[];
  readonly metadata: OpMetadata;
  readonly location?: SourceLocation;
  /** Names of the targets that want it, in the order given, each once. */
  readonly targets: readonly string[];
}

export interface GraphRoot {
  readonly target: string;
  /** The result of the definition; undefined is the empty file system. */
  readonly root: Input | undefined;
}

/** A definition and the name of the target it builds. A target of several platforms has several definitions. */
export interface GraphPart {
  readonly target: string;
  readonly definition: Definition;
}

/**
 * Merges definitions. Only ops that a result needs are taken. Metadata of one op in several definitions is merged as
 * marshalling does it: the later one names it.
 * @throws BakeError "llb-invalid" when an op is malformed, lacks an input or uses an output that does not exist
 */
export function mergeDefinitions(parts: readonly GraphPart[]): Graph {
  const decoded = new Map<VertexDigest, Op>();
  const vertices = new Map<VertexDigest, GraphVertex>();
  const roots = parts.map(({ target, definition }): GraphRoot => {
    const bytesOf = new Map(definition.def.map(bytes => [digestOf(bytes), bytes]));
    const root = rootOf(definition, target);
    if (root === undefined) return { target, root };
    for (const digest of inputsFirst(root.digest, target, bytesOf, decoded)) {
      const bytes = bytesOf.get(digest);
      const op = decoded.get(digest);
      if (bytes === undefined || op === undefined)
        throw new BakeError("internal", "BUG: a visited op is not there");
      vertices.set(digest, mergeVertex(vertices.get(digest), { digest, op, bytes, target, definition }));
    }
    checkOutput(root, decoded, `the result of target "${target}"`);
    return { target, root };
  });
  for (const { digest, op } of vertices.values())
    for (const input of op.inputs) checkOutput(input, decoded, `the op ${digest}`);
  return { vertices, roots };
}

function rootOf({ def }: Definition, target: string): Input | undefined {
  const last = def.at(-1);
  if (last === undefined) return undefined;
  const terminal = decodeOp(last);
  if (terminal.kind !== "terminal") {
    throw new BakeError(
      "llb-invalid",
      `the definition of target "${target}" does not end with a terminal op`,
    );
  }
  if (terminal.inputs.length > 1) {
    throw new BakeError(
      "llb-invalid",
      `the terminal op of target "${target}" has ${terminal.inputs.length} inputs instead of one`,
    );
  }
  return terminal.inputs[0];
}

/**
 * The ops that `root` needs, inputs before users. No cycle can be closed: an op holds the hashes of its inputs. A stack
 * of our own keeps long chains off the call stack.
 */
function inputsFirst(
  root: VertexDigest,
  target: string,
  bytesOf: ReadonlyMap<VertexDigest, Uint8Array>,
  decoded: Map<VertexDigest, Op>,
): readonly VertexDigest[] {
  const load = (
    digest: VertexDigest,
    user: string,
  ): { readonly digest: VertexDigest; readonly op: Op; next: number } => {
    const bytes = bytesOf.get(digest);
    if (bytes === undefined) {
      throw new BakeError(
        "llb-invalid",
        `the definition of target "${target}" lacks the op ${digest} that ${user} uses`,
        {
          hint: "the definition is incomplete: write it again",
        },
      );
    }
    const known = decoded.get(digest);
    if (known !== undefined) return { digest, op: known, next: 0 };
    const op = decodeOp(bytes);
    if (op.kind === "terminal")
      throw new BakeError(
        "llb-invalid",
        `the definition of target "${target}" uses a terminal op as an input`,
      );
    validateOp(op);
    decoded.set(digest, op);
    return { digest, op, next: 0 };
  };
  const order = new Set<VertexDigest>();
  const stack = [load(root, "the terminal op")];
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const input = top.op.inputs[top.next++];
    if (input === undefined) {
      order.add(top.digest);
      stack.pop();
    } else if (!order.has(input.digest)) stack.push(load(input.digest, `the op ${top.digest}`));
  }
  return [...order];
}

interface Sighting {
  readonly digest: VertexDigest;
  readonly op: Op;
  readonly bytes: Uint8Array;
  readonly target: string;
  readonly definition: Definition;
}

function mergeVertex(
  known: GraphVertex | undefined,
  { digest, op, bytes, target, definition }: Sighting,
): GraphVertex {
  const seen = definition.locations.get(digest);
  const location = seen === undefined ? known?.location : mergeLocation(known?.location, seen);
  const targets = known?.targets ?? [];
  return {
    digest,
    op,
    bytes,
    inputs: op.inputs,
    metadata: mergeMetadata(known?.metadata, definition.metadata.get(digest) ?? {}),
    ...(location && { location }),
    targets: targets.includes(target) ? targets : [...targets, target],
  };
}

function checkOutput({ digest, index }: Input, decoded: ReadonlyMap<VertexDigest, Op>, user: string): void {
  const op = decoded.get(digest);
  if (op === undefined || hasOutput(op, index)) return;
  throw new BakeError(
    "llb-invalid",
    `${user} uses output ${index} of the op ${digest}, which has no such output`,
  );
}

function hasOutput(op: Op, index: number): boolean {
  switch (op.kind) {
    case "exec":
      return execOutputs(op.spec).has(index);
    case "file":
      return op.spec.actions.some(({ output }) => output === index);
    case "source":
    case "merge":
    case "diff":
      return index === 0;
    case "build":
      // What a nested build gives is known only when it has run.
      return true;
    default: {
      const never: never = op;
      return never;
    }
  }
}
