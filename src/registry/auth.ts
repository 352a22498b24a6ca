// How a registry lets a client in: Basic, or Bearer tokens from a token server (distribution spec's "token
// authentication" and its OAuth2 form). Tokens are kept per scope and fetched anew when they expire during a build.
import { BakeError } from "../diagnostic/error.ts";
import type { HttpAnswer } from "./http.ts";
import { afterAttempts } from "./patience.ts";
import { redactUrl, type Transport } from "./transport.ts";

/** What a user is known by at a registry. */
export type Credentials =
  | { readonly kind: "basic"; readonly username: string; readonly password: string }
  | { readonly kind: "token"; readonly identityToken: string };

/** Asked once per host, and again after a refusal: helpers hand out short-lived credentials. */
export type CredentialSource = (host: string) => Promise<Credentials | undefined>;

/** One repository and what is to be done in it: `pull` or `pull,push`. */
export interface Scope {
  readonly repository: string;
  readonly actions: "pull" | "pull,push";
}

export interface Authorizer {
  /** The Authorization header to try, undefined when none is known to be needed. */
  header(scopes: readonly Scope[], signal: AbortSignal | undefined): Promise<string | undefined>;
  /** After a 401: the header to repeat the request with, undefined when there is nothing better than what was sent. */
  answer(
    challenge: string | null,
    scopes: readonly Scope[],
    sent: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<string | undefined>;
}

export type Challenge =
  | { readonly scheme: "basic" }
  | { readonly scheme: "bearer"; readonly realm: string; readonly service: string | undefined };

/** Tokens without a stated lifetime live this long (distribution spec, token authentication). */
const TOKEN_SECONDS = 60;
/** A token is not used in its last moments: the request must still arrive in time. */
const MARGIN_MS = 10_000;
const CLIENT_ID = "llbake";

interface Token {
  readonly value: string;
  readonly expiresAt: number;
}

/** The authorizer of one host. `host` is the name users know it by ("docker.io"). */
export function createAuthorizer({
  host,
  transport,
  credentials,
}: {
  readonly host: string;
  readonly transport: Transport;
  readonly credentials: CredentialSource;
}): Authorizer {
  let challenge: Challenge | undefined;
  let account: Promise<Credentials | undefined> | undefined;
  const tokens = new Map<string, Promise<Token>>();

  const askAccount = (): Promise<Credentials | undefined> => (account ??= credentials(host));

  const tokenFor = async (
    bearer: Challenge & { scheme: "bearer" },
    scopes: readonly Scope[],
    signal: AbortSignal | undefined,
  ): Promise<string> => {
    const key = scopeKey(scopes);
    for (let pending = tokens.get(key); pending !== undefined; pending = tokens.get(key)) {
      const known = await pending.catch(() => undefined);
      if (known !== undefined && known.expiresAt - MARGIN_MS > Date.now()) return `Bearer ${known.value}`;
      // Expired, or whoever asked failed: this request asks, unless another was quicker.
      if (tokens.get(key) === pending) tokens.delete(key);
    }
    const fresh = askAccount().then(found => fetchToken(transport, host, bearer, scopes, found, signal));
    tokens.set(key, fresh);
    try {
      return `Bearer ${(await fresh).value}`;
    } catch (thrown) {
      // A failure is no answer to keep: the next request asks again.
      if (tokens.get(key) === fresh) tokens.delete(key);
      account = undefined;
      throw thrown;
    }
  };

  const headerFor = async (
    known: Challenge,
    scopes: readonly Scope[],
    signal: AbortSignal | undefined,
  ): Promise<string | undefined> => {
    if (known.scheme === "bearer") return tokenFor(known, scopes, signal);
    const found = await askAccount();
    return found?.kind === "basic" ? basicHeader(found) : undefined;
  };

  return {
    header: (scopes, signal) =>
      challenge === undefined ? Promise.resolve(undefined) : headerFor(challenge, scopes, signal),
    async answer(header, scopes, sent, signal) {
      challenge = parseChallenge(header) ?? challenge;
      if (challenge === undefined) return undefined;
      if (sent !== undefined) {
        // Refused although authorised: the token or the credentials ran out, unless another request renewed them since.
        const current = await tokens.get(scopeKey(scopes))?.catch(() => undefined);
        if (current === undefined || sent === `Bearer ${current.value}`) {
          tokens.delete(scopeKey(scopes));
          account = undefined;
        }
      }
      const next = await headerFor(challenge, scopes, signal);
      return next === sent && challenge.scheme === "basic" ? undefined : next;
    },
  };
}

function scopeKey(scopes: readonly Scope[]): string {
  return scopes.map(formatScope).sort().join(" ");
}

function formatScope({ repository, actions }: Scope): string {
  return `repository:${repository}:${actions}`;
}

function basicHeader({
  username,
  password,
}: {
  readonly username: string;
  readonly password: string;
}): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

/** Reads a WWW-Authenticate header (RFC 9110, section 11.6.1); Bearer is preferred when several schemes are offered. */
export function parseChallenge(header: string | null): Challenge | undefined {
  if (header === null) return undefined;
  let best: Challenge | undefined;
  const schemes = [...header.matchAll(/(?:^|,)\s*(Bearer|Basic)(?=\s|$|,)/gi)];
  for (const [index, scheme] of schemes.entries()) {
    const rest = header.slice(scheme.index + scheme[0].length, schemes[index + 1]?.index);
    if (scheme[1]?.toLowerCase() === "basic") {
      best ??= { scheme: "basic" };
      continue;
    }
    const values = new Map<string, string>();
    for (const [, key = "", quoted, bare] of rest.matchAll(
      /([a-zA-Z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))/g,
    )) {
      values.set(key.toLowerCase(), quoted?.replace(/\\(.)/g, "$1") ?? bare ?? "");
    }
    const realm = values.get("realm");
    if (realm !== undefined && URL.canParse(realm))
      return { scheme: "bearer", realm, service: values.get("service") };
  }
  return best;
}

async function fetchToken(
  transport: Transport,
  host: string,
  { realm, service }: Challenge & { scheme: "bearer" },
  scopes: readonly Scope[],
  account: Credentials | undefined,
  signal: AbortSignal | undefined,
): Promise<Token> {
  const url = new URL(realm);
  if (
    account !== undefined &&
    url.protocol !== "https:" &&
    transport.baseUrl(url.host).startsWith("https:") &&
    !transport.baseUrl(host).startsWith("http:")
  ) {
    throw new BakeError(
      "registry-denied",
      `refused to send credentials for "${host}" over plain http to ${redactUrl(realm)}`,
    );
  }
  const scope = scopes.map(formatScope);
  const post = (fields: Record<string, string>): Promise<HttpAnswer> =>
    transport.send({
      method: "POST",
      url: realm,
      signal,
      body: {
        kind: "form",
        fields: {
          ...fields,
          client_id: CLIENT_ID,
          scope: scope.join(" "),
          ...(service !== undefined && { service }),
        },
      },
    });
  const get = (authorization?: string): Promise<HttpAnswer> => {
    if (service !== undefined) url.searchParams.set("service", service);
    for (const one of scope) url.searchParams.append("scope", one);
    return transport.send({
      method: "GET",
      url: url.href,
      signal,
      headers: authorization === undefined ? {} : { authorization },
    });
  };

  let response: HttpAnswer;
  switch (account?.kind) {
    case undefined:
      response = await get();
      break;
    case "token":
      response = await post({ grant_type: "refresh_token", refresh_token: account.identityToken });
      break;
    case "basic":
      response = await get(basicHeader(account));
      // Servers that know only OAuth2.
      if (response.status === 404 || response.status === 405) {
        response.discard();
        response = await post({
          grant_type: "password",
          username: account.username,
          password: account.password,
        });
      }
      break;
    default: {
      const never: never = account;
      return never;
    }
  }
  if (!response.ok) {
    response.discard();
    const refused = response.status === 401 || response.status === 403 || response.status === 400;
    throw refused
      ? denied(host, account !== undefined, scopes[0]?.repository)
      : new BakeError(
          "registry-failed",
          `cannot get a token for "${host}" from ${redactUrl(realm)}: it answered ${response.status}${afterAttempts(response)}`,
        );
  }
  return readToken(await response.text(), host);
}

function readToken(text: string, host: string): Token {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    document = undefined;
  }
  const fields: { token?: unknown; access_token?: unknown; expires_in?: unknown } =
    typeof document === "object" && document !== null ? document : {};
  const value = typeof fields.token === "string" && fields.token !== "" ? fields.token : fields.access_token;
  if (typeof value !== "string" || value === "")
    throw new BakeError("registry-failed", `cannot get a token for "${host}": the answer has none`);
  const seconds = typeof fields.expires_in === "number" ? fields.expires_in : TOKEN_SECONDS;
  return { value, expiresAt: Date.now() + Math.max(seconds, TOKEN_SECONDS) * 1000 };
}

/** The error of a registry that does not let the user in. */
export function denied(
  host: string,
  hasAccount: boolean,
  repository: string | undefined,
  detail = "",
): BakeError {
  const what = repository === undefined ? `"${host}"` : `"${host}/${repository}"`;
  const login = host === "docker.io" ? "docker login" : `docker login ${host}`;
  return new BakeError(
    "registry-denied",
    `the registry refused access to ${what}${detail === "" ? "" : `: ${detail}`}`,
    {
      hint: hasAccount
        ? `check that the account may use it, or log in again: ${login}`
        : `log in if it exists: ${login}`,
    },
  );
}
