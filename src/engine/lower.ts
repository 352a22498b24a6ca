// From requests to LLB: every request's frontend runs once, linked ones after those they take their inputs from, all
// others at the same time.
import { loadFrontend } from "../frontend/frontends.ts";
import type { FrontendHost, FrontendInput } from "../frontend/frontend.ts";
import type { LoweredRequest, SolveRequest } from "./engine.ts";
import { BakeError } from "../diagnostic/error.ts";
import { formatPlatform } from "../oci/platform.ts";
import { checkLinks, requestsNeededBy } from "./links.ts";

/** Lowers all requests. @throws BakeError of the first request (in order) that fails, once all have settled */
export async function lowerRequests(
  requests: readonly SolveRequest[],
  host: FrontendHost,
  signal: AbortSignal,
): Promise<readonly LoweredRequest[]> {
  checkLinks(requests);
  const byName = new Map(requests.map(request => [request.name, request]));
  const started = new Map<string, Promise<LoweredRequest>>();
  const lowered = (name: string): Promise<LoweredRequest> => {
    const running = started.get(name);
    if (running !== undefined) return running;
    const request = byName.get(name);
    if (request === undefined) throw new BakeError("internal", "BUG: link was not checked");
    const promise = lowerOne(request, lowered, host, signal);
    started.set(name, promise);
    return promise;
  };
  const settled = await Promise.allSettled(requests.map(request => lowered(request.name)));
  return settled.map(outcome => {
    if (outcome.status === "rejected") throw BakeError.from(outcome.reason);
    return outcome.value;
  });
}

async function lowerOne(
  { name, work }: SolveRequest,
  lowered: (name: string) => Promise<LoweredRequest>,
  host: FrontendHost,
  signal: AbortSignal,
): Promise<LoweredRequest> {
  if (work.tag === "definition") {
    const { definition, platform } = work;
    const config = work.config ?? {
      architecture: platform.architecture,
      os: platform.os,
      ...(platform.variant && { variant: platform.variant }),
      rootfs: { type: "layers" as const, diff_ids: [] },
    };
    return { name, images: [{ platform, definition, config }], warnings: [], ignoreFiles: [] };
  }
  const inputs: Record<string, FrontendInput> = {};
  Object.assign(inputs, work.inputs);
  for (const [key, linked] of Object.entries(work.links))
    Object.assign(inputs, inputsFrom(key, await lowered(linked)));
  const frontend = await loadFrontend(work.frontend);
  signal.throwIfAborted();
  const {
    images,
    warnings,
    ignoreFiles = [],
    sourceDateEpoch,
  } = await frontend.lower({ ...work.request, inputs }, host, signal);
  return { name, images, warnings, ignoreFiles, ...(sourceDateEpoch !== undefined && { sourceDateEpoch }) };
}

/** The inputs that links stand for: entries of an input's key and the name of the request it is the result of. */
export async function inputsFromLinks(
  links: readonly (readonly [key: string, name: string])[],
  requests: readonly SolveRequest[],
  host: FrontendHost,
  signal: AbortSignal,
): Promise<Readonly<Record<string, FrontendInput>>> {
  const needed = requestsNeededBy(
    links.map(([, name]) => name),
    requests,
  );
  const lowered = new Map(
    (await lowerRequests(needed, host, signal)).map(request => [request.name, request] as const),
  );
  const inputs: Record<string, FrontendInput> = {};
  for (const [key, name] of links) {
    const linked = lowered.get(name);
    if (linked !== undefined) Object.assign(inputs, inputsFrom(key, linked));
  }
  return inputs;
}

/** One input per platform, `KEY::os/arch`, and plain `KEY` when there is only one. */
function inputsFrom(key: string, linked: LoweredRequest): Record<string, FrontendInput> {
  const inputs: Record<string, FrontendInput> = {};
  for (const { platform, definition, config } of linked.images)
    inputs[`${key}::${formatPlatform(platform)}`] = { definition, config };
  const [only] = linked.images;
  if (linked.images.length === 1 && only !== undefined)
    inputs[key] = { definition: only.definition, config: only.config };
  return inputs;
}
