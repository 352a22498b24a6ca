// The solver's view of work: vertices with inputs, each with an Op that can say how it is cached and how to run.
// Generic in the result type R: the solver never looks inside a result.
import type { Digest } from "../oci/digest.ts";
import type { Emit } from "../progress/event.ts";

export interface Vertex<R> {
  /** Equal digests mean the same work: within a solve such a vertex exists once. */
  readonly digest: Digest;
  /** Shown to the user. */
  readonly name: string;
  readonly inputs: readonly Edge<R>[];
  readonly op: Op<R>;
  /** How an error of the step is told, such as with the place where the user wrote it. Default: as it is. */
  readonly explainError?: (error: unknown) => unknown;
  /** Always execute, whatever the cache has (the result is still saved). */
  readonly ignoreCache?: boolean;
}

/** One output of a vertex. */
export interface Edge<R> {
  readonly vertex: Vertex<R>;
  readonly index: number;
}

export interface OpContext {
  readonly signal: AbortSignal;
  /** Logs and statuses of this step; the solver itself emits started, cached, done, failed. */
  readonly emit: Emit;
}

export interface Op<R> {
  /** How this step is cached. Called at most once per solve, before exec; cheap (no pulls, no walks). */
  cacheMap(context: OpContext): Promise<CacheMap<R>>;
  /** Runs the step: one result per output, undefined for outputs that do not exist. */
  exec(inputs: readonly R[], context: OpContext): Promise<readonly (R | undefined)[]>;
  /** Which slots exec needs; "free" steps (cheap, in-process) never wait. Default "cpu". */
  readonly pool?: Pool;
}

export type Pool = "cpu" | "network" | "free";

/**
 * A labelled piece of a cache key. Hashing all pieces is the key; storing and comparing them is the explanation of a
 * miss, so the two cannot disagree. Only `shown` is ever kept in clear: values may carry credentials.
 */
export interface KeyPart {
  /** What this is, in the user's words: "command", "env PATH", "base image", "file a.txt". */
  readonly label: string;
  readonly value: string;
  readonly shown?: string;
}

export interface CacheMap<R> {
  readonly parts: readonly KeyPart[];
  /** One entry per input, in order. */
  readonly inputs: readonly InputKeying<R>[];
  /**
   * The op's result can change although its parts did not (a local directory): its definition key is worth nothing,
   * users of it must be keyed by content.
   */
  readonly volatile?: boolean;
  /** The parts were asked for elsewhere: the same vertex may have others in another run. */
  readonly asked?: boolean;
}

/** How one input enters the key. */
export interface InputKeying<R> {
  /** Enters the definition key beside the input's own key ("which paths of it matter"). */
  readonly selector?: string;
  /**
   * The content of the input as far as this op can see it; absent when only the definition may be used. Called a second
   * time after exec when the input is volatile, and must then look again: the result is only kept when nothing changed.
   */
  readonly contentKey?: (input: R, context: OpContext) => Promise<ContentKey>;
}

export interface ContentKey {
  readonly digest: Digest;
  /** Pieces behind the digest, for explanations (per file or summarised). */
  readonly parts?: readonly KeyPart[];
}

/** A key under which results are stored: a digest over labelled parts. */
export interface CacheKey {
  readonly digest: Digest;
  readonly parts: readonly KeyPart[];
  /** Pieces behind content digests among the parts. Not hashed; stored beside the parts for explanations. */
  readonly details?: readonly KeyPart[];
}

/** What may be kept of a key part: `value` is the digest of the part's value. */
export interface StoredPart {
  readonly label: string;
  readonly value: Digest;
  readonly shown?: string;
}

/** What the store knows of one execution. `id` is stable: the digest of the key it was first saved under. */
export interface CacheRecord {
  readonly id: Digest;
}

/** A key taken by this process; nobody else executes what is to be saved under it. */
export interface Claim {
  release(): void;
}

/** How a claim is waited for. */
export interface ClaimWait {
  readonly signal: AbortSignal;
  /** Told when another has it, before the waiting begins; `holder` names that one for people, "bake (pid 7)". */
  readonly onWait: (holder: string) => void;
}

/** Where results outlive a run. Every answer is a hint: an error is the same as "unknown". */
export interface CacheStore<R> {
  query(key: Digest): Promise<CacheRecord | undefined>;
  /** The result behind one output of a record, or undefined when it is gone. The caller releases it. */
  load(record: CacheRecord, index: number): Promise<R | undefined>;
  /**
   * Remembers the results of an execution under keys (the first being preferred as id when the record is new).
   * Returns the record, which is an older one when a key was already known and its results still exist. A record whose
   * results are gone takes the new ones and keeps its id: users of it are keyed by that.
   */
  save(
    keys: readonly CacheKey[],
    vertex: { readonly digest: Digest; readonly name: string },
    results: readonly (R | undefined)[],
  ): Promise<CacheRecord>;
  /** Makes `key` another name of an existing record. It stops naming any other. */
  link(key: CacheKey, record: CacheRecord): Promise<void>;
  /**
   * Takes a key while what is to be saved under it is made, so that others who share the store wait for that instead of
   * making it too. Ends with the death of the process, however it dies. Undefined when another has it and `wait` is absent.
   * Stores that are used by one process at a time have no claims.
   */
  claim?(key: Digest, wait?: ClaimWait): Promise<Claim | undefined>;
  /**
   * What the keys were made of when a vertex was last saved: one with the same digest, else one with the same name.
   * All parts and details of all keys of that save; none when it is only known that there was one. Only used to explain
   * a miss.
   */
  previousParts?(vertex: {
    readonly digest: Digest;
    readonly name: string;
  }): Promise<readonly StoredPart[] | undefined>;
}

/** Gives up a result the solver no longer needs. Called exactly once per result acquired. */
export type Release<R> = (result: R) => Promise<void>;

/** Time, so that a simulation can own it. Milliseconds. */
export interface Clock {
  now(): number;
}
