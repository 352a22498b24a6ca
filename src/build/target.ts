// What building needs to know of a target: a resolved bake target with every attribute present, as plain data.
import type { ResolvedTarget } from "../bakefile/resolve.ts";
import type { CacheEntry, OutputEntry } from "../bakefile/entry.ts";

export interface BuildTarget {
  readonly name: string;
  /** Pulled in only because another target links to it. */
  readonly linked: boolean;
  readonly context: string;
  readonly contexts: Readonly<Record<string, string>>;
  readonly dockerfile: string;
  readonly dockerfileInline: string | undefined;
  readonly args: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: readonly string[];
  readonly tags: readonly string[];
  readonly stage: string;
  readonly platforms: readonly string[];
  readonly outputs: readonly OutputEntry[];
  readonly secrets: readonly SecretSource[];
  readonly ssh: readonly SshSource[];
  /** Values of `entitlements`, "network.host" for the network mode among them. */
  readonly entitlements: readonly string[];
  /** Folders of local caches. */
  readonly localCaches: { readonly reads: readonly string[]; readonly writes: readonly string[] };
  readonly pull: boolean;
  readonly noCache: boolean;
  readonly noCacheFilter: readonly string[];
  readonly network: string;
  readonly shmSize: string;
  readonly ulimits: readonly string[];
  readonly resources: Readonly<Record<string, string>>;
  readonly extraHosts: Readonly<Record<string, string>>;
  readonly call: string;
  /** What the target asks for that is not there yet: "cache-to", "sbom attestation", … */
  readonly unavailable: readonly string[];
}

/** A secret from a file or an environment variable; from what its id names when neither is given. */
/** Without paths, the agent of the environment; else one socket, or private keys. */
export interface SshSource {
  readonly id: string;
  readonly paths: readonly string[];
}

export interface SecretSource {
  readonly id: string;
  readonly src?: string;
  readonly env?: string;
}

export function buildTarget(target: ResolvedTarget): BuildTarget {
  return {
    name: target.name,
    linked: target.linked,
    context: target.context,
    contexts: target.contexts ?? {},
    dockerfile: target.dockerfile,
    dockerfileInline: target.dockerfileInline || undefined,
    args: target.args ?? {},
    labels: target.labels ?? {},
    annotations: target.annotations ?? [],
    tags: target.tags ?? [],
    stage: target.target ?? "",
    platforms: target.platforms ?? [],
    outputs: target.output ?? [],
    secrets: (target.secret ?? []).map(({ id, src, env }) => ({
      id,
      ...(src && { src }),
      ...(env && { env }),
    })),
    ssh: target.ssh ?? [],
    entitlements: target.entitlements ?? [],
    localCaches: {
      reads: localPaths(target.cacheFrom, "src"),
      writes: localPaths(target.cacheTo, "dest"),
    },
    pull: target.pull ?? false,
    noCache: target.noCache ?? false,
    noCacheFilter: target.noCacheFilter ?? [],
    network: target.network ?? "",
    shmSize: target.shmSize ?? "",
    ulimits: target.ulimits ?? [],
    resources: Object.fromEntries(
      Object.entries(target.resources ?? {}).map(([key, value]) => [key, String(value)]),
    ),
    extraHosts: target.extraHosts ?? {},
    call: target.call ?? "",
    unavailable: unavailable(target),
  };
}

function localPaths(caches: readonly CacheEntry[] = [], attribute: string): readonly string[] {
  return caches.flatMap(({ type, attrs }) => {
    const path = type === "local" ? attrs[attribute] : undefined;
    return path ? [path] : [];
  });
}

function unavailable({
  cacheFrom = [],
  cacheTo = [],
  attest = [],
  policy = [],
  args = {},
}: ResolvedTarget): readonly string[] {
  const inline = /^(1|t|true)$/i.test(args["BUILDKIT_INLINE_CACHE"] ?? "");
  return [
    ...(cacheFrom.length > 0 ? ["cache-from"] : []),
    ...(cacheTo.length > 0 || inline ? ["cache-to"] : []),
    ...attest.flatMap(({ type, disabled }) => (disabled ? [] : [`the ${type} attestation`])),
    ...(policy.some(({ disabled }) => !disabled) ? ["policy"] : []),
  ];
}
