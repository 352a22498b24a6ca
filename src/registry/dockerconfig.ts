// The part of docker's config.json that says who the user is (docker/cli, config file "auths", "credHelpers",
// "credsStore"). Pure: running a credential helper is left to the caller.
import { BakeError } from "../diagnostic/error.ts";
import type { Credentials } from "./auth.ts";

export interface DockerConfig {
  /** Keys are normalised hosts ("docker.io", "localhost:5000"). */
  readonly auths: ReadonlyMap<string, Credentials>;
  /** Suffix of the helper program per host: "ecr-login" stands for `docker-credential-ecr-login`. */
  readonly credHelpers: ReadonlyMap<string, string>;
  readonly credsStore: string | undefined;
}

/** Where a host's credentials come from. `server` is what the helper program reads from its standard input. */
export type CredentialLookup =
  | { readonly kind: "found"; readonly credentials: Credentials }
  | { readonly kind: "helper"; readonly program: string; readonly server: string };

const HUB = "docker.io";
/** What docker itself stores Docker Hub's credentials under. */
const HUB_KEY = "https://index.docker.io/v1/";

/** @throws BakeError "registry-failed" when the document is not JSON; entries of another form are left out */
export function parseDockerConfig(text: string, name: string): DockerConfig {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (cause) {
    throw new BakeError("registry-failed", `cannot read "${name}": it is not valid JSON`, { cause });
  }
  const root = record(document);
  const auths = new Map<string, Credentials>();
  for (const [key, value] of Object.entries(record(root["auths"]))) {
    const credentials = readAuth(record(value));
    if (credentials !== undefined) auths.set(normalizeHost(key), credentials);
  }
  const credHelpers = new Map<string, string>();
  for (const [key, value] of Object.entries(record(root["credHelpers"]))) {
    if (typeof value === "string" && value !== "") credHelpers.set(normalizeHost(key), value);
  }
  const store = root["credsStore"];
  return { auths, credHelpers, credsStore: typeof store === "string" && store !== "" ? store : undefined };
}

/** How to get the credentials of a host; undefined when the document knows nothing of it. */
export function lookUpCredentials(config: DockerConfig, host: string): CredentialLookup | undefined {
  const key = normalizeHost(host);
  const helper = config.credHelpers.get(key) ?? config.credsStore;
  if (helper !== undefined)
    return { kind: "helper", program: `docker-credential-${helper}`, server: key === HUB ? HUB_KEY : host };
  const credentials = config.auths.get(key);
  return credentials && { kind: "found", credentials };
}

/** Reads what a helper's `get` printed; undefined when it says that it has nothing. */
export function credentialsFromHelper(output: string): Credentials | undefined {
  let document: unknown;
  try {
    document = JSON.parse(output);
  } catch {
    return undefined;
  }
  const { Username: username, Secret: secret } = record(document);
  if (typeof username !== "string" || typeof secret !== "string" || secret === "") return undefined;
  return username === "<token>"
    ? { kind: "token", identityToken: secret }
    : { kind: "basic", username, password: secret };
}

function readAuth(entry: Readonly<Record<string, unknown>>): Credentials | undefined {
  const identityToken = entry["identitytoken"];
  if (typeof identityToken === "string" && identityToken !== "") return { kind: "token", identityToken };
  const auth = entry["auth"];
  if (typeof auth === "string" && auth !== "") {
    const decoded = Buffer.from(auth, "base64").toString("utf8").replace(/\0+$/, "");
    const colon = decoded.indexOf(":");
    if (colon > 0)
      return { kind: "basic", username: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
  }
  const { username, password } = entry;
  if (typeof username === "string" && username !== "" && typeof password === "string")
    return { kind: "basic", username, password };
  return undefined;
}

/** Keys may be hosts or URLs; Docker Hub has several names. */
function normalizeHost(key: string): string {
  const host = key.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
  return host === "index.docker.io" || host === "registry-1.docker.io" ? HUB : host;
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : {};
}
