// What a vertex is called when its program gave it no name. The words are those BuildKit's progress shows.
import type { OpMetadata } from "./definition.ts";
import type { Op } from "./ops.ts";
import type { FileChange } from "./op/file.ts";
import type { Input } from "./op/op.ts";

/** The custom name of a vertex, else what its op does. `nameOfInput` names the vertices that merges and diffs read. */
export function vertexName(op: Op, metadata: OpMetadata, nameOfInput: (input: Input) => string): string {
  const custom = metadata.description?.["llb.customname"];
  if (custom !== undefined && custom !== "") return custom;
  switch (op.kind) {
    case "source":
      return op.spec.identifier;
    case "exec":
      return (op.spec.meta?.args ?? []).join(" ");
    case "file":
      return op.spec.actions
        .flatMap(({ action }) => (action === undefined ? [] : changeName(action)))
        .join(", ");
    case "build":
      return "build";
    case "merge":
      return `merge (${op.inputs.map(nameOfInput).join(", ")})`;
    case "diff": {
      const side = (index = -1): string => {
        const input = op.inputs[index];
        return input === undefined ? "scratch" : `(${nameOfInput(input)})`;
      };
      return `diff ${side(op.spec.lower?.input)} -> ${side(op.spec.upper?.input)}`;
    }
    default: {
      const never: never = op;
      return never;
    }
  }
}

function changeName(change: FileChange): string {
  switch (change.kind) {
    case "copy":
      return `copy ${change.value.src} ${change.value.dest}`;
    case "symlink":
      return `symlink ${change.value.newpath} -> ${change.value.oldpath}`;
    case "mkdir":
    case "mkfile":
    case "rm":
      return `${change.kind} ${change.value.path}`;
    default: {
      const never: never = change;
      return never;
    }
  }
}
