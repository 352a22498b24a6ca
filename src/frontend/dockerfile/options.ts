// The attributes of a request (those of BuildKit's dockerfile.v0) as typed values.
import { BakeError } from "../../diagnostic/error.ts";
import type { LinuxResources } from "../../llb/definition.ts";
import type { UlimitRequest } from "../../llb/builder/exec.ts";
import type { NetworkMode, ProxyEnv } from "../../llb/op/exec.ts";
import { normalizePlatform, parsePlatform, type Platform } from "../../oci/platform.ts";
import { compareUtf8 } from "../../oci/json.ts";
import { readCsvLine } from "./csv.ts";
import { canonicalIp } from "./ipaddress.ts";
import { type LintOptions, parseLintOptions } from "./lint.ts";
import { cut, parseGoBool, parseGoInt } from "./text.ts";

export interface DockerfileOptions {
  /** Path of the Dockerfile within its local directory. */
  readonly filename: string;
  readonly target: string;
  readonly buildArgs: ReadonlyMap<string, string>;
  readonly labels: ReadonlyMap<string, string>;
  /** Empty: the build platform, without overruling what images say. */
  readonly platforms: readonly Platform[];
  /** Steps are named with their platform. */
  readonly multiPlatform: boolean;
  readonly resolveMode: "pull" | "local" | undefined;
  readonly network: NetworkMode;
  readonly hostname: string;
  readonly cgroupParent: string;
  readonly extraHosts: readonly { readonly host: string; readonly ip: string }[];
  readonly shmSizeBytes: number;
  readonly ulimits: readonly UlimitRequest[];
  readonly linuxResources: LinuxResources | undefined;
  /** Put before the ids of cache mounts. */
  readonly cacheNamespace: string;
  /** Lower-case stage names, "all", or none. */
  readonly noCache: "all" | ReadonlySet<string>;
  /** Overrides the file's own `# check=`. */
  readonly lint: LintOptions | undefined;
}

type Raw = Readonly<Record<string, string>>;

/** Capabilities a request may demand of a frontend. */
const CAPABILITIES: ReadonlySet<string> = new Set([
  "moby.buildkit.frontend.inputs",
  "moby.buildkit.frontend.subrequests",
  "moby.buildkit.frontend.contexts",
  "moby.buildkit.frontend.gitquerystring",
]);

/** @throws BakeError "usage" or "platform-invalid" */
export function readOptions(raw: Raw, buildPlatform: Platform): DockerfileOptions {
  if (parseGoBool(raw["build-arg:BUILDKIT_DISABLE_FILEOP"] ?? "") === true)
    throw invalid(
      "build-arg:BUILDKIT_DISABLE_FILEOP",
      "steps without file operations are no longer possible",
    );
  for (const capability of (raw["frontend.caps"] ?? "").split(",")) {
    if (capability !== "" && !CAPABILITIES.has(capability.replace(/\+forward$/, "")))
      throw invalid("frontend.caps", `"${capability}" is not a known capability`);
  }
  const platforms =
    (raw["platform"] ?? "") === ""
      ? []
      : (raw["platform"] ?? "").split(",").map(text => normalizePlatform(parsePlatform(text, buildPlatform)));
  return {
    filename: raw["filename"] ?? "Dockerfile",
    target: raw["target"] ?? "",
    buildArgs: withPrefix(raw, "build-arg:"),
    labels: withPrefix(raw, "label:"),
    platforms,
    multiPlatform: readMultiPlatform(raw, platforms.length),
    resolveMode: readChoice(raw, "image-resolve-mode", {
      "": undefined,
      default: undefined,
      pull: "pull",
      local: "local",
    }),
    network: readChoice(raw, "force-network-mode", {
      "": "sandbox",
      sandbox: "sandbox",
      none: "none",
      host: "host",
    }),
    hostname: raw["build-arg:BUILDKIT_SANDBOX_HOSTNAME"] || (raw["hostname"] ?? ""),
    cgroupParent: raw["cgroup-parent"] ?? "",
    extraHosts: readExtraHosts(raw),
    shmSizeBytes: (raw["shm-size"] ?? "") === "" ? 0 : readInteger(raw, "shm-size"),
    ulimits: readUlimits(raw),
    linuxResources: readResources(raw),
    cacheNamespace: raw["build-arg:BUILDKIT_CACHE_MOUNT_NS"] ?? "",
    noCache: readNoCache(raw["no-cache"]),
    lint: readLint(raw["build-arg:BUILDKIT_DOCKERFILE_CHECK"]),
  };
}

function invalid(key: string, why: string): BakeError {
  return new BakeError("usage", `the build option "${key}" is wrong: ${why}`);
}

function withPrefix(raw: Raw, prefix: string): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(raw).flatMap(([key, value]) =>
      key.startsWith(prefix) ? [[key.slice(prefix.length), value] as const] : [],
    ),
  );
}

function readMultiPlatform(raw: Raw, count: number): boolean {
  const value = raw["build-arg:BUILDKIT_MULTI_PLATFORM"] || (raw["multi-platform"] ?? "");
  if (value === "") return count > 1;
  const wanted = parseGoBool(value);
  if (wanted === undefined) throw invalid("multi-platform", `"${value}" is neither true nor false`);
  if (!wanted && count > 1)
    throw invalid("multi-platform", `it is off, but ${count} platforms are asked for`);
  return wanted;
}

function readChoice<T>(raw: Raw, key: string, choices: Readonly<Record<string, T>>): T {
  const value = raw[key] ?? "";
  for (const [name, choice] of Object.entries(choices)) if (name === value) return choice;
  throw invalid(
    key,
    `"${value}" is none of ${Object.keys(choices)
      .filter(name => name !== "")
      .join(", ")}`,
  );
}

function readInteger(raw: Raw, key: string): number {
  const value = parseGoInt(raw[key] ?? "");
  if (value === undefined) throw invalid(key, `"${raw[key] ?? ""}" is not a whole number`);
  return value;
}

function readExtraHosts(raw: Raw): DockerfileOptions["extraHosts"] {
  return readCsvLine(raw["add-hosts"] ?? "").map(field => {
    const [host, ip] = cut(field.toLowerCase(), "=") ?? [field, undefined];
    if (ip === undefined) throw invalid("add-hosts", `"${field}" is not host=ip`);
    const canonical = canonicalIp(ip);
    if (canonical === undefined) throw invalid("add-hosts", `"${ip}" is not an IP address`);
    return { host, ip: canonical };
  });
}

const ULIMITS: ReadonlySet<string> = new Set(
  "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split(
    " ",
  ),
);

function readUlimits(raw: Raw): readonly UlimitRequest[] {
  return readCsvLine(raw["ulimit"] ?? "").map(field => {
    const [name, values] = cut(field, "=") ?? [field, ""];
    if (!ULIMITS.has(name)) throw invalid("ulimit", `"${name}" is not a limit`);
    const [softText, hardText] = cut(values, ":") ?? [values, values];
    const soft = parseGoInt(softText);
    const hard = parseGoInt(hardText);
    if (soft === undefined || hard === undefined)
      throw invalid("ulimit", `"${values}" is not soft or soft:hard`);
    if (hard !== -1 && (soft === -1 || soft > hard))
      throw invalid("ulimit", `the soft limit of ${name} is above the hard one`);
    return { name, soft, hard };
  });
}

function readResources(raw: Raw): LinuxResources | undefined {
  const limit = (key: string, isValid: (value: number) => boolean, rule: string): number | undefined => {
    if ((raw[key] ?? "") === "") return undefined;
    const value = readInteger(raw, key);
    if (!isValid(value)) throw invalid(key, `${value} is not ${rule}`);
    return value;
  };
  const positive = (key: string): number | undefined => limit(key, value => value > 0, "above 0");
  const set = (key: string): string | undefined => {
    const value = raw[key] ?? "";
    if (value === "") return undefined;
    for (const part of value.split(",")) {
      const [from, to] = cut(part.trim(), "-") ?? [part.trim(), part.trim()];
      if (!/^\d+$/.test(from) || !/^\d+$/.test(to) || Number(from) > Number(to))
        throw invalid(key, `"${part}" is not a number or a range`);
    }
    return value;
  };
  const limits = {
    memory: positive("memory"),
    memorySwap: limit("memswap", value => value === -1 || value > 0, "above 0 or -1"),
    cpuShares: positive("cpushares"),
    cpuPeriod: positive("cpuperiod"),
    cpuQuota: positive("cpuquota"),
    cpusetCpus: set("cpusetcpus"),
    cpusetMems: set("cpusetmems"),
  };
  const given = Object.entries(limits).filter(([, value]) => value !== undefined);
  return given.length === 0 ? undefined : Object.fromEntries(given);
}

function readNoCache(value: string | undefined): "all" | ReadonlySet<string> {
  if (value === undefined) return new Set();
  return value === "" ? "all" : new Set(value.toLowerCase().split(","));
}

function readLint(value: string | undefined): LintOptions | undefined {
  if (value === undefined) return undefined;
  const options = parseLintOptions(value);
  if (typeof options === "string") throw invalid("build-arg:BUILDKIT_DOCKERFILE_CHECK", options);
  return options;
}

const PROXIES: Readonly<Record<string, keyof ProxyEnv>> = {
  http_proxy: "httpProxy",
  https_proxy: "httpsProxy",
  ftp_proxy: "ftpProxy",
  no_proxy: "noProxy",
  all_proxy: "allProxy",
};

/** The proxies among the build args, whatever their case; in byte order of names the last wins. */
export function proxyEnvironment(buildArgs: ReadonlyMap<string, string>): Partial<ProxyEnv> | undefined {
  const found: Partial<Record<keyof ProxyEnv, string>> = {};
  for (const name of [...buildArgs.keys()].sort(compareUtf8)) {
    const field = PROXIES[name.toLowerCase()];
    if (field !== undefined) found[field] = buildArgs.get(name) ?? "";
  }
  return Object.keys(found).length === 0 ? undefined : found;
}
