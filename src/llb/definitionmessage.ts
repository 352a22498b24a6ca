// The messages around ops (pb.Definition, pb.OpMetadata, pb.Source): the file format that LLB programs write.
import { bool, bytes, int32, int64, list, map, message, sub, text, uint64, type Message } from "./message.ts";

export interface DefinitionMessage {
  readonly def: readonly Uint8Array[];
  /** By op digest. */
  readonly metadata: Readonly<Record<string, MetadataMessage>>;
  readonly source?: SourceMessage;
}

export interface MetadataMessage {
  readonly ignoreCache: boolean;
  readonly description: Readonly<Record<string, string>>;
  readonly exportCache?: { readonly value: boolean };
  readonly caps: Readonly<Record<string, boolean>>;
  readonly progressGroup?: { readonly id: string; readonly name: string; readonly weak: boolean };
  readonly linuxResources?: LinuxResourcesMessage;
}

export interface LinuxResourcesMessage {
  readonly memory: number;
  readonly memorySwap: number;
  readonly cpuShares: number;
  readonly cpuPeriod: number;
  readonly cpuQuota: number;
  readonly cpusetCpus: string;
  readonly cpusetMems: string;
}

export interface SourceMessage {
  /** By op digest. */
  readonly locations: Readonly<Record<string, LocationsMessage>>;
  readonly infos: readonly SourceInfoMessage[];
}

export interface LocationsMessage {
  readonly locations: readonly LocationMessage[];
}

export interface LocationMessage {
  /** Index into the infos. */
  readonly sourceIndex: number;
  readonly ranges: readonly RangeMessage[];
}

export interface RangeMessage {
  readonly start?: PositionMessage;
  readonly end?: PositionMessage;
}

export interface PositionMessage {
  readonly line: number;
  readonly character: number;
}

export interface SourceInfoMessage {
  readonly filename: string;
  readonly data: Uint8Array;
  readonly definition?: DefinitionMessage;
  readonly language: string;
}

const exportCache = message<{ readonly value: boolean }>("ExportCache", { value: bool(1, "Value") });

const progressGroup = message<{ readonly id: string; readonly name: string; readonly weak: boolean }>(
  "ProgressGroup",
  {
    id: text(1),
    name: text(2),
    weak: bool(3),
  },
);

const linuxResources = message<LinuxResourcesMessage>("LinuxResources", {
  memory: int64(1),
  memorySwap: int64(2),
  cpuShares: uint64(3),
  cpuPeriod: uint64(4),
  cpuQuota: int64(5),
  cpusetCpus: text(6),
  cpusetMems: text(7),
});

export const metadataMessage = message<MetadataMessage>("OpMetadata", {
  ignoreCache: bool(1, "ignore_cache"),
  description: map(2, text),
  exportCache: sub(4, () => exportCache, "export_cache"),
  caps: map(5, bool),
  progressGroup: sub(6, () => progressGroup, "progress_group"),
  linuxResources: sub(7, () => linuxResources, "linux_resources"),
});

const position = message<PositionMessage>("Position", { line: int32(1), character: int32(2) });

const range = message<RangeMessage>("Range", {
  start: sub(1, () => position),
  end: sub(2, () => position),
});

const location = message<LocationMessage>("Location", {
  sourceIndex: int32(1),
  ranges: list(sub(2, () => range)),
});

const locations = message<LocationsMessage>("Locations", { locations: list(sub(1, () => location)) });

const sourceInfo = message<SourceInfoMessage>("SourceInfo", {
  filename: text(1),
  data: bytes(2),
  definition: sub(3, () => definitionMessage),
  language: text(4),
});

const sourceMessage = message<SourceMessage>("Source", {
  locations: map(1, number => sub(number, () => locations)),
  infos: list(sub(2, () => sourceInfo)),
});

export const definitionMessage: Message<DefinitionMessage> = message<DefinitionMessage>("Definition", {
  def: list(bytes(1)),
  metadata: map(2, number => sub(number, () => metadataMessage)),
  source: sub(3, () => sourceMessage, "Source"),
});
