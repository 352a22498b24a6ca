// What steps may do beyond the default only with an entitlement (BuildKit: solver/llbsolver ValidateEntitlements): use
// the machine's network, run privileged, use devices. All steps are checked before the first one runs.
import { BakeError } from "../diagnostic/error.ts";
import type { GraphVertex, Graph } from "../llb/graph.ts";
import type { ExecOp } from "../llb/op/exec.ts";
import { rangeOfVertex } from "./graph.ts";

interface Need {
  readonly entitlement: string;
  readonly what: string;
}

/**
 * `granted` are the entitlements of a target; steps of no target have what all targets have.
 * @throws BakeError "entitlement-missing" naming every step that needs more
 */
export function expectEntitled(graph: Graph, granted: ReadonlyMap<string, readonly string[]>): void {
  const common = commonTo([...granted.values()]);
  const errors: BakeError[] = [];
  for (const vertex of graph.vertices.values()) {
    if (vertex.op.kind !== "exec") continue;
    for (const need of needsOf(vertex.op.spec)) {
      const without = vertex.targets.find(target => !allows(granted.get(target) ?? common, need.entitlement));
      if (without !== undefined) errors.push(refused(graph, vertex, without, need));
    }
  }
  if (errors.length > 0) throw BakeError.ofDiagnostics(errors.flatMap(({ diagnostics }) => diagnostics));
}

function needsOf({ network, security, cdiDevices }: ExecOp): readonly Need[] {
  return [
    ...(network === "host" ? [{ entitlement: "network.host", what: "for the host's network" }] : []),
    ...(security === "insecure" ? [{ entitlement: "security.insecure", what: "to run privileged" }] : []),
    ...cdiDevices.map(({ name }) => ({ entitlement: `device=${name}`, what: `for the device "${name}"` })),
  ];
}

/** A device may be granted by its name or its kind, and all devices at once. */
function allows(granted: readonly string[], entitlement: string): boolean {
  if (granted.includes(entitlement)) return true;
  const [key, name] = entitlement.split("=");
  return (
    key === "device" &&
    granted.some(entry => {
      const [, given] = /^device(?:=([^,]*).*)?$/.exec(entry) ?? [];
      return entry === "device" || given === "*" || (given !== undefined && given === name);
    })
  );
}

function commonTo(lists: readonly (readonly string[])[]): readonly string[] {
  const [first = [], ...rest] = lists;
  return first.filter(entry => rest.every(list => list.includes(entry)));
}

function refused(
  graph: Graph,
  { digest }: GraphVertex,
  target: string,
  { entitlement, what }: Need,
): BakeError {
  const whose = target === "" ? "a step" : `a step of target "${target}"`;
  const error = new BakeError("entitlement-missing", `${whose} asks ${what}, which was not granted`, {
    hint: `if you trust it, add --allow=${/^[\w.=/-]+$/.test(entitlement) ? entitlement : `'${entitlement}'`}`,
  });
  const range = rangeOfVertex(graph, digest);
  return range === undefined ? error : error.at(range);
}
