// The image configuration document (OCI image spec, config.md, with Docker's Healthcheck, OnBuild, Shell and
// ArgsEscaped). Key order is that of Go's struct: it decides the bytes and so the image id.
import type { WirePlatform } from "./descriptor.ts";
import type { Digest } from "./digest.ts";

export interface ImageConfig extends WirePlatform {
  readonly created?: string;
  readonly author?: string;
  readonly config?: RuntimeConfig;
  /** Go writes a list that was never set as null. */
  readonly rootfs: { readonly type: "layers"; readonly diff_ids: readonly Digest[] | null };
  readonly history?: readonly HistoryEntry[];
}

/** What a container of the image starts with. */
export interface RuntimeConfig {
  readonly User?: string;
  readonly ExposedPorts?: Readonly<Record<string, Readonly<Record<string, never>>>>;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Volumes?: Readonly<Record<string, Readonly<Record<string, never>>>>;
  readonly WorkingDir?: string;
  readonly Labels?: Readonly<Record<string, string>>;
  readonly StopSignal?: string;
  readonly ArgsEscaped?: boolean;
  readonly Healthcheck?: Healthcheck;
  readonly OnBuild?: readonly string[];
  readonly Shell?: readonly string[];
}

/** Durations are nanoseconds. */
export interface Healthcheck {
  readonly Test?: readonly string[];
  readonly Interval?: number;
  readonly Timeout?: number;
  readonly StartPeriod?: number;
  readonly StartInterval?: number;
  readonly Retries?: number;
}

export interface HistoryEntry {
  /** RFC 3339; absent when unknown. */
  readonly created?: string;
  readonly created_by?: string;
  readonly author?: string;
  readonly comment?: string;
  readonly empty_layer?: boolean;
}
