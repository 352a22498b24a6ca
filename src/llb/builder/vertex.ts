// Vertices as the builder holds them: linked by reference, turned into bytes only when marshalled, because platform
// defaults are known only then.
import type { LinuxResources, OpMetadata, SourceLocation } from "../definition.ts";
import type { Input } from "../op/op.ts";
import type { Platform } from "../../oci/platform.ts";

/** A step of a graph under construction. */
export interface VertexNode {
  /** What it reads, in the order in which a definition lists them (not always that of the op's inputs). */
  readonly children: readonly Output[];
  readonly metadata: OpMetadata;
  readonly location?: SourceLocation;
  /** The bytes of the op. */
  readonly encode: (context: EncodeContext) => Uint8Array;
}

/** One output of a vertex. */
export interface Output {
  readonly vertex: VertexNode;
  readonly index: number;
  /** The platform a state on this output starts with. */
  readonly platform?: Platform;
}

export interface EncodeContext {
  /** The platform of ops whose state has none. */
  readonly platform: Platform;
  /** The id of local sources that have neither a session nor an id of their own; the same within one definition. */
  readonly localUniqueId: () => string;
  readonly inputOf: (output: Output) => Input;
}

/** What can be said of any vertex; only `platform` may enter its digest. */
export interface VertexOptions {
  /** The name in progress output. */
  readonly customName?: string;
  /** Free texts by key; `llb.customname` is the custom name. */
  readonly description?: Readonly<Record<string, string>>;
  /** Always execute, whatever the cache has; default false. */
  readonly ignoreCache?: boolean;
  /** Whether the result goes into exported caches; the build decides when absent. */
  readonly exportCache?: boolean;
  readonly progressGroup?: { readonly id: string; readonly name: string; readonly weak?: boolean };
  readonly linuxResources?: LinuxResources;
  /** The piece of source this vertex comes from. */
  readonly location?: SourceLocation;
  /** Overrides the platform of the state; kinds of vertices that have none ignore it. */
  readonly platform?: Platform;
}

export function metadataFrom(options: VertexOptions, caps: readonly string[]): OpMetadata {
  const { customName, description, ignoreCache, exportCache, progressGroup, linuxResources } = options;
  const texts = { ...description, ...(customName !== undefined && { "llb.customname": customName }) };
  return {
    ...(Object.keys(texts).length > 0 && { description: texts }),
    ...(caps.length > 0 && { caps: [...new Set(caps)].sort() }),
    ...(ignoreCache && { ignoreCache }),
    ...(exportCache !== undefined && { exportCache }),
    ...(progressGroup && { progressGroup: { weak: false, ...progressGroup } }),
    ...(linuxResources && { linuxResources }),
  };
}

/** The inputs of an op while it is encoded; equal ones share an index. */
export class InputList {
  readonly #inputs: Input[] = [];
  readonly #context: EncodeContext;

  constructor(context: EncodeContext) {
    this.#context = context;
  }

  get list(): readonly Input[] {
    return this.#inputs;
  }

  /** The index of an output among the inputs; -1 for an empty file system. */
  shared(output: Output | undefined): number {
    if (output === undefined) return -1;
    const input = this.#context.inputOf(output);
    const known = this.#inputs.findIndex(
      ({ digest, index }) => digest === input.digest && index === input.index,
    );
    return known >= 0 ? known : this.#inputs.push(input) - 1;
  }

  /** The index of a new entry, even when an equal one exists: merge and diff ops never share. */
  own(output: Output | undefined): number {
    return output === undefined ? -1 : this.#inputs.push(this.#context.inputOf(output)) - 1;
  }
}
