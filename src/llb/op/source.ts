// The source op (pb.SourceOp): where bytes come from outside the graph. Attribute names are those of BuildKit's
// solver/pb/attr.go.
import { BakeError } from "../../diagnostic/error.ts";
import { map, message, text } from "../message.ts";
import type { OpCheck } from "./op.ts";

export interface SourceOp {
  /** `docker-image://…`, `local://…`, `git://…`, `https://…`, `oci-layout://…`. */
  readonly identifier: string;
  /** `image.resolvemode`, `local.session`, `git.fullurl`, `http.checksum`, … */
  readonly attrs: Readonly<Record<string, string>>;
}

export const sourceOp = message<SourceOp>("SourceOp", {
  identifier: text(1),
  attrs: map(2, text),
});

export const checkSource: OpCheck<SourceOp> = ({ identifier }, inputs) => {
  if (identifier === "") throw new BakeError("llb-invalid", "a source has no identifier");
  if (inputs.length > 0) throw new BakeError("llb-invalid", `source "${identifier}" has inputs`);
};

/** The scheme of an identifier: `docker-image`, `local`, `git`, `http`, `https`, `oci-layout`, …; empty when it has none. */
export function sourceScheme(identifier: string): string {
  const end = identifier.indexOf("://");
  return end < 0 ? "" : identifier.slice(0, end);
}
