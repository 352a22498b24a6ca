// From a state to a definition (ops in order with metadata), and between definitions and the bytes of pb.Definition
// that LLB programs pipe to each other.
import { BakeError } from "../diagnostic/error.ts";
import { digestOf, isDigest } from "../oci/digest.ts";
import type { Platform } from "../oci/platform.ts";
import type { EncodeContext, Output, VertexNode } from "./builder/vertex.ts";
import type { Definition, OpMetadata, SourceInfo, SourceLocation, VertexDigest } from "./definition.ts";
import {
  definitionMessage,
  type LocationsMessage,
  type MetadataMessage,
  type RangeMessage,
  type SourceMessage,
} from "./definitionmessage.ts";
import { encodeOp } from "./ops.ts";
import type { State } from "./state.ts";
import { decode, encode } from "./wire.ts";

export interface MarshalOptions {
  /** The platform of images and commands that have none of their own. */
  readonly platform: Platform;
  /** The id of local sources without session and id; called at most once. Without it such a source is an error. */
  readonly localUniqueId?: () => string;
}

/**
 * The definition of a state: inputs before users, depth first, the terminal op last. Scratch gives an empty one.
 * @throws BakeError "llb-invalid"
 */
export function marshal(state: State, { platform, localUniqueId }: MarshalOptions): Definition {
  const def: Uint8Array[] = [];
  const metadata = new Map<VertexDigest, OpMetadata>();
  const locations = new Map<VertexDigest, SourceLocation>();
  const empty: Definition = { def, metadata, locations };
  if (state.output === undefined) return empty;

  const digests = new Map<VertexNode, VertexDigest>();
  const known = new Set<VertexDigest>();
  let uniqueId: string | undefined;
  const context: EncodeContext = {
    platform,
    localUniqueId() {
      uniqueId ??= localUniqueId?.();
      if (uniqueId === undefined) {
        throw new BakeError("llb-invalid", "a local source needs a session id or a unique id", {
          hint: "give `sessionId` or `uniqueId` to local()",
        });
      }
      return uniqueId;
    },
    inputOf({ vertex, index }: Output) {
      const digest = digests.get(vertex);
      if (digest === undefined) throw new BakeError("internal", "BUG: an input is marshalled after its user");
      return { digest, index };
    },
  };

  const finish = (vertex: VertexNode): void => {
    const bytes = vertex.encode(context);
    const digest = digestOf(bytes);
    digests.set(vertex, digest);
    metadata.set(digest, mergeMetadata(metadata.get(digest), vertex.metadata));
    if (vertex.location) locations.set(digest, mergeLocation(locations.get(digest), vertex.location));
    if (known.has(digest)) return;
    known.add(digest);
    def.push(bytes);
  };
  // A stack of our own: chains of thousands of steps must not exhaust the call stack.
  const stack: { readonly vertex: VertexNode; next: number }[] = [{ vertex: state.output.vertex, next: 0 }];
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const child = top.vertex.children[top.next++];
    if (child === undefined) {
      finish(top.vertex);
      stack.pop();
    } else if (!digests.has(child.vertex)) stack.push({ vertex: child.vertex, next: 0 });
  }

  const terminal = encodeOp({ kind: "terminal", inputs: [context.inputOf(state.output)] });
  def.push(terminal);
  metadata.set(digestOf(terminal), { caps: terminalCaps([...metadata.values()]) });
  return empty;
}

function terminalCaps(all: readonly OpMetadata[]): string[] {
  return [
    "constraints",
    ...(all.some(({ description }) => description !== undefined) ? ["meta.description"] : []),
    ...(all.some(({ exportCache }) => exportCache !== undefined) ? ["meta.exportcache"] : []),
    ...(all.some(({ ignoreCache }) => ignoreCache) ? ["meta.ignorecache"] : []),
    "platform",
  ];
}

/** Metadata of two vertices with one digest: the later one wins where both speak; flags and capabilities add up. */
export function mergeMetadata(earlier: OpMetadata | undefined, later: OpMetadata): OpMetadata {
  if (earlier === undefined) return later;
  const description = { ...earlier.description, ...later.description };
  const caps = [...new Set([...(earlier.caps ?? []), ...(later.caps ?? [])])].sort();
  return {
    ...earlier,
    ...later,
    ...(Object.keys(description).length > 0 && { description }),
    ...(caps.length > 0 && { caps }),
    ...((earlier.ignoreCache || later.ignoreCache) && { ignoreCache: true }),
  };
}

/** Locations of two vertices with one digest: ranges of the same source add up, another source is not recorded. */
export function mergeLocation(earlier: SourceLocation | undefined, later: SourceLocation): SourceLocation {
  if (earlier === undefined) return later;
  if (!isSameSource(earlier.source, later.source)) return earlier;
  const seen = new Set(earlier.ranges.map(({ startLine, endLine }) => `${startLine}-${endLine}`));
  return {
    ...earlier,
    ranges: [
      ...earlier.ranges,
      ...later.ranges.filter(({ startLine, endLine }) => !seen.has(`${startLine}-${endLine}`)),
    ],
  };
}

function isSameSource(a: SourceInfo, b: SourceInfo): boolean {
  if (a === b) return true;
  return a.filename === b.filename && a.language === b.language && Buffer.compare(a.data, b.data) === 0;
}

/** The bytes of pb.Definition. */
export function writeDefinition({ def, metadata, locations }: Definition): Uint8Array {
  const infos: SourceInfo[] = [];
  const byDigest: Record<string, LocationsMessage> = {};
  for (const [digest, { source, ranges }] of locations) {
    let sourceIndex = infos.findIndex(info => isSameSource(info, source));
    if (sourceIndex < 0) sourceIndex = infos.push(source) - 1;
    byDigest[digest] = {
      locations: [
        {
          sourceIndex,
          ranges: ranges.map(({ startLine, endLine }) => ({
            start: { line: startLine, character: 0 },
            end: { line: endLine, character: 0 },
          })),
        },
      ],
    };
  }
  return encode(definitionMessage, {
    def,
    metadata: Object.fromEntries([...metadata].map(([digest, entry]) => [digest, metadataToMessage(entry)])),
    source: {
      locations: byDigest,
      infos: infos.map(({ filename, data, language = "" }) => ({ filename, data, language })),
    },
  });
}

/**
 * Reads pb.Definition, whichever LLB program wrote it. Of several locations of one op those in the first file are kept.
 * @throws BakeError "llb-invalid"
 */
export function readDefinition(bytes: Uint8Array): Definition {
  const { def, metadata, source } = decode(definitionMessage, bytes);
  if (def.length === 0 && bytes.length > 0 && source === undefined && Object.keys(metadata).length === 0) {
    throw new BakeError("llb-invalid", "the input is not an LLB definition", {
      hint: "pipe in what an LLB program writes (pb.Definition)",
    });
  }
  return {
    def,
    metadata: new Map(
      Object.entries(metadata).map(([digest, entry]) => [vertexDigest(digest), metadataFromMessage(entry)]),
    ),
    locations: source === undefined ? new Map<VertexDigest, SourceLocation>() : locationsFrom(source),
  };
}

function vertexDigest(text: string): VertexDigest {
  if (!isDigest(text))
    throw new BakeError("llb-invalid", `a definition has the malformed digest ${JSON.stringify(text)}`);
  return text;
}

export function metadataToMessage({
  ignoreCache = false,
  description = {},
  exportCache,
  caps = [],
  progressGroup,
  linuxResources,
}: OpMetadata): MetadataMessage {
  return {
    ignoreCache,
    description,
    ...(exportCache !== undefined && { exportCache: { value: exportCache } }),
    caps: Object.fromEntries(caps.map(cap => [cap, true])),
    ...(progressGroup && { progressGroup }),
    ...(linuxResources && {
      linuxResources: {
        memory: 0,
        memorySwap: 0,
        cpuShares: 0,
        cpuPeriod: 0,
        cpuQuota: 0,
        cpusetCpus: "",
        cpusetMems: "",
        ...linuxResources,
      },
    }),
  };
}

function metadataFromMessage({
  ignoreCache,
  description,
  exportCache,
  caps,
  progressGroup,
  linuxResources,
}: MetadataMessage): OpMetadata {
  const wanted = Object.keys(caps).filter(cap => caps[cap]);
  return {
    ...(Object.keys(description).length > 0 && { description }),
    ...(wanted.length > 0 && { caps: wanted.sort() }),
    ...(ignoreCache && { ignoreCache }),
    ...(exportCache && { exportCache: exportCache.value }),
    ...(progressGroup && { progressGroup }),
    ...(linuxResources && { linuxResources }),
  };
}

function locationsFrom({ locations, infos }: SourceMessage): Map<VertexDigest, SourceLocation> {
  const sources = infos.map(({ filename, data, language }): SourceInfo => ({
    filename,
    data,
    ...(language !== "" && { language }),
  }));
  const found = new Map<VertexDigest, SourceLocation>();
  for (const [digest, { locations: entries }] of Object.entries(locations)) {
    const key = vertexDigest(digest);
    for (const { sourceIndex, ranges } of entries) {
      const source = sources[sourceIndex];
      if (source === undefined)
        throw new BakeError(
          "llb-invalid",
          `a location names the source ${sourceIndex}, but there are ${sources.length}`,
        );
      found.set(key, mergeLocation(found.get(key), { source, ranges: ranges.map(lines) }));
    }
  }
  return found;
}

function lines({ start, end }: RangeMessage): { readonly startLine: number; readonly endLine: number } {
  const startLine = start?.line ?? 0;
  return { startLine, endLine: end?.line ?? startLine };
}
