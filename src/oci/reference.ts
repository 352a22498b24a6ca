// Image references as the container world writes them (distribution/reference grammar), with Docker Hub's defaults.
import { BakeError } from "../diagnostic/error.ts";
import { type Digest, isDigest } from "./digest.ts";

export interface Reference {
  /** Host and optional port: `docker.io`, `localhost:5000`. */
  readonly registry: string;
  /** Path within the registry: `library/alpine`. */
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

const HUB = "docker.io";
const PATH = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const HOST =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?$/;
const IDENTIFIER = /^[a-f0-9]{64}$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

/**
 * Reads a reference as users type it (`alpine`, `ghcr.io/a/b:tag@sha256:…`); Docker Hub's defaults are filled in,
 * the tag is not. @throws BakeError "reference-invalid"
 */
export function parseReference(text: string): Reference {
  const invalid = (why: string): BakeError =>
    new BakeError("reference-invalid", `invalid image reference "${text}": ${why}`);
  if (IDENTIFIER.test(text)) throw invalid("64 hex digits are an image id, not a name");
  let rest = text;
  let digest: Digest | undefined;
  const at = rest.indexOf("@");
  if (at >= 0) {
    const part = rest.slice(at + 1);
    if (!isDigest(part)) throw invalid(`"${part}" is not a digest`);
    digest = part;
    rest = rest.slice(0, at);
  }
  let tag: string | undefined;
  const colon = rest.lastIndexOf(":");
  if (colon > rest.lastIndexOf("/")) {
    tag = rest.slice(colon + 1);
    rest = rest.slice(0, colon);
    if (!TAG.test(tag)) throw invalid(`"${tag}" is not a valid tag`);
  }
  const slash = rest.indexOf("/");
  const first = slash < 0 ? "" : rest.slice(0, slash);
  const hasHost =
    first !== "" && (/[.:]/.test(first) || first === "localhost" || first !== first.toLowerCase());
  let registry = hasHost ? first : HUB;
  let repository = hasHost ? rest.slice(slash + 1) : rest;
  if (registry === "index.docker.io") registry = HUB;
  if (registry === HUB && repository !== "" && !repository.includes("/"))
    repository = `library/${repository}`;
  if (!HOST.test(registry)) throw invalid(`"${registry}" is not a valid registry host`);
  if (repository === "") throw invalid("the repository is empty");
  if (!PATH.test(repository)) {
    throw invalid(
      repository === repository.toLowerCase()
        ? `"${repository}" is not a valid repository`
        : "the repository must be lower case",
    );
  }
  if (repository.length > 255) throw invalid("the repository is longer than 255 characters");
  return { registry, repository, ...(tag !== undefined && { tag }), ...(digest !== undefined && { digest }) };
}

/** The reference with tag `latest` when it has neither tag nor digest. */
export function withDefaultTag(reference: Reference): Reference {
  return reference.tag === undefined && reference.digest === undefined
    ? { ...reference, tag: "latest" }
    : reference;
}

/** The full form: `docker.io/library/alpine:latest@sha256:…`. */
export function formatReference({ registry, repository, tag, digest }: Reference): string {
  return `${registry}/${repository}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}
