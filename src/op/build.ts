// The build op: a definition found inside another result, solved in its place and on the same graph, as BuildKit does
// (solver/llbsolver/ops/build.go). Like there, only LLB itself builds; its own inputs are what the definition says.
import { readFileSync, statSync } from "node:fs";
import { BakeError, isAbort } from "../diagnostic/error.ts";
import { fileFailure } from "../layer/errno.ts";
import { resolveInRoot } from "../layer/rootpath.ts";
import type { Definition } from "../llb/definition.ts";
import { readDefinition } from "../llb/marshal.ts";
import { type BuildOp, DEFINITION_FILE_ATTR, LLB_BUILDER, LLB_DEFINITION_INPUT } from "../llb/op/build.ts";
import type { Ref } from "../snapshot/ref.ts";
import type { InputKeying } from "../solver/op.ts";
import type { Worker } from "../worker/worker.ts";
import type { OpBinding } from "./binding.ts";
import { contentKeying, openTree } from "./tree.ts";

export const buildBinding: OpBinding<"build"> = {
  cacheMap: ({ op }, { worker }) => {
    const definition = definitionOf(op.spec);
    const file = { path: definition.path, wildcard: false, followSymlink: true };
    return Promise.resolve({
      parts: [{ label: "definition", value: definition.path, shown: definition.path }],
      // Only the file is read of the input, and of the other inputs nothing.
      inputs: op.inputs.map((_, input): InputKeying<Ref> => {
        const keying = contentKeying(worker, input === definition.input ? [file] : []);
        return {
          ...keying,
          contentKey: async (ref, context) => {
            try {
              return await keying.contentKey(ref, context);
            } catch (error) {
              throw unreadable(definition.path, error);
            }
          },
        };
      }),
    });
  },
  async exec({ op, digest }, inputs, { worker, solve }, { signal }) {
    const { input, path } = definitionOf(op.spec);
    const ref = inputs[input];
    if (ref === undefined)
      throw new BakeError("llb-invalid", `a build op takes its definition from the unknown input ${input}`);
    return [await solve(await readFrom(ref, path, worker), { within: digest, signal })];
  },
};

function definitionOf({ builder, inputs, attrs }: BuildOp): {
  readonly input: number;
  readonly path: string;
} {
  if (builder !== LLB_BUILDER)
    throw new BakeError("not-supported", "a build op with a frontend as its builder cannot be built", {
      hint: `only LLB is a builder of build ops (${LLB_BUILDER}), as in BuildKit`,
    });
  const input = inputs[LLB_DEFINITION_INPUT]?.input;
  if (input === undefined)
    throw new BakeError("llb-invalid", `a build op has no input named "${LLB_DEFINITION_INPUT}"`);
  return { input, path: attrs[DEFINITION_FILE_ATTR] ?? LLB_DEFINITION_INPUT };
}

async function readFrom(ref: Ref, path: string, worker: Worker): Promise<Definition> {
  await using tree = await openTree(ref, worker);
  if (tree === undefined) throw unreadable(path, new BakeError("file-missing", "there are no files"));
  try {
    const file = resolveInRoot(tree.root, path, { followLast: true });
    if (!statSync(file).isFile()) throw new BakeError("file-operation", "it is not a file");
    return readDefinition(readFileSync(file));
  } catch (error) {
    throw unreadable(path, fileFailure("read", path, error));
  }
}

function unreadable(path: string, cause: unknown): unknown {
  if (isAbort(cause)) return cause;
  const { code, message, diagnostics } = BakeError.from(cause);
  return new BakeError(code, `cannot build from the definition "${path}": ${message}`, {
    cause,
    hint: diagnostics[0]?.hint,
  });
}
