// A definition for people: one JSON object a line, in the words of `buildctl debug dump-llb`, or a graph for Graphviz.
import { digestOf } from "../oci/digest.ts";
import type { Definition } from "./definition.ts";
import { metadataMessage } from "./definitionmessage.ts";
import { jsonText, messageToJson } from "./json.ts";
import { metadataToMessage } from "./marshal.ts";
import { vertexName } from "./name.ts";
import { decodeOp, opMessage } from "./ops.ts";
import { decode } from "./wire.ts";

/**
 * `{"Op":…,"Digest":…,"OpMetadata":…}` for each op in the order of the definition, without line ends.
 * @throws BakeError "llb-invalid" at the first op that is malformed
 */
export function* dumpDefinition({ def, metadata }: Definition): Iterable<string> {
  for (const bytes of def) {
    const digest = digestOf(bytes);
    yield jsonText({
      Op: messageToJson(opMessage, decode(opMessage, bytes), "go"),
      Digest: digest,
      OpMetadata: messageToJson(metadataMessage, metadataToMessage(metadata.get(digest) ?? {}), "go"),
    });
  }
}

const SHAPES = {
  source: "ellipse",
  exec: "box",
  build: "box3d",
  merge: "invtriangle",
  diff: "doublecircle",
  file: "note",
  terminal: "plaintext",
} as const;

/** The lines of a Graphviz digraph: vertices labelled by what they do, edges by the mount they feed. */
export function* dumpDot({ def }: Definition): Iterable<string> {
  const ops = def.map(bytes => ({ digest: digestOf(bytes), op: decodeOp(bytes) }));
  yield "digraph {";
  for (const { digest, op } of ops) {
    const label =
      op.kind === "terminal"
        ? digest
        : op.kind === "merge" || op.kind === "diff"
          ? op.kind
          : vertexName(op, {}, input => input.digest);
    yield `  ${quote(digest)} [label=${quote(label)} shape=${quote(SHAPES[op.kind])}];`;
  }
  for (const { digest, op } of ops) {
    for (const [index, input] of op.inputs.entries()) {
      const mounts = op.kind === "exec" ? op.spec.mounts : [];
      const label = mounts.filter(mount => mount.input === index && mount.dest !== "/").at(-1)?.dest ?? "";
      yield `  ${quote(input.digest)} -> ${quote(digest)} [label=${quote(label)}];`;
    }
  }
  yield "}";
}

/** A Graphviz string: quotes escaped, line ends as escapes. */
function quote(text: string): string {
  return JSON.stringify(text);
}
