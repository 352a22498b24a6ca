// Questions to frontends: what a build's checks say, what it can be given, which targets it has. Nothing runs but the
// lowering of the requests that a question is linked to.
import { BakeError } from "../diagnostic/error.ts";
import type { FrontendHost } from "../frontend/frontend.ts";
import { loadFrontend } from "../frontend/frontends.ts";
import type { CallReport, CallRequest, SolveRequest } from "./engine.ts";
import { inputsFromLinks } from "./lower.ts";

/** Asks all at the same time. @throws BakeError of the first (in order) that fails, once all have settled */
export async function callFrontends(
  calls: readonly CallRequest[],
  requests: readonly SolveRequest[],
  host: FrontendHost,
  signal: AbortSignal,
): Promise<readonly CallReport[]> {
  const settled = await Promise.allSettled(calls.map(call => callOne(call, requests, host, signal)));
  return settled.map(outcome => {
    if (outcome.status === "rejected") throw BakeError.from(outcome.reason);
    return outcome.value;
  });
}

async function callOne(
  { name, method, work }: CallRequest,
  requests: readonly SolveRequest[],
  host: FrontendHost,
  signal: AbortSignal,
): Promise<CallReport> {
  const frontend = await loadFrontend(work.frontend);
  if (frontend.call === undefined)
    throw new BakeError("not-supported", `the frontend "${work.frontend}" cannot answer "${method}"`);
  // The list of targets is told by the text alone.
  const inputs =
    method === "targets"
      ? { ...work.inputs }
      : { ...work.inputs, ...(await inputsFromLinks(Object.entries(work.links), requests, host, signal)) };
  const answer = await frontend.call({ ...work.request, inputs }, host, signal, method);
  return { name, answer };
}
