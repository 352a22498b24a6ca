// `http://…` and `https://…`: a single file (attributes: BuildKit, solver/pb/attr.go, "http."). Its key is the digest
// of its content; the server is asked whether what is here is still current, so that an unchanged file is not fetched
// twice. With a checksum nothing is asked at all.
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { chmod, utimes } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { BlobStore } from "../content/blob.ts";
import { despiteDamage } from "../content/damaged.ts";
import { withLock } from "../content/lock.ts";
import type { StateRoot } from "../content/root.ts";
import { BakeError } from "../diagnostic/error.ts";
import { setOwner } from "../layer/owner.ts";
import { type Digest, digestOf, isDigest } from "../oci/digest.ts";
import type { Session } from "../session/session.ts";
import type { Ref } from "../snapshot/ref.ts";
import type { Snapshotter } from "../snapshot/snapshotter.ts";
import type { KeyPart } from "../solver/op.ts";
import { type Download, download, type DownloadDeps } from "./httpdownload.ts";
import type { PinnedSource, SourceBinding, SourceContext, SourceRequest } from "./source.ts";

export interface HttpSourceDeps extends DownloadDeps {
  readonly root: StateRoot;
  readonly blobs: BlobStore;
  readonly snapshots: Snapshotter;
  readonly session: Session;
  readonly now: () => number;
}

export function createHttpSource(deps: HttpSourceDeps): SourceBinding {
  return {
    pool: "network",
    pin: async (request, context) => {
      const source = readSource(request);
      const known = source.checksum === undefined ? await get(source, deps, context) : undefined;
      return pinHttp(source, known, deps);
    },
    describe: async (request, context) => {
      const { lastModified } = await get(readSource(request), deps, context);
      return lastModified === undefined ? {} : { httpLastModified: lastModified };
    },
  };
}

/** A URL with how its file is to be written. */
interface HttpSource {
  readonly url: string;
  readonly checksum: Digest | undefined;
  /** Empty: named by the response or the URL. */
  readonly filename: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly authSecret: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Others are dropped without a word, as by BuildKit. */
const HEADERS = new Set(["accept", "user-agent"]);
const DEFAULT_MODE = 0o600;

/** @throws BakeError "llb-invalid", "not-supported" */
function readSource({ locator: url, attrs }: SourceRequest): HttpSource {
  const checksum = attrs["http.checksum"] || undefined;
  if (checksum !== undefined && !isDigest(checksum)) {
    throw new BakeError("llb-invalid", `the checksum "${checksum}" of "${shownUrl(url)}" is malformed`, {
      hint: "write it as sha256: and 64 hex digits",
    });
  }
  if (attrs["http.sig.pubkey"] !== undefined || attrs["http.sig.signature"] !== undefined)
    throw new BakeError("not-supported", `the signature of "${shownUrl(url)}" cannot be verified yet`);
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(attrs)) {
    const header = name.startsWith("http.header.") ? name.slice("http.header.".length).toLowerCase() : "";
    if (HEADERS.has(header)) headers[header] = value;
  }
  return {
    url,
    checksum,
    filename: attrs["http.filename"] ?? "",
    mode: numberOf("http.perm", attrs) || DEFAULT_MODE,
    uid: numberOf("http.uid", attrs),
    gid: numberOf("http.gid", attrs),
    authSecret: attrs["http.authheadersecret"] ?? "",
    headers,
  };
}

/** Decimal, `0x…`, or octal behind a zero; 0 when absent. @throws BakeError "llb-invalid" */
function numberOf(name: string, attrs: Readonly<Record<string, string>>): number {
  const text = attrs[name];
  if (text === undefined || text === "") return 0;
  const octal = /^0o?([0-7]+)$/.exec(text)?.[1];
  const value =
    octal === undefined ? (/^(?:\d+|0x[0-9a-f]+)$/i.test(text) ? Number(text) : NaN) : parseInt(octal, 8);
  if (!Number.isSafeInteger(value)) throw new BakeError("llb-invalid", `"${text}" is no value for "${name}"`);
  return value;
}

/** The file's content, in the blobs. One process asks for a URL at a time; the others find it current. */
async function get(source: HttpSource, deps: HttpSourceDeps, context: SourceContext): Promise<Download> {
  const { url, checksum, headers } = source;
  const secret = await authorization(source, deps.session);
  const identity = createHash("sha256")
    .update(JSON.stringify([url, Object.entries(headers).sort(), source.authSecret, secret ?? ""]))
    .digest("hex")
    .slice(0, 40);
  const request = {
    url,
    identity,
    headers: { ...headers, ...(secret !== undefined && { authorization: secret }) },
    checksum,
  };
  return withLock(deps.root, `http ${identity}`, context.signal, () => download(request, deps, context));
}

/** @throws BakeError "source-denied" when a secret that was asked for was not given */
async function authorization({ url, authSecret }: HttpSource, session: Session): Promise<string | undefined> {
  const read = async (id: string): Promise<string | undefined> => {
    const bytes = await session.secret(id);
    return bytes === undefined ? undefined : Buffer.from(bytes).toString("utf8").trim();
  };
  if (authSecret !== "") {
    const value = await read(authSecret);
    if (value !== undefined) return value;
    throw new BakeError(
      "source-denied",
      `"${shownUrl(url)}" needs the secret "${authSecret}", which was not given`,
      {
        hint: `add secret = ["id=${authSecret},env=NAME"] to the target`,
      },
    );
  }
  const { hostname } = new URL(url);
  const header = await read(`HTTP_AUTH_HEADER_${hostname}`);
  if (header !== undefined) return header;
  const token = await read(`HTTP_AUTH_TOKEN_${hostname}`);
  return token === undefined ? undefined : `Bearer ${token}`;
}

function pinHttp(source: HttpSource, known: Download | undefined, deps: HttpSourceDeps): PinnedSource {
  const digest = known?.digest ?? source.checksum;
  if (digest === undefined) throw new BakeError("internal", "BUG: a download without digest");
  const filename = safeName(source.filename || known?.filename || nameOfUrl(source.url));
  const changed = known?.lastModified;
  const parts: readonly KeyPart[] = [
    { label: "download", value: digest, shown: `${shownUrl(source.url)} ${digest}` },
    { label: "file name", value: filename },
    { label: "mode and owner", value: `${source.mode.toString(8)} ${source.uid}:${source.gid}` },
    { label: "time", value: changed === undefined ? "" : String(changed) },
  ];
  const present = async (context: SourceContext): Promise<Download> =>
    known !== undefined && (await deps.blobs.has(digest)) ? known : await get(source, deps, context);
  const place = async ({ lastModified }: Download, context: SourceContext): Promise<Ref> => {
    const { root, snapshots } = deps;
    const name = digestOf(JSON.stringify(["http", ...parts.map(({ value }) => value), lastModified ?? 0]));
    const { signal } = context;
    return withLock(root, `snapshot ${name}`, signal, async () => {
      const existing = await snapshots.lookup(name);
      if (existing !== undefined) return { tag: "snapshot", id: existing };
      await using active = await snapshots.prepare(undefined);
      const stored =
        source.checksum?.startsWith("sha256:") === false ? await storedDigest(source, deps, context) : digest;
      const path = join(active.root, filename);
      const bytes = Readable.from(deps.blobs.stream(stored, { signal }));
      await pipeline(bytes, createWriteStream(path, { flags: "wx", mode: source.mode }), { signal });
      if (source.uid !== 0 || source.gid !== 0) setOwner(path, source.uid, source.gid);
      await chmod(path, source.mode);
      await utimes(path, lastModified ?? 0, lastModified ?? 0);
      return { tag: "snapshot", id: await active.commit({ name }) };
    });
  };
  return {
    parts,
    ...(source.checksum === undefined && { asked: true }),
    async fetch(context) {
      // Only what is kept here may be damaged; a server that gives something else is not asked again.
      let given: Download | undefined = await present(context);
      return await despiteDamage(async () => {
        const download = given ?? (await present(context));
        given = undefined;
        return await place(download, context);
      });
    },
  };
}

/** Blobs are kept by sha256, whatever the checksum is of. */
async function storedDigest(
  source: HttpSource,
  deps: HttpSourceDeps,
  context: SourceContext,
): Promise<Digest> {
  return (await get(source, deps, context)).digest;
}

function nameOfUrl(url: string): string {
  const { pathname } = new URL(url);
  try {
    return decodeURIComponent(pathname);
  } catch {
    return pathname;
  }
}

/** The last step of a path, when it can be a file's name. */
function safeName(path: string): string {
  const name = path.trim().replace(/\/+$/, "").split("/").at(-1) ?? "";
  return /^\.{0,2}$|[\u0000-\u001f\u007f]/.test(name) ? "download" : name;
}

/** A URL for people: what is in its query may be a signature. */
export function shownUrl(url: string): string {
  try {
    const { protocol, host, pathname, search } = new URL(url);
    return `${protocol}//${host}${pathname}${search === "" ? "" : "?…"}`;
  } catch {
    return url;
  }
}
