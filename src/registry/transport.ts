// HTTP as registries need it: retries with patience, time limits, and errors that name the host and never a secret.
import { setTimeout as sleep } from "node:timers/promises";
import type { Code } from "../diagnostic/codes.ts";
import { BakeError, isAbort } from "../diagnostic/error.ts";
import { exchange, type HttpAnswer, type HttpExchange } from "./http.ts";
import { afterAttempts, noteAttempts, tellRetry } from "./patience.ts";

export interface TransportOptions {
  /** Sends one request. Default: over the network. */
  readonly exchange?: ((request: HttpExchange) => Promise<HttpAnswer>) | undefined;
  /** Hosts reached by plain http besides those of this machine. */
  readonly insecureHosts?: ReadonlySet<string> | undefined;
  /** Requests per call at most, the first included; default 5. */
  readonly attempts?: number | undefined;
  /** The first pause between attempts; it doubles each time. Default 300. */
  readonly backoffMs?: number | undefined;
  /** How long an answer may take to begin, and a stream to move on; default 60000. */
  readonly timeoutMs?: number | undefined;
  /** What errors call the other side, and their code; default "the registry" and "registry-failed". */
  readonly peer?: TransportPeer | undefined;
}

export interface TransportPeer {
  readonly noun: string;
  readonly code: Code;
}

const REGISTRY: TransportPeer = { noun: "the registry", code: "registry-failed" };

export interface HttpRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: HttpBody | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type HttpBody =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "form"; readonly fields: Readonly<Record<string, string>> }
  /** Sent once: a request with a stream is not repeated here. */
  | { readonly kind: "stream"; readonly stream: AsyncIterable<Uint8Array>; readonly sizeBytes: number };

export interface Transport {
  /** `http` or `https` and the host: what paths of a registry's API are appended to. */
  baseUrl(host: string): string;
  /** The answer, whatever its status, once it is not one that asks for patience. @throws BakeError "registry-failed" */
  send(request: HttpRequest): Promise<HttpAnswer>;
  /** The body of an answer, cut off when it stalls. Errors are those of the connection, for the caller to resume. */
  readBody(answer: HttpAnswer, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array, void, void>;
  /**
   * Waits before the next of several attempts (1 is the first repetition); false when there may be no further one.
   * What is known of the failure is told to whoever waits.
   */
  pause(
    attempt: number,
    signal: AbortSignal | undefined,
    known?: { readonly url?: string; readonly failure?: unknown },
  ): Promise<boolean>;
}

const ATTEMPTS = 5;
const BACKOFF_MS = 300;
const MAX_BACKOFF_MS = 10_000;
/** A registry may ask for more patience than a build has. */
const MAX_RETRY_AFTER_MS = 60_000;
const TIMEOUT_MS = 60_000;
/** A registry that hangs is given up sooner than one that answers badly. */
const MAX_TIMEOUTS = 2;
const PATIENCE = new Set([408, 429, 500, 502, 503, 504]);
const PASSING = new Set([
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
  "EAI_AGAIN",
  "ECONNABORTED",
  "ERR_STREAM_PREMATURE_CLOSE",
]);

export function createTransport(options: TransportOptions = {}): Transport {
  const {
    exchange: call = exchange,
    insecureHosts,
    attempts = ATTEMPTS,
    backoffMs = BACKOFF_MS,
    timeoutMs = TIMEOUT_MS,
    peer = REGISTRY,
  } = options;

  const pauseMs = (attempt: number): number => {
    const whole = Math.min(MAX_BACKOFF_MS, backoffMs * 2 ** (attempt - 1));
    // Half of it is random, so that many builds refused at once do not come back at once.
    return whole / 2 + (Math.random() * whole) / 2;
  };

  const once = async (request: HttpRequest): Promise<HttpAnswer> => {
    // A stream takes as long as it takes: only the caller's signal ends it.
    const limit = request.body?.kind === "stream" ? undefined : deadline(timeoutMs);
    try {
      const signals = [request.signal, limit?.signal].filter(signal => signal !== undefined);
      return await call({
        method: request.method,
        url: request.url,
        ...contentOf(request),
        ...(signals.length > 0 && { signal: AbortSignal.any(signals) }),
      });
    } catch (thrown) {
      request.signal?.throwIfAborted();
      if (limit?.signal.aborted === true)
        throw Object.assign(new Error("no answer in time"), { code: "ETIMEDOUT" });
      throw thrown;
    } finally {
      limit?.cancel();
    }
  };

  return {
    baseUrl: host => `${isPlain(host, insecureHosts) ? "http" : "https"}://${host}`,
    async send(request) {
      let timeouts = 0;
      for (let attempt = 1; ; attempt++) {
        const last = attempt >= attempts || request.body?.kind === "stream";
        try {
          const response = await once(request);
          if (last || !PATIENCE.has(response.status)) return noteAttempts(response, attempt);
          response.discard();
          const wait = retryAfterMs(response) ?? pauseMs(attempt);
          tellRetry(request.signal, {
            problem: `${peer.noun} at ${hostOf(request.url)} answered ${response.status}`,
            ...{ pauseMs: wait, attempt: attempt + 1, attempts },
          });
          await sleep(wait, undefined, { signal: request.signal });
        } catch (thrown) {
          if (isAbort(thrown) && request.signal?.aborted === true) throw thrown;
          if (codeOf(thrown) === "ETIMEDOUT") timeouts++;
          if (last || timeouts >= MAX_TIMEOUTS || !isPassing(thrown))
            throw connectionFailure(request.url, withAttempts(thrown, attempt), peer);
          const wait = pauseMs(attempt);
          tellRetry(request.signal, {
            problem: `cannot reach ${peer.noun} at ${hostOf(request.url)}: ${reasonOf(thrown)}`,
            ...{ pauseMs: wait, attempt: attempt + 1, attempts },
          });
          await sleep(wait, undefined, { signal: request.signal });
        }
      }
    },
    async *readBody({ body }, signal) {
      const stop = (): void => void body.destroy(asError(signal?.reason));
      if (signal?.aborted === true) stop();
      signal?.addEventListener("abort", stop, { once: true });
      let isWaiting = true;
      // Whoever takes the pieces may take their time.
      const stalled = setTimeout(() => {
        if (isWaiting) body.destroy(Object.assign(new Error("the transfer stalled"), { code: "ETIMEDOUT" }));
      }, timeoutMs);
      try {
        for await (const piece of body) {
          isWaiting = false;
          if (piece instanceof Uint8Array) yield piece;
          signal?.throwIfAborted();
          isWaiting = true;
          stalled.refresh();
        }
        signal?.throwIfAborted();
      } finally {
        clearTimeout(stalled);
        signal?.removeEventListener("abort", stop);
        body.destroy();
      }
    },
    async pause(attempt, signal, { url, failure } = {}) {
      if (attempt >= attempts) {
        if (failure !== undefined) withAttempts(failure, attempt);
        return false;
      }
      const wait = pauseMs(attempt);
      const where = url === undefined ? "" : ` at ${hostOf(url)}`;
      const reason = failure === undefined ? "the connection was closed" : reasonOf(failure);
      const problem = `the transfer with ${peer.noun}${where} broke off: ${reason}`;
      tellRetry(signal, { problem, pauseMs: wait, attempt: attempt + 1, attempts });
      await sleep(wait, undefined, { signal });
      return true;
    },
  };
}

interface Deadline {
  readonly signal: AbortSignal;
  cancel(): void;
}

/** Like AbortSignal.timeout, but it can be called off, which lets the process end. */
function deadline(ms: number): Deadline {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), ms);
  return { signal: controller.signal, cancel: () => clearTimeout(timer) };
}

function contentOf({ body, headers = {} }: HttpRequest): Pick<HttpExchange, "headers" | "body"> {
  switch (body?.kind) {
    case undefined:
      return { headers };
    case "bytes":
      return { headers, body: body.bytes };
    case "form":
      return {
        headers: { "content-type": "application/x-www-form-urlencoded;charset=UTF-8", ...headers },
        body: Buffer.from(new URLSearchParams(body.fields).toString()),
      };
    case "stream":
      return { headers: { ...headers, "content-length": String(body.sizeBytes) }, body: body.stream };
    default: {
      const never: never = body;
      return never;
    }
  }
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}

/** Registries of this machine speak plain http, as everywhere in the container world. */
function isPlain(host: string, insecureHosts: ReadonlySet<string> | undefined): boolean {
  if (insecureHosts?.has(host) === true) return true;
  const name = host.replace(/:\d+$/, "");
  return (
    name === "localhost" ||
    name.endsWith(".localhost") ||
    name === "[::1]" ||
    /^127\.\d+\.\d+\.\d+$/.test(name)
  );
}

function retryAfterMs(answer: HttpAnswer): number | undefined {
  const value = answer.header("retry-after");
  if (value === null) return undefined;
  const ms = /^\d+$/.test(value.trim()) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(0, Math.min(MAX_RETRY_AFTER_MS, ms));
}

/** The code of the operating system or HTTP library behind a failure, which may be hidden in causes. */
function codeOf(thrown: unknown): string | undefined {
  for (let at = thrown, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    if ("code" in at && typeof at.code === "string") return at.code;
    if (at instanceof AggregateError)
      for (const inner of at.errors) if (codeOf(inner) !== undefined) return codeOf(inner);
  }
  return undefined;
}

/** Whether a connection's failure may pass when tried again. */
export function isPassing(thrown: unknown): boolean {
  const code = codeOf(thrown);
  return code !== undefined && PASSING.has(code);
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "the connection was reset",
  EPIPE: "the connection was closed",
  ENOTFOUND: "no such host",
  EAI_AGAIN: "the host name could not be looked up",
  ETIMEDOUT: "no answer in time",
  EHOSTUNREACH: "the host cannot be reached",
  ENETUNREACH: "the network cannot be reached",
  ERR_STREAM_PREMATURE_CLOSE: "the connection was closed",
  ERR_SSL_WRONG_VERSION_NUMBER: "it does not speak https",
  EPROTO: "it does not speak https",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is self-signed",
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate is signed by an unknown authority",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate is signed by an unknown authority",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its certificate is signed by an unknown authority",
  CERT_HAS_EXPIRED: "its certificate has expired",
};

function reasonOf(thrown: unknown): string {
  const code = codeOf(thrown);
  return REASONS[code ?? ""] ?? code ?? "the request failed";
}

function withAttempts(thrown: unknown, attempts: number): unknown {
  return thrown instanceof Error ? noteAttempts(thrown, attempts) : thrown;
}

/** @returns BakeError of the peer's code naming host and port, or the thrown value when it says all already */
export function connectionFailure(url: string, thrown: unknown, peer: TransportPeer = REGISTRY): unknown {
  if (thrown instanceof BakeError || isAbort(thrown)) return thrown;
  const reason = reasonOf(thrown);
  const hint =
    reason === "it does not speak https" && peer === REGISTRY
      ? `if "${hostOf(url)}" is meant to be plain http, mark it as insecure`
      : reason.includes("unknown authority") || reason.includes("self-signed")
        ? "add the authority's certificate with NODE_EXTRA_CA_CERTS=FILE"
        : undefined;
  return new BakeError(
    peer.code,
    `cannot reach ${peer.noun} at ${hostOf(url)}${afterAttempts(thrown)}: ${reason}`,
    {
      cause: thrown,
      hint,
    },
  );
}

/** Host and port of a URL, the port also when it is the scheme's own. */
function hostOf(url: string): string {
  const { hostname, port, protocol } = new URL(url);
  return `${hostname}:${port || (protocol === "http:" ? "80" : "443")}`;
}

/** A URL without user, password, query and fragment: those carry signatures and tokens. */
export function redactUrl(url: string): string {
  try {
    const { protocol, host, pathname, search } = new URL(url);
    return `${protocol}//${host}${pathname}${search === "" ? "" : "?…"}`;
  } catch {
    return "(malformed URL)";
  }
}
