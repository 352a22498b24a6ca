// One download into the blobs. What the server said of the file (ETag, Last-Modified; RFC 9110 section 13) is kept
// beside, and shown to it the next time.
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { BlobStore } from "../content/blob.ts";
import type { Owner } from "../content/lease.ts";
import type { StateRoot } from "../content/root.ts";
import { BakeError, isAbort } from "../diagnostic/error.ts";
import { type Digest, digestHex, isDigest } from "../oci/digest.ts";
import type { HttpAnswer } from "../registry/http.ts";
import { afterAttempts } from "../registry/patience.ts";
import { connectionFailure, createTransport, redactUrl } from "../registry/transport.ts";
import type { SourceContext } from "./source.ts";

export interface DownloadDeps {
  readonly root: StateRoot;
  readonly owner: Owner;
  readonly blobs: BlobStore;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

export interface DownloadRequest {
  readonly url: string;
  /** Names what was asked: URL, headers, who asked. */
  readonly identity: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly checksum: Digest | undefined;
}

/** What a URL gave. */
export interface Download {
  /** Of the content; sha256. */
  readonly digest: Digest;
  /** The name the server gives the file, when it does. */
  readonly filename?: string;
  /** In seconds since 1970. */
  readonly lastModified?: number;
}

interface DownloadRecord extends Download {
  readonly etag?: string;
  /** The header as it came. */
  readonly modified?: string;
  /** The checksum it was found to match, when that is not the digest itself. */
  readonly matches?: string;
}

const PEER = { noun: "the server", code: "source-failed" } as const;

/**
 * The content of a URL, from the blobs when the server says that they are current.
 * @throws BakeError "source-missing", "source-denied", "source-failed", "content-corrupt"
 */
export async function download(
  request: DownloadRequest,
  deps: DownloadDeps,
  context: SourceContext,
): Promise<Download> {
  const { url, checksum } = request;
  const { signal } = context;
  const folder = join(deps.root.path, "http");
  const path = join(folder, `${request.identity}.json`);
  const record = await readRecord(path);
  const kept = record !== undefined && (await deps.blobs.has(record.digest)) ? record : undefined;
  if (kept !== undefined && checksum !== undefined && (kept.digest === checksum || kept.matches === checksum))
    return kept;
  const transport = createTransport({ peer: PEER });
  for (let attempt = 1; ; attempt++) {
    const response = await transport.send({
      method: "GET",
      url,
      headers: {
        "user-agent": "llbake",
        // As it is: an archive that is compressed is not to be unpacked on the way.
        "accept-encoding": "identity",
        ...(kept === undefined ? {} : conditions(kept)),
        ...request.headers,
      },
      signal,
    });
    if (response.status === 304 && kept !== undefined) {
      response.discard();
      expectMatch(request, kept);
      return kept;
    }
    if (!response.ok) {
      response.discard();
      throw refusal(url, response);
    }
    let found: Download & { readonly matches?: string };
    try {
      found = await store(response, transport.readBody(response, signal), request, deps, context);
    } catch (thrown) {
      if (thrown instanceof BakeError || isAbort(thrown) || signal.aborted) throw thrown;
      if (await transport.pause(attempt, signal, { url, failure: thrown })) continue;
      throw connectionFailure(url, thrown, PEER);
    }
    const etag = response.header("etag") ?? undefined;
    const modified = response.header("last-modified") ?? undefined;
    const next: DownloadRecord = {
      ...found,
      ...(etag !== undefined && { etag }),
      ...(modified !== undefined && { modified }),
    };
    const draft = deps.owner.newPath("temp");
    // Not being able to remember is no reason to fail.
    await mkdir(folder, { recursive: true, mode: 0o700 })
      .then(() => writeFile(draft, JSON.stringify(next), { mode: 0o600 }))
      .then(() => rename(draft, path))
      .catch(() => rm(draft, { force: true }));
    return found;
  }
}

/** Without a validator the file is fetched again. */
function conditions({ etag, modified }: DownloadRecord): Record<string, string> {
  if (etag !== undefined) return { "if-none-match": etag };
  return modified === undefined ? {} : { "if-modified-since": modified };
}

async function store(
  response: HttpAnswer,
  body: AsyncIterable<Uint8Array>,
  request: DownloadRequest,
  { blobs, now }: DownloadDeps,
  { emit, step, signal }: SourceContext,
): Promise<Download & { readonly matches?: string }> {
  const { url, checksum } = request;
  const length = Number(response.header("content-length") ?? NaN);
  const total = Number.isNaN(length) || response.header("content-encoding") !== null ? undefined : length;
  const algorithm = checksum?.slice(0, checksum.indexOf(":"));
  const other = algorithm === undefined || algorithm === "sha256" ? undefined : createHash(algorithm);
  let current = 0;
  const counted = async function* (): AsyncIterable<Uint8Array> {
    for await (const piece of body) {
      other?.update(piece);
      current += piece.length;
      emit({
        type: "status",
        id: step,
        part: "download",
        at: now(),
        current,
        total: total ?? 0,
        done: false,
      });
      yield piece;
    }
  };
  const { digest } = await blobs.write(counted(), { signal });
  if (total !== undefined && current !== total)
    throw Object.assign(new Error("the transfer ended early"), { code: "ECONNRESET" });
  emit({ type: "status", id: step, part: "download", at: now(), current, total: current, done: true });
  const matches = other === undefined ? undefined : `${algorithm}:${other.digest("hex")}`;
  const filename = nameOfDisposition(response.header("content-disposition") ?? "");
  const lastModified = Date.parse(response.header("last-modified") ?? "") / 1000;
  const found = {
    digest,
    ...(matches !== undefined && { matches }),
    ...(filename !== undefined && { filename }),
    ...(!Number.isNaN(lastModified) && { lastModified }),
  };
  expectMatch({ url, checksum }, found);
  return found;
}

/** @throws BakeError "content-corrupt" */
function expectMatch(
  { url, checksum }: Pick<DownloadRequest, "url" | "checksum">,
  { digest, matches }: { readonly digest: Digest; readonly matches?: string },
): void {
  const found = checksum === undefined || checksum.startsWith("sha256:") ? digest : matches;
  if (checksum === undefined || found === checksum) return;
  throw new BakeError("content-corrupt", `"${redactUrl(url)}" does not have the checksum ${checksum}`, {
    hint: `it has ${found ?? digestHex(digest)}; if that is right, change the checksum`,
  });
}

function refusal(url: string, response: HttpAnswer): BakeError {
  const { status } = response;
  const shown = redactUrl(url);
  if (status === 404 || status === 410)
    return new BakeError("source-missing", `there is nothing at "${shown}" (${status})`, {
      hint: "check the address",
    });
  if (status === 401 || status === 403) {
    const { hostname } = new URL(url);
    return new BakeError("source-denied", `"${shown}" may not be read (${status})`, {
      hint: `give a token: secret = ["id=HTTP_AUTH_TOKEN_${hostname},env=NAME"] in the target`,
    });
  }
  return new BakeError(
    "source-failed",
    `"${shown}" cannot be fetched: the server answered ${status}${afterAttempts(response)}`,
    {
      hint: status >= 500 ? "it may work again later" : undefined,
    },
  );
}

function nameOfDisposition(header: string): string | undefined {
  const match = /;\s*filename="((?:[^"\\]|\\.)*)"|;\s*filename=([^\s;]+)/i.exec(header);
  const name = match?.[1]?.replace(/\\(.)/g, "$1") ?? match?.[2];
  return name === undefined || name === "" || name.endsWith("/") ? undefined : name;
}

async function readRecord(path: string): Promise<DownloadRecord | undefined> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, "utf8"));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null || !("digest" in value)) return undefined;
  const { digest } = value;
  if (typeof digest !== "string" || !isDigest(digest)) return undefined;
  const text = (name: string): string | undefined => {
    const found = Object.entries(value).find(([key]) => key === name)?.[1];
    return typeof found === "string" ? found : undefined;
  };
  const [etag, modified, matches, filename] = ["etag", "modified", "matches", "filename"].map(text);
  const lastModified = Object.entries(value).find(([key]) => key === "lastModified")?.[1];
  return {
    digest,
    ...(etag !== undefined && { etag }),
    ...(modified !== undefined && { modified }),
    ...(matches !== undefined && { matches }),
    ...(filename !== undefined && { filename }),
    ...(typeof lastModified === "number" && { lastModified }),
  };
}
