// An exporter writes a build's result somewhere, in two steps: everything expensive is staged first, and only when
// all exports of a run are staged do they become visible. Outputs appear whole or not at all; tags move last.
import type { SeenFolders } from "../layer/stack.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { ImageConfig } from "../oci/imageconfig.ts";
import type { Platform } from "../oci/platform.ts";
import type { Emit } from "../progress/event.ts";
import type { Ref } from "../snapshot/ref.ts";

export interface ExportRequest {
  /** Kind of exporter: a row of exporter/table.ts ("image", "oci", "docker", "local", "tar", "cacheonly"). */
  readonly type: string;
  /** Options as in `output = ["type=…,key=value"]`; `name` is a comma-separated list of tags. */
  readonly attrs: Readonly<Record<string, string>>;
  /** Absolute destination path for kinds that write files; "-" is standard output. */
  readonly dest?: string;
}

export interface ExportInput {
  /** One entry per platform. */
  readonly images: readonly ExportImage[];
}

export interface ExportImage {
  readonly platform: Platform;
  readonly ref: Ref;
  readonly config: ImageConfig;
}

export interface ExportContext {
  readonly signal: AbortSignal;
  readonly emit: Emit;
  /** The progress step of this export. */
  readonly step: string;
  /** Time in milliseconds since the epoch. */
  readonly now: () => number;
  /** Where an export with destination "-" writes. */
  readonly stdout: NodeJS.WritableStream;
  /** What exports of the run saw of the folders of snapshots. */
  readonly seen: SeenFolders;
}

export interface ExportReport {
  /** The manifest or index written, for kinds that write one. */
  readonly descriptor?: Descriptor;
  /** What the metadata file says of this export ("image.name", "containerimage.digest", …). */
  readonly response: Readonly<Record<string, unknown>>;
}

/** A finished but still invisible export. Disposing one that was not committed removes every trace of it. */
export interface StagedExport extends AsyncDisposable {
  commit(): Promise<ExportReport>;
}

export interface Exporter {
  /** @throws BakeError "export-failed", "usage" for bad options, and those of the machines it uses */
  stage(request: ExportRequest, input: ExportInput, context: ExportContext): Promise<StagedExport>;
}
