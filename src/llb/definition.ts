// The wire form of a graph: serialised ops in order, the terminal last, with metadata beside each digest
// (pb.Definition). Ops are immutable bytes here: their digest is their identity.
import type { Digest } from "../oci/digest.ts";

/** The digest of a serialised `pb.Op`. */
export type VertexDigest = Digest;

/** Facts about a vertex that do not enter its digest (pb.OpMetadata). */
export interface OpMetadata {
  /** `llb.customname` names the vertex in progress output. */
  readonly description?: Readonly<Record<string, string>>;
  readonly caps?: readonly string[];
  readonly ignoreCache?: boolean;
  readonly exportCache?: boolean;
  readonly progressGroup?: { readonly id: string; readonly name: string; readonly weak: boolean };
  readonly linuxResources?: LinuxResources;
}

/** Limits of a step (pb.LinuxResources); bytes for memory, microseconds for periods and quotas. */
export interface LinuxResources {
  readonly memory?: number;
  readonly memorySwap?: number;
  readonly cpuShares?: number;
  readonly cpuPeriod?: number;
  readonly cpuQuota?: number;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
}

/** Where a vertex came from: lines (from 1, both ends included) of a source file. */
export interface SourceLocation {
  readonly source: SourceInfo;
  readonly ranges: readonly { readonly startLine: number; readonly endLine: number }[];
}

export interface SourceInfo {
  readonly filename: string;
  readonly data: Uint8Array;
  readonly language?: string;
}

export interface Definition {
  /** Serialised ops, inputs before users; the last is the terminal vertex. Empty for scratch. */
  readonly def: readonly Uint8Array[];
  readonly metadata: ReadonlyMap<VertexDigest, OpMetadata>;
  readonly locations: ReadonlyMap<VertexDigest, SourceLocation>;
}
