// Makes source vertices: from what a user says about an image, directory, repository or URL to identifier,
// attributes and capabilities (BuildKit's client/llb/source.go rules the attributes).
import { BakeError } from "../../diagnostic/error.ts";
import type { Digest } from "../../oci/digest.ts";
import { goJson } from "../../oci/json.ts";
import { formatReference, parseReference, withDefaultTag } from "../../oci/reference.ts";
import { encodeOp } from "../ops.ts";
import { sourceScheme } from "../op/source.ts";
import { joinPath } from "../path.ts";
import { metadataFrom, type VertexNode, type VertexOptions } from "./vertex.ts";

/** A source before it is a vertex. */
export interface SourceDescription {
  readonly identifier: string;
  readonly attrs: Readonly<Record<string, string>>;
  readonly caps: readonly string[];
}

export interface ImageOptions extends VertexOptions {
  /** When the registry is asked: "pull" always, "local" only for what is not here; default: the worker decides. */
  readonly resolveMode?: "pull" | "local";
  /** Use only the lowest layers. */
  readonly layerLimit?: number;
  readonly checksum?: Digest;
  readonly recordType?: string;
}

export interface LocalOptions extends VertexOptions {
  /** The session that lends the directory. Without it the source gets a unique id. */
  readonly sessionId?: string;
  /** Used only without a session; default: one id for all such sources of a definition (MarshalOptions). */
  readonly uniqueId?: string;
  readonly includePatterns?: readonly string[];
  readonly excludePatterns?: readonly string[];
  /** Paths to transfer together with what their links point to; empty means everything. */
  readonly followPaths?: readonly string[];
  /** What directories that are usually alike have in common. */
  readonly sharedKeyHint?: string;
  /** How files are compared with those already known; default: the worker's ("metadata"). */
  readonly differ?: "none" | "metadata";
  /** Fail on workers that do not know `differ`; default false. */
  readonly differRequired?: boolean;
  /** Transfer names and metadata only, except for paths that match the patterns given. */
  readonly metadataOnly?: boolean | readonly string[];
}

export interface GitOptions extends VertexOptions {
  /** Branch, tag or commit; default: the branch the remote shows. */
  readonly ref?: string;
  readonly subdir?: string;
  readonly keepGitDir?: boolean;
  /** Name of the secret with a token; default "GIT_AUTH_TOKEN", "" for none. */
  readonly authTokenSecret?: string;
  /** Name of the secret with a whole header; default "GIT_AUTH_HEADER", "" for none. */
  readonly authHeaderSecret?: string;
  /** Lines of a known_hosts file, for ssh remotes. */
  readonly knownSshHosts?: string;
  /** Id of the agent, for ssh remotes; default "default". */
  readonly sshSocket?: string;
  /** The commit that must be found; a prefix is enough. */
  readonly checksum?: string;
  readonly skipSubmodules?: boolean;
  /** Modification times of the files: those of the checkout (default) or of the commit. */
  readonly mtime?: string;
  /** Fetch the commit in `checksum` without asking what `ref` is. */
  readonly fetchByCommit?: boolean;
}

export interface HttpOptions extends VertexOptions {
  readonly checksum?: Digest;
  /** The name of the file in the result; default: the worker's (from the response or the URL). */
  readonly filename?: string;
  /** Permission bits. */
  readonly perm?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly authHeaderSecret?: string;
  readonly headers?: { readonly accept?: string; readonly userAgent?: string };
}

export interface OciLayoutOptions extends VertexOptions {
  readonly sessionId?: string;
  readonly storeId?: string;
  readonly layerLimit?: number;
}

/** Whether ops of this source carry a platform. */
export function isPlatformSpecific(identifier: string): boolean {
  const scheme = sourceScheme(identifier);
  return scheme === "docker-image" || scheme === "oci-layout";
}

export function createSource(
  { identifier, attrs, caps }: SourceDescription,
  options: VertexOptions,
  uniqueId?: string,
): VertexNode {
  const needsId = sourceScheme(identifier) === "local" && attrs["local.session"] === undefined;
  return {
    children: [],
    metadata: metadataFrom(options, needsId ? [...caps, "source.local.unique"] : caps),
    ...(options.location && { location: options.location }),
    encode: context =>
      encodeOp({
        kind: "source",
        inputs: [],
        ...(isPlatformSpecific(identifier) && { platform: options.platform ?? context.platform }),
        constraints: { filter: [] },
        spec: {
          identifier,
          attrs: needsId ? { ...attrs, "local.unique": uniqueId ?? context.localUniqueId() } : attrs,
        },
      }),
  };
}

/** @throws BakeError "reference-invalid" */
export function describeImage(
  reference: string,
  { resolveMode, layerLimit, checksum, recordType }: ImageOptions,
): SourceDescription {
  const name = formatReference(withDefaultTag(parseReference(reference)));
  return described(
    `docker-image://${name}`,
    ["source.image"],
    [
      ["image.resolvemode", resolveMode, resolveMode === "pull" ? "source.image.resolvemode" : undefined],
      ["image.recordtype", recordType],
      ["image.layerlimit", layerLimit?.toString(), "source.image.layerlimit"],
      ["image.checksum", checksum, "source.image.checksum"],
    ],
  );
}

export function describeLocal(name: string, options: LocalOptions): SourceDescription {
  const { metadataOnly = false } = options;
  return described(
    `local://${name}`,
    ["source.local"],
    [
      ["local.session", options.sessionId, "source.local.sessionid"],
      ["local.includepattern", jsonList(options.includePatterns), "source.local.includepatterns"],
      ["local.followpaths", jsonList(options.followPaths), "source.local.followpaths"],
      ["local.excludepatterns", jsonList(options.excludePatterns), "source.local.excludepatterns"],
      ["local.sharedkeyhint", options.sharedKeyHint, "source.local.sharedkeyhint"],
      ["local.differ", options.differ, options.differRequired ? "source.local.differ" : undefined],
      [
        "local.metadatatransfer",
        metadataOnly === false ? undefined : "true",
        "source.local.metadatatransfer",
      ],
      [
        "local.metadatatransferexclude",
        typeof metadataOnly === "boolean" ? undefined : jsonList(metadataOnly),
      ],
    ],
  );
}

export function describeGit(url: string, options: GitOptions): SourceDescription {
  const remote = parseRemote(url);
  const { ref = "", authTokenSecret = "GIT_AUTH_TOKEN", authHeaderSecret = "GIT_AUTH_HEADER" } = options;
  const subdir = joinPath("/", options.subdir ?? "").slice(1);
  const asksAuth = options.authTokenSecret !== undefined || options.authHeaderSecret !== undefined;
  const authCap = asksAuth ? "source.git.httpauth" : undefined;
  const fragment = ref === "" && subdir === "" ? "" : `#${ref}${subdir === "" ? "" : `:${subdir}`}`;
  return described(
    `git://${remote.host}${joinPath("/", remote.path)}${fragment}`,
    ["source.git"],
    [
      ["git.keepgitdir", flag(options.keepGitDir), "source.git.keepgitdir"],
      ["git.fullurl", remote.url, "source.git.fullurl"],
      ["git.authtokensecret", authTokenSecret, authCap],
      ["git.authheadersecret", authHeaderSecret, authCap],
      ["git.knownsshhosts", remote.isSsh ? knownHosts(options.knownSshHosts) : undefined],
      [
        "git.mountsshsock",
        remote.isSsh ? options.sshSocket || "default" : undefined,
        "source.git.mountsshsock",
      ],
      ["git.checksum", options.checksum, "source.git.checksum"],
      ["git.skipsubmodules", flag(options.skipSubmodules), "source.git.skipsubmodules"],
      ["git.mtime", options.mtime, "source.git.mtime"],
      ["git.fetchbycommit", flag(options.fetchByCommit), "source.git.fetchbycommit"],
    ],
    remote.isSsh ? ["source.git.knownsshhosts"] : [],
  );
}

/** @throws BakeError "llb-invalid" when the URL is not http or https */
export function describeHttp(url: string, options: HttpOptions): SourceDescription {
  if (!/^https?:\/\//.test(url)) throw new BakeError("llb-invalid", `"${url}" is not an http or https URL`);
  return described(
    url,
    ["source.http"],
    [
      ["http.checksum", options.checksum, "source.http.checksum"],
      ["http.filename", options.filename],
      ["http.perm", options.perm ? `0${options.perm.toString(8)}` : undefined, "source.http.perm"],
      // The capability is misspelt in the protocol.
      ["http.uid", options.uid ? String(options.uid) : undefined, "soruce.http.uidgid"],
      ["http.gid", options.gid ? String(options.gid) : undefined, "soruce.http.uidgid"],
      ["http.authheadersecret", options.authHeaderSecret, "source.http.auth"],
      ["http.header.accept", options.headers?.accept],
      ["http.header.user-agent", options.headers?.userAgent],
    ],
    options.headers ? ["source.http.header"] : [],
  );
}

export function describeOciLayout(
  reference: string,
  { sessionId, storeId, layerLimit }: OciLayoutOptions,
): SourceDescription {
  return described(
    `oci-layout://${reference}`,
    ["source.ocilayout"],
    [
      ["oci.session", sessionId],
      ["oci.store", storeId],
      ["oci.layerlimit", layerLimit?.toString()],
    ],
  );
}

/** An attribute that is left out when it has no value, and the capability it needs. */
type Row = readonly [name: string, value: string | undefined, cap?: string | undefined];

function described(
  identifier: string,
  caps: readonly string[],
  rows: readonly Row[],
  more: readonly string[] = [],
): SourceDescription {
  const set = rows.filter(([, value]) => value !== undefined && value !== "");
  return {
    identifier,
    attrs: Object.fromEntries(set.map(([name, value = ""]) => [name, value])),
    caps: [...caps, ...set.flatMap(([, , cap]) => cap ?? []), ...more],
  };
}

function jsonList(items: readonly string[] | undefined): string | undefined {
  return items === undefined || items.length === 0 ? undefined : goJson(items);
}

function flag(value: boolean | undefined): string | undefined {
  return value ? "true" : undefined;
}

function knownHosts(lines: string | undefined): string | undefined {
  return lines === undefined || lines === "" || lines.endsWith("\n") ? lines : `${lines}\n`;
}

interface Remote {
  readonly url: string;
  readonly host: string;
  readonly path: string;
  readonly isSsh: boolean;
}

const SCP_FORM = /^([a-zA-Z0-9_-]+)@([a-zA-Z0-9.-]+):([^?#]*)/;
const URL_FORM = /^([a-zA-Z0-9]+):\/\/(?:([^/?#]*)@)?([^/?#@]*)([^?#]*)/;

/** Splits a git remote as git itself spells it; query and fragment are dropped. */
function parseRemote(text: string): Remote {
  const scp = /^[a-zA-Z0-9]+:\/\//.test(text) ? null : SCP_FORM.exec(text);
  if (scp !== null) return { url: scp[0], host: scp[2] ?? "", path: scp[3] ?? "", isSsh: true };
  const match = URL_FORM.exec(/^[a-zA-Z0-9]+:\/\//.test(text) ? text : `https://${text}`);
  const scheme = (match?.[1] ?? "").toLowerCase();
  if (match === null || !["http", "https", "ssh", "git"].includes(scheme)) {
    throw new BakeError("llb-invalid", `"${text}" is not a git remote`, {
      hint: "use an https, http, ssh or git URL, or user@host:path",
    });
  }
  const [, , user, host = "", path = ""] = match;
  let decoded = path;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    throw new BakeError("llb-invalid", `the git remote "${text}" has a malformed percent escape`);
  }
  return {
    url: `${scheme}://${user === undefined ? "" : `${user}@`}${host}${path}`,
    host,
    path: decoded,
    isSsh: scheme === "ssh",
  };
}
