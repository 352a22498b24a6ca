// One HTTP request over node:http and node:https, which load faster than fetch: redirects (RFC 9110, section
// 15.4; credentials stay with the origin they are for) and content codings. Connections are kept for the next request,
// and do not keep the process.
import type { ClientRequest, IncomingMessage } from "node:http";
import { pipeline, Readable, type Transform } from "node:stream";

export interface HttpExchange {
  readonly method: string;
  readonly url: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | AsyncIterable<Uint8Array> | undefined;
  /** Ends the request, and the answer's body as long as it is read. */
  readonly signal?: AbortSignal | undefined;
}

/** An answer whose body is still to be read, or to be discarded. */
export interface HttpAnswer {
  readonly status: number;
  /** Whether the status is one of success. */
  readonly ok: boolean;
  /** Where it came from, after redirects. */
  readonly url: string;
  /** The value of a header, null when there is none. */
  header(name: string): string | null;
  /** The body without content coding. */
  readonly body: Readable;
  /** The whole body. @throws the connection's error */
  text(): Promise<string>;
  /** Nothing of the body is wanted: the connection is used again when little of it is left, else closed. */
  discard(): void;
}

const MAX_REDIRECTS = 20;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** What is meant for one origin alone. */
const PRIVATE_HEADERS = ["authorization", "proxy-authorization", "cookie", "host"];
/** Reading this much is quicker than connecting anew. */
const MAX_DRAINED_BYTES = 64 * 1024;

/** Sends a request and waits for the answer to begin. @throws the connection's error, with its code */
export async function exchange(request: HttpExchange): Promise<HttpAnswer> {
  let current = request;
  for (let redirects = 0; ; redirects++) {
    const answer = await once(current);
    const location = REDIRECTS.has(answer.status) ? answer.header("location") : null;
    if (location === null) return answer;
    answer.discard();
    if (redirects === MAX_REDIRECTS) throw new Error("too many redirects");
    current = redirected(current, answer.status, new URL(location, current.url));
  }
}

function redirected(request: HttpExchange, status: number, to: URL): HttpExchange {
  const { method, url, body } = request;
  const headers = { ...request.headers };
  if (new URL(url).origin !== to.origin) for (const name of PRIVATE_HEADERS) delete headers[name];
  const becomesGet =
    status === 303 ? method !== "GET" && method !== "HEAD" : status < 303 && method === "POST";
  if (becomesGet) {
    for (const name of Object.keys(headers)) if (name.startsWith("content-")) delete headers[name];
    return { ...request, method: "GET", url: to.href, headers, body: undefined };
  }
  if (body !== undefined && !(body instanceof Uint8Array))
    throw new Error("a redirect of what can be sent only once");
  return { ...request, url: to.href, headers };
}

async function once(exchange: HttpExchange): Promise<HttpAnswer> {
  const { method, url, headers, body, signal } = exchange;
  const { request } = await (url.startsWith("https:") ? import("node:https") : import("node:http"));
  signal?.throwIfAborted();
  const length = body instanceof Uint8Array && { "content-length": String(body.length) };
  const sent = request(new URL(url), {
    method,
    headers: {
      accept: "*/*",
      // Lengths and ranges are then those of the content.
      "accept-encoding": "identity",
      "user-agent": "llbake",
      ...length,
      ...headers,
    },
    ...(signal && { signal }),
  });
  let message: IncomingMessage;
  try {
    message = await new Promise<IncomingMessage>((resolve, reject) => {
      sent.once("response", resolve);
      // Also those after the answer, which its body tells.
      sent.on("error", reject);
      if (body === undefined || body instanceof Uint8Array) sent.end(body);
      else pipeline(Readable.from(body, { objectMode: false }), sent, error => error && reject(error));
    });
  } catch (thrown) {
    // The server closed a kept connection just when it was used again: that says nothing of the request.
    const again = sent.reusedSocket && isClosed(thrown) && (body === undefined || body instanceof Uint8Array);
    if (again && signal?.aborted !== true) return await once(exchange);
    throw thrown;
  }
  // Whoever reads is told; nobody else needs to know.
  message.on("error", () => undefined);
  const status = message.statusCode ?? 0;
  const hasBody = method !== "HEAD" && status !== 204 && status !== 304;
  return answerOf(sent, message, { url, content: hasBody ? await decoded(message) : message });
}

function isClosed(thrown: unknown): boolean {
  return (
    thrown instanceof Error && "code" in thrown && (thrown.code === "ECONNRESET" || thrown.code === "EPIPE")
  );
}

function answerOf(
  sent: ClientRequest,
  message: IncomingMessage,
  { url, content }: { readonly url: string; readonly content: Readable },
): HttpAnswer {
  const status = message.statusCode ?? 0;
  const header = (name: string): string | null => {
    const value = message.headers[name];
    return (Array.isArray(value) ? value.join(", ") : value) ?? null;
  };
  /** A server that answers before it has everything does not want the rest. */
  const stopSending = (): void => {
    if (!sent.writableFinished) sent.destroy();
  };
  return {
    status,
    ok: status >= 200 && status < 300,
    url,
    header,
    body: content,
    async text() {
      const pieces: Buffer[] = [];
      try {
        for await (const piece of content) if (piece instanceof Uint8Array) pieces.push(Buffer.from(piece));
      } finally {
        stopSending();
      }
      return Buffer.concat(pieces).toString();
    },
    discard() {
      const left = sent.method === "HEAD" ? 0 : Number(header("content-length") ?? NaN);
      if (sent.writableFinished && left <= MAX_DRAINED_BYTES) message.resume();
      else sent.destroy();
    },
  };
}

/** The body as it was before it was compressed for the way. */
async function decoded(message: IncomingMessage): Promise<Readable> {
  const coding = message.headers["content-encoding"]?.trim().toLowerCase() ?? "identity";
  if (coding === "identity" || coding === "") return message;
  const { createBrotliDecompress, createGunzip, createInflate } = await import("node:zlib");
  const decoders: Readonly<Record<string, () => Transform>> = {
    gzip: createGunzip,
    "x-gzip": createGunzip,
    deflate: createInflate,
    br: createBrotliDecompress,
  };
  const decoder = decoders[coding]?.();
  return decoder === undefined ? message : pipeline(message, decoder, () => undefined);
}
