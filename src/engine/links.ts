// The order among requests that are linked to each other (`target:` contexts), and the loops that have none.
import { BakeError } from "../diagnostic/error.ts";
import type { SolveRequest } from "./engine.ts";

/** Names of the requests a request takes its inputs from. */
function linkedNames(request: SolveRequest): readonly string[] {
  return request.work.tag === "frontend" ? Object.values(request.work.links) : [];
}

/** The requests of some names and all that they are linked to, in their order. */
export function requestsNeededBy(
  names: readonly string[],
  requests: readonly SolveRequest[],
): readonly SolveRequest[] {
  const byName = new Map(requests.map(request => [request.name, request]));
  const needed = new Set<string>();
  const visit = (name: string): void => {
    if (needed.has(name)) return;
    needed.add(name);
    const request = byName.get(name);
    if (request !== undefined) linkedNames(request).forEach(visit);
  };
  names.forEach(visit);
  return requests.filter(({ name }) => needed.has(name));
}

/** Throws when a link names no request, or when requests link to each other in a loop. @throws BakeError "bake-resolve" */
export function checkLinks(requests: readonly SolveRequest[]): void {
  const byName = new Map(requests.map(request => [request.name, request]));
  const settled = new Set<string>();
  const visit = (name: string, path: readonly string[]): void => {
    if (settled.has(name)) return;
    if (path.includes(name)) {
      const loop = [...path.slice(path.indexOf(name)), name].join(" -> ");
      throw new BakeError("bake-resolve", `targets depend on each other in a loop: ${loop}`);
    }
    const request = byName.get(name);
    if (request === undefined)
      throw new BakeError(
        "bake-resolve",
        `"${path.at(-1) ?? ""}" needs "${name}", which is not part of this build`,
      );
    for (const linked of linkedNames(request)) visit(linked, [...path, name]);
    settled.add(name);
  };
  for (const { name } of requests) visit(name, []);
}
