// Requests to the distribution API of a repository: address, authorisation and errors in one place
// (OCI distribution spec 1.1).
import { BakeError } from "../diagnostic/error.ts";
import { createAuthorizer, denied, type Authorizer, type CredentialSource, type Scope } from "./auth.ts";
import { afterAttempts } from "./patience.ts";
import type { HttpAnswer } from "./http.ts";
import { type HttpBody, type HttpRequest, redactUrl, type Transport } from "./transport.ts";

export interface ApiRequest {
  /** Host as users write it. */
  readonly registry: string;
  readonly repository: string;
  readonly method: HttpRequest["method"];
  /** Below `/v2/<repository>/`, or a whole URL the registry gave. */
  readonly path: string;
  readonly actions: Scope["actions"];
  /** Further repositories that must be readable (for mounts). */
  readonly alsoPull?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
  /** Made anew for each attempt. */
  readonly body?: () => HttpBody;
  readonly signal?: AbortSignal | undefined;
}

export interface RegistryApi {
  readonly transport: Transport;
  /** The answer of any status but 401. @throws BakeError "registry-denied", "registry-failed" */
  request(request: ApiRequest): Promise<HttpAnswer>;
}

const HUB = "docker.io";
const HUB_API = "registry-1.docker.io";
/** An error document is small; more is not worth reading. */
const MAX_ERROR_BYTES = 64 * 1024;

export function createRegistryApi({
  transport,
  credentials,
}: {
  readonly transport: Transport;
  readonly credentials: CredentialSource;
}): RegistryApi {
  const authorizers = new Map<string, Authorizer>();
  const authorizerOf = (host: string): Authorizer => {
    let authorizer = authorizers.get(host);
    if (authorizer === undefined) {
      authorizer = createAuthorizer({ host, transport, credentials });
      authorizers.set(host, authorizer);
    }
    return authorizer;
  };

  return {
    transport,
    async request({
      registry,
      repository,
      method,
      path,
      actions,
      alsoPull = [],
      headers = {},
      body,
      signal,
    }) {
      const base = transport.baseUrl(registry === HUB ? HUB_API : registry);
      const url = /^https?:\/\//.test(path) ? path : `${base}/v2/${repository}/${path}`;
      // Uploads may continue at another address: it gets the data, not the credentials.
      const isOwn = new URL(url).origin === new URL(base).origin;
      const scopes: Scope[] = [
        { repository, actions },
        ...alsoPull.map((name): Scope => ({ repository: name, actions: "pull" })),
      ];
      const authorizer = authorizerOf(registry);
      const send = (authorization: string | undefined): Promise<HttpAnswer> =>
        transport.send({
          method,
          url,
          signal,
          headers: authorization === undefined ? headers : { ...headers, authorization },
          body: body?.(),
        });

      const first = isOwn ? await authorizer.header(scopes, signal) : undefined;
      let response = await send(first);
      if (response.status === 401 && isOwn) {
        const challenge = response.header("www-authenticate");
        response.discard();
        const next = await authorizer.answer(challenge, scopes, first, signal);
        if (next === undefined) throw denied(registry, first !== undefined, repository);
        response = await send(next);
        if (response.status === 401) {
          const detail = await errorDetail(response);
          throw denied(registry, true, repository, detail);
        }
      }
      if (response.status === 403 || response.status === 401)
        throw denied(registry, first !== undefined, repository, await errorDetail(response));
      return response;
    },
  };
}

/** The error for an answer of a status that the caller did not expect. */
export async function unexpectedAnswer(doing: string, response: HttpAnswer): Promise<BakeError> {
  const detail = await errorDetail(response);
  const hint =
    response.status === 429 ? "the registry limits requests: wait, or log in for a higher limit" : undefined;
  return new BakeError(
    "registry-failed",
    `${doing} failed: ${redactUrl(response.url)} answered ${response.status}${detail === "" ? "" : ` (${detail})`}${afterAttempts(response)}`,
    { hint },
  );
}

/** What the error document of a registry says (distribution spec, "Error Codes"), cut to a line. */
async function errorDetail(response: HttpAnswer): Promise<string> {
  if (Number(response.header("content-length") ?? 0) > MAX_ERROR_BYTES) {
    response.discard();
    return "";
  }
  try {
    const document: unknown = JSON.parse(await response.text());
    if (
      typeof document !== "object" ||
      document === null ||
      !("errors" in document) ||
      !Array.isArray(document.errors)
    )
      return "";
    const first: unknown = document.errors[0];
    if (typeof first !== "object" || first === null) return "";
    const fields: { code?: unknown; message?: unknown } = first;
    const text = [fields.code, fields.message]
      .filter(part => typeof part === "string" && part !== "")
      .join(": ");
    return text.replace(/\s+/g, " ").slice(0, 200);
  } catch {
    return "";
  }
}
