// A frontend turns a request (options as BuildKit's frontends take them) into LLB and image configs. It is pure:
// everything it needs from outside comes through FrontendHost.
import type { Diagnostic } from "../diagnostic/diagnostic.ts";
import type { Range } from "../diagnostic/source.ts";
import type { Definition } from "../llb/definition.ts";
import type { SourceOp } from "../llb/op/source.ts";
import type { Digest } from "../oci/digest.ts";
import type { ImageConfig } from "../oci/imageconfig.ts";
import type { Platform } from "../oci/platform.ts";
import type { CallAnswer, CallMethod } from "./answer.ts";

export interface FrontendRequest {
  /** The attributes of dockerfile.v0: `filename`, `target`, `platform`, `build-arg:X`, `label:X`, `context:NAME`, … */
  readonly options: Readonly<Record<string, string>>;
  /** Definitions that `context:NAME=input:KEY` options name. */
  readonly inputs: Readonly<Record<string, FrontendInput>>;
  /** Enters `local.session` of local sources; `local-sessionid:NAME` options override it per local name. */
  readonly sessionId: string;
  /** The platform steps run on without emulation; the target platform when `platform` is not given. */
  readonly buildPlatform: Platform;
}

/** The result of another build used as a named context. */
export interface FrontendInput {
  readonly definition: Definition;
  /** The image config of that result, when it has one. */
  readonly config?: ImageConfig;
}

export interface FrontendResult {
  /** One entry per target platform, in the order asked for. */
  readonly images: readonly FrontendImage[];
  readonly warnings: readonly Diagnostic[];
  /** SOURCE_DATE_EPOCH in seconds, which exporters keep to as well. */
  readonly sourceDateEpoch?: number;
  /** The ignore files that were read, for problems with what they hide. */
  readonly ignoreFiles?: readonly IgnoreFile[];
}

export interface FrontendImage {
  readonly platform: Platform;
  readonly definition: Definition;
  /** Its rootfs has the base image's diff ids; exporters replace them by those of the layers they write. */
  readonly config: ImageConfig;
}

export interface ResolvedImage {
  /** The digest the reference stands for (of the index when it is one). */
  readonly digest: Digest;
  readonly config: ImageConfig;
}

export interface FrontendHost {
  /**
   * The config of an image for a platform. `reference` is a full reference with tag or digest.
   * @throws BakeError "registry-missing" and others of the registry
   */
  resolveImageConfig(
    reference: string,
    options: {
      readonly platform: Platform;
      readonly signal: AbortSignal;
      /** The image is in an OCI layout lent under this name instead of a registry; the reference has a digest. */
      readonly layout?: LocalName;
    },
  ): Promise<ResolvedImage>;
  /** A file of a local directory lent by the session, or undefined when there is none. `path` is slash-separated. */
  readLocal(
    local: LocalName,
    path: string,
    options: { readonly signal: AbortSignal },
  ): Promise<Uint8Array | undefined>;
  /** Solves a definition now and reads a file of its result; undefined when the file is missing. */
  readSolved(
    definition: Definition,
    path: string,
    options: { readonly signal: AbortSignal },
  ): Promise<Uint8Array | undefined>;
  /**
   * Solves a definition now; when the file is an archive (tar, plain or compressed), the time of the newest regular file
   * in it, in seconds since 1970. Undefined when it is none or holds no files.
   */
  newestInArchive(
    definition: Definition,
    path: string,
    options: { readonly signal: AbortSignal },
  ): Promise<number | undefined>;
  /** What a git or http source says of itself, without fetching more than that takes. @throws BakeError */
  resolveSource(source: SourceOp, options: { readonly signal: AbortSignal }): Promise<SourceMetadata>;
}

/** What a source says of the version that would be fetched now. */
export interface SourceMetadata {
  /** The text of the commit object behind a git source. */
  readonly gitCommit?: string;
  /** When a server says its file last changed, in seconds since 1970. */
  readonly httpLastModified?: number;
}

/** A local directory by the name and session id that enter its source op. */
export interface LocalName {
  readonly name: string;
  readonly sessionId: string;
}

/** Where the exclude patterns of a local directory are written. */
export interface IgnoreFile {
  readonly local: LocalName;
  /** In the order of `local.excludepatterns`. */
  readonly lines: readonly { readonly pattern: string; readonly range: Range }[];
}

export interface Frontend {
  /** @throws BakeError with ranges in the file that was read */
  lower(request: FrontendRequest, host: FrontendHost, signal: AbortSignal): Promise<FrontendResult>;
  /** Answers a question about the build instead of lowering it; absent when the frontend knows none. @throws BakeError */
  readonly call?: (
    request: FrontendRequest,
    host: FrontendHost,
    signal: AbortSignal,
    method: CallMethod,
  ) => Promise<CallAnswer>;
}
