// The cache as the solver sees it: every answer is a hint, and a store that fails is one that knows nothing.
import type { Digest } from "../oci/digest.ts";
import type { CacheKey, CacheRecord, CacheStore, Claim, ClaimWait, StoredPart } from "./op.ts";

export interface Hints<R> {
  /** `doubt`: the store failed, so a record may exist all the same. */
  query(key: Digest): Promise<{ readonly record: CacheRecord | undefined; readonly doubt?: boolean }>;
  load(record: CacheRecord, index: number): Promise<R | undefined>;
  /** Saves under `keys` and makes `names` further names of the record. */
  save(
    keys: readonly CacheKey[],
    names: readonly CacheKey[],
    vertex: NamedVertex,
    results: readonly (R | undefined)[],
  ): Promise<CacheRecord | undefined>;
  link(key: CacheKey, record: CacheRecord): Promise<void>;
  previousParts(vertex: NamedVertex): Promise<readonly StoredPart[] | undefined>;
  /** Whether the store has claims. */
  readonly canClaim: boolean;
  /** "busy" when another has the key and `wait` is absent; undefined when the store fails. @throws the abort reason */
  claim(key: Digest, wait?: ClaimWait): Promise<Claim | "busy" | undefined>;
}

interface NamedVertex {
  readonly digest: Digest;
  readonly name: string;
}

export function createHints<R>(store: CacheStore<R>): Hints<R> {
  const link = (key: CacheKey, record: CacheRecord): Promise<void> =>
    orUndefined(() => store.link(key, record));
  return {
    link,
    async query(key) {
      try {
        return { record: await store.query(key) };
      } catch {
        return { record: undefined, doubt: true };
      }
    },
    load: (record, index) => orUndefined(() => store.load(record, index)),
    async save(keys, names, { digest, name }, results) {
      const record = await orUndefined(() => store.save(keys, { digest, name }, results));
      if (record !== undefined) for (const key of names) await link(key, record);
      return record;
    },
    canClaim: store.claim !== undefined,
    async claim(key, wait) {
      try {
        return (await store.claim?.(key, wait)) ?? "busy";
      } catch (thrown) {
        // Making a result twice is no harm.
        if (wait?.signal.aborted === true) throw thrown;
        return undefined;
      }
    },
    previousParts: ({ digest, name }) => orUndefined(async () => store.previousParts?.({ digest, name })),
  };
}

/** A cache problem never fails a build. */
async function orUndefined<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch {
    return undefined;
  }
}
