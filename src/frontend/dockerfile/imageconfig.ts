// The image config a stage builds up, and its history as BuildKit's Dockerfile frontend writes it.
import type { Digest } from "../../oci/digest.ts";
import type { Healthcheck, HistoryEntry, ImageConfig } from "../../oci/imageconfig.ts";
import { sortedRecord } from "../../oci/json.ts";
import type { Platform } from "../../oci/platform.ts";
import { type Epoch, formatEpoch } from "./epoch.ts";

const HISTORY_COMMENT = "buildkit.dockerfile.v0";
const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** A config in the making. Stages that build on another start from a copy of its draft. */
export interface ImageDraft {
  author: string;
  architecture: string;
  os: string;
  osVersion: string;
  osFeatures: readonly string[];
  variant: string;
  /** Null: there never was a list. */
  readonly diffIds: readonly Digest[] | null;
  history: HistoryEntry[];
  user: string;
  ports: Set<string>;
  env: string[];
  entrypoint: readonly string[];
  cmd: readonly string[];
  volumes: Set<string>;
  workdir: string;
  labels: Map<string, string>;
  stopSignal: string;
  argsEscaped: boolean;
  healthcheck: Healthcheck | undefined;
  onBuild: readonly string[];
  shell: readonly string[];
}

export function draftFromConfig(config: ImageConfig): ImageDraft {
  const runtime = config.config ?? {};
  // Documents of old tools may lack it.
  const rootfs: Partial<ImageConfig["rootfs"]> = config.rootfs;
  return {
    author: config.author ?? "",
    architecture: config.architecture,
    os: config.os,
    osVersion: config["os.version"] ?? "",
    osFeatures: config["os.features"] ?? [],
    variant: config.variant ?? "",
    diffIds: rootfs.diff_ids ?? null,
    history: [...(config.history ?? [])],
    user: runtime.User ?? "",
    ports: new Set(Object.keys(runtime.ExposedPorts ?? {})),
    env: [...(runtime.Env ?? [])],
    entrypoint: runtime.Entrypoint ?? [],
    cmd: runtime.Cmd ?? [],
    volumes: new Set(Object.keys(runtime.Volumes ?? {})),
    workdir: runtime.WorkingDir ?? "",
    labels: new Map(Object.entries(runtime.Labels ?? {})),
    stopSignal: runtime.StopSignal ?? "",
    argsEscaped: runtime.ArgsEscaped === true,
    healthcheck: runtime.Healthcheck,
    onBuild: runtime.OnBuild ?? [],
    shell: runtime.Shell ?? [],
  };
}

/** The config of `FROM scratch`. */
export function emptyDraft(platform: Platform): ImageDraft {
  return {
    ...draftFromConfig({
      architecture: platform.architecture,
      os: platform.os,
      rootfs: { type: "layers", diff_ids: null },
    }),
    osVersion: platform.osVersion ?? "",
    osFeatures: platform.osFeatures ?? [],
    variant: platform.variant ?? "",
    workdir: "/",
    env: platform.os === "windows" ? [] : [`PATH=${DEFAULT_PATH}`],
  };
}

export function copyDraft(draft: ImageDraft): ImageDraft {
  return {
    ...draft,
    history: [...draft.history],
    ports: new Set(draft.ports),
    env: [...draft.env],
    volumes: new Set(draft.volumes),
    labels: new Map(draft.labels),
  };
}

/** Adds PATH when a config sets none; Windows leaves it to the system. */
export function ensurePath(draft: ImageDraft, os: string): void {
  if (os !== "windows" && !draft.env.some(entry => nameOf(entry) === "PATH"))
    setEnv(draft, "PATH", DEFAULT_PATH);
}

/** Places of names in lists of variables, so that long lists need no search. */
const places = new WeakMap<readonly string[], Map<string, number>>();

/** Sets a variable at its place in the list, or at the end. Nothing else changes such a list. */
export function setEnv({ env }: ImageDraft, name: string, value: string): void {
  let known = places.get(env);
  if (known === undefined) {
    // Of a name that stands twice the first counts.
    known = new Map(env.map((entry, at) => [nameOf(entry), at] as const).reverse());
    places.set(env, known);
  }
  const at = known.get(name) ?? env.length;
  known.set(name, at);
  env[at] = `${name}=${value}`;
}

export function nameOf(entry: string): string {
  const at = entry.indexOf("=");
  return at < 0 ? entry : entry.slice(0, at);
}

export function addHistory(
  draft: ImageDraft,
  createdBy: string,
  { layer, epoch }: { readonly layer: boolean; readonly epoch: Epoch | undefined },
): void {
  draft.history.push({
    ...(epoch !== undefined && { created: formatEpoch(epoch) }),
    created_by: createdBy,
    comment: HISTORY_COMMENT,
    ...(!layer && { empty_layer: true }),
  });
}

/** The command a shell form becomes. */
export function withShell(draft: ImageDraft, text: string): readonly string[] {
  const shell =
    draft.shell.length > 0 ? draft.shell : draft.os === "windows" ? ["cmd", "/S", "/C"] : ["/bin/sh", "-c"];
  return [...shell, text];
}

/** The finished document; keys in the order and with the omissions of Go's struct. */
export function configFromDraft(draft: ImageDraft): ImageConfig {
  const list = <K extends string>(key: K, values: readonly string[]): { [P in K]?: readonly string[] } =>
    (values.length > 0 ? { [key]: values } : {}) as { [P in K]?: readonly string[] };
  return {
    ...(draft.author && { author: draft.author }),
    architecture: draft.architecture,
    os: draft.os,
    ...(draft.osVersion && { "os.version": draft.osVersion }),
    ...list("os.features", draft.osFeatures),
    ...(draft.variant && { variant: draft.variant }),
    rootfs: { type: "layers", diff_ids: draft.diffIds },
    ...(draft.history.length > 0 && { history: draft.history.map(historyEntry) }),
    config: {
      ...(draft.user && { User: draft.user }),
      ...(draft.ports.size > 0 && { ExposedPorts: recordOf(draft.ports) }),
      ...list("Env", draft.env),
      ...list("Entrypoint", draft.entrypoint),
      ...list("Cmd", draft.cmd),
      ...(draft.volumes.size > 0 && { Volumes: recordOf(draft.volumes) }),
      ...(draft.workdir && { WorkingDir: draft.workdir }),
      ...(draft.labels.size > 0 && { Labels: sortedRecord(Object.fromEntries(draft.labels)) }),
      ...(draft.stopSignal && { StopSignal: draft.stopSignal }),
      ...(draft.argsEscaped && { ArgsEscaped: true }),
      ...(draft.healthcheck && { Healthcheck: healthcheckOf(draft.healthcheck) }),
      ...list("OnBuild", draft.onBuild),
      ...list("Shell", draft.shell),
    },
  };
}

function historyEntry({ created, created_by, author, comment, empty_layer }: HistoryEntry): HistoryEntry {
  return {
    ...(created !== undefined && { created }),
    ...(created_by !== undefined && created_by !== "" && { created_by }),
    ...(author !== undefined && author !== "" && { author }),
    ...(comment !== undefined && comment !== "" && { comment }),
    ...(empty_layer === true && { empty_layer }),
  };
}

function healthcheckOf({
  Test,
  Interval,
  Timeout,
  StartPeriod,
  StartInterval,
  Retries,
}: Healthcheck): Healthcheck {
  return {
    ...(Test !== undefined && Test.length > 0 && { Test }),
    ...(Interval && { Interval }),
    ...(Timeout && { Timeout }),
    ...(StartPeriod && { StartPeriod }),
    ...(StartInterval && { StartInterval }),
    ...(Retries && { Retries }),
  };
}

function recordOf(names: ReadonlySet<string>): Record<string, Record<string, never>> {
  return sortedRecord(Object.fromEntries([...names].map(name => [name, {}])));
}
