// The options of dockerfile.v0 that follow from a target's attributes alone (buildx: toSolveOpt).
import { isIP } from "node:net";
import { BakeError } from "../diagnostic/error.ts";
import { didYouMean } from "../diagnostic/suggest.ts";
import { formatPlatform, parsePlatform, type Platform } from "../oci/platform.ts";
import { parseSizeBytes } from "./sizes.ts";
import type { BuildTarget } from "./target.ts";

/** @throws BakeError "bake-schema", "platform-invalid" */
export function frontendOptions(target: BuildTarget, host: Platform): Record<string, string> {
  const options: Record<string, string> = {};
  for (const [name, value] of Object.entries(target.args)) options[`build-arg:${name}`] = value;
  for (const [name, value] of Object.entries(target.labels)) options[`label:${name}`] = value;
  if (target.stage !== "") options["target"] = target.stage;
  if (target.pull) options["image-resolve-mode"] = "pull";
  if (target.noCacheFilter.length > 0) options["no-cache"] = target.noCacheFilter.join(",");
  if (target.noCache) options["no-cache"] = "";
  if (target.platforms.length > 0)
    options["platform"] = platformsOf(target, host).map(formatPlatform).join(",");
  // The Dockerfile's own switch for an index with a single entry.
  if (/^(1|t|true)$/i.test(target.args["BUILDKIT_MULTI_PLATFORM"] ?? "")) options["multi-platform"] = "true";
  Object.assign(options, networkOptions(target), limitOptions(target));
  const hosts = Object.entries(target.extraHosts).sort(([a], [b]) => (a < b ? -1 : 1));
  if (hosts.length > 0)
    options["add-hosts"] = hosts.flatMap(([host, ips]) => hostEntries(target, host, ips)).join(",");
  return options;
}

/** The platforms asked for, without repetition; empty when the target leaves the choice to the builder. */
export function platformsOf(target: BuildTarget, host: Platform): readonly Platform[] {
  const byName = new Map<string, Platform>();
  for (const text of target.platforms.flatMap(entry => entry.split(","))) {
    const platform = text === "local" ? host : parsePlatform(text, host);
    byName.set(formatPlatform(platform), platform);
  }
  return [...byName.values()];
}

function networkOptions({ name, network }: BuildTarget): Record<string, string> {
  if (network === "" || network === "default") return {};
  if (network === "host" || network === "none") return { "force-network-mode": network };
  throw new BakeError("bake-schema", `target "${name}": unknown network mode "${network}"`, {
    hint: "one of default, host, none",
  });
}

/** Limits of steps: shared memory, ulimits, cgroup resources. @throws BakeError "bake-schema" */
export function limitOptions({ name, shmSize, ulimits, resources }: BuildTarget): Record<string, string> {
  const options: Record<string, string> = {};
  const what = (attribute: string): string => `${attribute} of target "${name}"`;
  if (shmSize !== "") {
    const sizeBytes = parseSizeBytes(shmSize, what("shm-size"));
    if (sizeBytes > 0) options["shm-size"] = String(sizeBytes);
  }
  const limits = new Map(ulimits.map(text => ulimitEntry(text, what("ulimit"))));
  if (limits.size > 0) options["ulimit"] = [...limits.values()].sort().join(",");
  for (const [key, value] of Object.entries(resources)) {
    if (value === "" || value === "0") continue;
    const isSize = key === "memory" || key === "memory-swap";
    options[key.replaceAll("-", "")] =
      isSize && value !== "-1" ? String(parseSizeBytes(value, what(key))) : value;
  }
  return options;
}

const ULIMITS =
  "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split(
    " ",
  );

/** `nofile=1024:2048` by its name; a single value is both limits, -1 is no limit. */
function ulimitEntry(text: string, what: string): readonly [string, string] {
  const [, name = "", soft = "", hard = soft] = /^([^=]*)=(-?\d+)(?::(-?\d+))?$/.exec(text) ?? [];
  const invalid = (hint: string | undefined): BakeError =>
    new BakeError("bake-schema", `invalid ${what} "${text}"`, { hint });
  if (soft === "") throw invalid(`expected "name=soft:hard"`);
  if (!ULIMITS.includes(name))
    throw invalid(didYouMean(name, ULIMITS) ?? `the limits are ${ULIMITS.join(", ")}`);
  if (hard !== "-1" && (soft === "-1" || Number(soft) > Number(hard)))
    throw invalid("the soft limit must not be above the hard one");
  return [name, `${name}=${soft}:${hard}`];
}

/**
 * `host-gateway` is the machine itself. In its own network steps reach it for sure; which other network they get is known
 * only when they run, and not all lead to it. buildx with a builder of its own refuses it altogether.
 */
function hostEntries({ name, network }: BuildTarget, host: string, ips: string): readonly string[] {
  return ips.split(",").map(text => {
    const ip = /^\[(.+)\]$/.exec(text)?.[1] ?? text;
    if (ip === "host-gateway") {
      if (network === "host") return `${host}=127.0.0.1`;
      throw new BakeError(
        "not-supported",
        `target "${name}": extra host "${host}" asks for "host-gateway", which steps reach in the host's network only`,
        { hint: 'set network = "host" on the target, or give an address that other machines reach it by' },
      );
    }
    if (isIP(ip) === 0)
      throw new BakeError(
        "bake-schema",
        `target "${name}": extra host "${host}" has the invalid address "${text}"`,
      );
    return `${host}=${ip}`;
  });
}
