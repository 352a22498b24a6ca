// A service with a `build` as the fields of a target (buildx docs, "Building from Compose file").
import { BakeError } from "../../diagnostic/error.ts";
import type { Range } from "../../diagnostic/source.ts";
import { didYouMean } from "../../diagnostic/suggest.ts";
import { compareUtf8 } from "../../oci/json.ts";
import type { Field, TargetFields } from "../attributes.ts";
import { parseBoolText } from "../csv.ts";
import { parseAttest, parseCaches, type AttestEntry, type SecretEntry, type SshEntry } from "../entry.ts";
import type { Problems } from "../problems.ts";
import { namedContexts, recordOf, type Strings } from "./contexts.ts";
import { pairsOf } from "./model.ts";
import { childOf, scalarText, type MapNode, type Node } from "./node.ts";
import { formatSize, parseSize } from "./size.ts";
import { extendFromXBake } from "./xbake.ts";

export interface ServiceContext {
  readonly name: string;
  /** Values for arguments without one: the service's environment, then the outer one. */
  readonly lookUp: (name: string) => string | undefined;
  readonly secrets: Node | undefined;
  readonly problems: Problems;
}

/** Settings of `build` and the field each one fills. */
const FIELDS: Readonly<Record<string, Field>> = {
  context: "context",
  dockerfile: "dockerfile",
  dockerfile_inline: "dockerfileInline",
  additional_contexts: "contexts",
  args: "args",
  labels: "labels",
  cache_from: "cacheFrom",
  cache_to: "cacheTo",
  tags: "tags",
  target: "target",
  secrets: "secret",
  ssh: "ssh",
  platforms: "platforms",
  pull: "pull",
  no_cache: "noCache",
  network: "network",
  shm_size: "shmSize",
  ulimits: "ulimits",
  extra_hosts: "extraHosts",
  sbom: "attest",
  provenance: "attest",
};

export interface ServiceTarget {
  readonly fields: TargetFields;
  readonly ranges: ReadonlyMap<Field, Range>;
}

/** Reads a service that has been checked against the schema. */
export function targetOfService(service: MapNode, build: MapNode, context: ServiceContext): ServiceTarget {
  const { attempt } = context.problems;
  const fields: TargetFields = { context: textOf(childOf(build, "context")) ?? "." };
  const ranges = new Map<Field, Range>();
  for (const [key, { value }] of build.entries) {
    const field = FIELDS[key];
    if (field === undefined) continue;
    ranges.set(field, value.range);
    attempt(value.range, () => readSetting(key, value, fields, context));
  }
  if (fields.context === "") delete fields.context;
  const extension = childOf(build, "x-bake");
  if (extension !== undefined && extension.kind !== "null")
    attempt(extension.range, () => extendFromXBake(fields, ranges, extension, context.problems));
  const image = childOf(service, "image");
  if ((fields.tags ?? []).length === 0 && image?.kind === "string" && image.text !== "") {
    fields.tags = [image.text];
    ranges.set("tags", image.range);
  }
  return { fields, ranges };
}

function readSetting(key: string, value: Node, fields: TargetFields, context: ServiceContext): void {
  switch (key) {
    case "dockerfile":
    case "target":
    case "network": {
      const text = textOf(value);
      if (text) fields[key] = text;
      return;
    }
    case "dockerfile_inline": {
      const text = textOf(value);
      if (text) fields.dockerfileInline = text;
      return;
    }
    case "additional_contexts":
      fields.contexts = namedContexts(pairsOf(value));
      return;
    case "args":
      fields.args = argumentsOf(value, context);
      return;
    case "labels":
      fields.labels = recordOf(pairsOf(value).map(([name, text]) => [name, text ?? ""]));
      return;
    case "cache_from":
      fields.cacheFrom = textsOf(value)
        .filter(text => text !== "")
        .flatMap(parseCaches);
      return;
    case "cache_to":
      fields.cacheTo = textsOf(value)
        .filter(text => text !== "")
        .flatMap(parseCaches);
      return;
    case "tags":
      fields.tags = textsOf(value);
      return;
    case "platforms":
      fields.platforms = textsOf(value);
      return;
    case "secrets":
      fields.secret = secretsOf(value, context);
      return;
    case "ssh":
      fields.ssh = sshOf(value);
      return;
    case "pull":
      if (isTrue(value)) fields.pull = true;
      return;
    case "no_cache":
      if (isTrue(value)) fields.noCache = true;
      return;
    case "shm_size":
      readShmSize(value, fields);
      return;
    case "ulimits":
      fields.ulimits = ulimitsOf(value);
      return;
    case "extra_hosts":
      fields.extraHosts = hostsOf(value);
      return;
    case "sbom":
    case "provenance":
      fields.attest = attestOf(key, value, fields.attest ?? []);
      return;
    default:
  }
}

function textOf(node: Node | undefined): string | undefined {
  return node?.kind === "string" ? node.text : undefined;
}

function textsOf(node: Node): readonly string[] {
  if (node.kind === "string") return [node.text];
  return node.kind === "list" ? node.items.flatMap(item => textOf(item) ?? []) : [];
}

function isTrue(node: Node): boolean {
  return node.kind === "bool" ? node.value : /^(?:true|y|yes|on)$/i.test(textOf(node) ?? "");
}

function argumentsOf(value: Node, { lookUp }: ServiceContext): Strings {
  const out: [string, string][] = [];
  for (const [name, text] of pairsOf(value)) {
    if (value.kind === "list" && /\s$/.test(name))
      throw new BakeError("bake-schema", `the name "${name}" ends with a space`);
    const found = text ?? lookUp(name);
    if (found !== undefined) out.push([name, found]);
  }
  return recordOf(out);
}

function secretsOf(value: Node, { name, secrets }: ServiceContext): readonly SecretEntry[] {
  const known = secrets?.kind === "map" ? secrets.entries : new Map<string, { readonly value: Node }>();
  return (value.kind === "list" ? value.items : []).map(item => {
    const source = childOf(item, "source");
    const id = textOf(source) ?? "";
    const secret = known.get(id)?.value;
    if (secret === undefined) {
      throw new BakeError("bake-resolve", `service "${name}" uses the unknown build secret "${id}"`, {
        range: source?.range ?? item.range,
        hint: didYouMean(id, known.keys()) ?? 'define it under "secrets" with a file or environment',
      });
    }
    if (isExternal(secret)) {
      throw new BakeError("not-supported", `the build secret "${id}" is external`, {
        range: source?.range ?? item.range,
        hint: "give it a file or environment",
      });
    }
    return {
      id,
      src: textOf(childOf(secret, "file")) ?? "",
      env: textOf(childOf(secret, "environment")) ?? "",
    };
  });
}

export function isExternal(secret: Node): boolean {
  const external = childOf(secret, "external");
  return external !== undefined && (external.kind === "map" || isTrue(external));
}

function sshOf(value: Node): readonly SshEntry[] {
  if (value.kind !== "map") return [];
  return [...value.entries]
    .map(([id, { value: path }]) => {
      const text = path.kind === "map" || path.kind === "list" ? "" : scalarText(path);
      return { id, paths: text === "" ? [] : [text] };
    })
    .sort((a, b) => compareUtf8(a.id, b.id));
}

function readShmSize(value: Node, fields: TargetFields): void {
  // Numbers with a fraction are ignored, as by compose-go.
  if (value.kind !== "int" && value.kind !== "string") return;
  const size = parseSize(scalarText(value));
  if (size === undefined)
    throw new BakeError("bake-schema", `"${scalarText(value)}" is not a size`, { hint: "for example 64mb" });
  if (size > 0) fields.shmSize = formatSize(size);
}

const ULIMITS = [
  ...["core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss"],
  ...["rtprio", "rttime", "sigpending", "stack"],
];

function ulimitsOf(value: Node): readonly string[] {
  if (value.kind !== "map") return [];
  return [...value.entries].map(([name, { keyRange, value: limit }]) => {
    if (!ULIMITS.includes(name))
      throw new BakeError("bake-schema", `unknown ulimit "${name}"`, {
        range: keyRange,
        hint: didYouMean(name, ULIMITS),
      });
    // A single number sets nothing, as in buildx.
    const soft = intOf(childOf(limit, "soft"));
    const hard = intOf(childOf(limit, "hard"));
    if (hard !== -1n && (soft === -1n || soft > hard)) {
      throw new BakeError("bake-schema", `the soft limit of "${name}" is above its hard limit`, {
        range: limit.range,
        hint: `${soft === -1n ? "unlimited" : soft} is more than ${hard}`,
      });
    }
    return `${name}=${soft}:${hard}`;
  });
}

function intOf(node: Node | undefined): bigint {
  return node?.kind === "int" ? node.value : 0n;
}

function hostsOf(value: Node): Strings {
  const out = new Map<string, string[]>();
  const add = (host: string, addresses: readonly string[], range: Range): void => {
    if (host === "" || /[:=]/.test(host))
      throw new BakeError("bake-schema", `"${host}" is not the name of a host`, { range });
    const plain = addresses.map(address => /^\[(.+)\]$/.exec(address)?.[1] ?? address);
    out.set(host, [...(out.get(host) ?? []), ...plain]);
  };
  if (value.kind === "map") {
    for (const [host, { keyRange, value: addresses }] of value.entries)
      add(host, textsOf(addresses), keyRange);
  } else if (value.kind === "list") {
    for (const item of value.items) {
      const text = textOf(item) ?? "";
      const at = text.includes("=") ? text.indexOf("=") : text.indexOf(":");
      if (at < 0)
        throw new BakeError("bake-schema", `the host "${text}" has no address`, {
          range: item.range,
          hint: 'write "name=address"',
        });
      add(text.slice(0, at), text.slice(at + 1).split(","), item.range);
    }
  }
  return recordOf([...out].map(([host, addresses]) => [host, addresses.join(",")]));
}

/** SBOM comes before provenance, whatever the file's order. */
function attestOf(
  type: "sbom" | "provenance",
  value: Node,
  before: readonly AttestEntry[],
): readonly AttestEntry[] {
  const text = value.kind === "map" || value.kind === "list" ? "" : scalarText(value);
  if (text === "") return before;
  const enabled = parseBoolText(text);
  const entry = parseAttest(
    enabled === undefined ? `type=${type},${text}` : `type=${type},disabled=${String(!enabled)}`,
  );
  return type === "sbom" ? [entry, ...before] : [...before, entry];
}
