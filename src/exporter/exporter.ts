// An exporter writes a build's result somewhere. Outputs appear whole or not at all; tags move last.
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
  readonly images: readonly { readonly platform: Platform; readonly ref: Ref; readonly config: ImageConfig }[];
}

export interface ExportContext {
  readonly signal: AbortSignal;
  readonly emit: Emit;
  /** The progress step of this export. */
  readonly step: string;
  /** Time for documents that carry one, ISO 8601; undefined leaves them out. */
  readonly created: string | undefined;
}

export interface ExportReport {
  /** The manifest or index written, for kinds that write one. */
  readonly descriptor?: Descriptor;
  /** What the metadata file says of this export ("image.name", "containerimage.digest", …). */
  readonly response: Readonly<Record<string, string>>;
}

export interface Exporter {
  export(request: ExportRequest, input: ExportInput, context: ExportContext): Promise<ExportReport>;
}
