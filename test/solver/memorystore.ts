// CacheStore in memory: the reference implementation of its contract, for tests of the solver.
import { storedPart } from "../../src/solver/cachekey.ts";
import type { CacheRecord, CacheStore, StoredPart } from "../../src/solver/op.ts";
import type { Digest } from "../../src/oci/digest.ts";

export interface MemoryStore<R> extends CacheStore<R> {
  /** Loses the results of a record; its keys stay. */
  evict(id: Digest): void;
  /** Loses a key. */
  forget(key: Digest): void;
  /** Loses the last writes, as a machine that went down before they reached the disk. */
  loseLast(writes: number): void;
  readonly keys: ReadonlyMap<Digest, CacheRecord>;
  readonly records: ReadonlyMap<Digest, readonly (R | undefined)[]>;
}

/** `keep` makes the copy of a result the store holds, `give` the copy a load hands out; both identity by default. */
export function createMemoryStore<R>(
  copy: { keep?: (result: R) => R; give?: (result: R) => R } = {},
): MemoryStore<R> {
  const keep = copy.keep ?? ((result: R): R => result);
  const give = copy.give ?? ((result: R): R => result);
  const keys = new Map<Digest, CacheRecord>();
  const records = new Map<Digest, readonly (R | undefined)[]>();
  const parts = new Map<string, readonly StoredPart[]>();
  const undo: (() => void)[] = [];
  const set = <K, V>(map: Map<K, V>, key: K, value: V): (() => void) => {
    const before = map.get(key);
    map.set(key, value);
    return () => {
      if (before === undefined) map.delete(key);
      else map.set(key, before);
    };
  };
  return {
    keys,
    records,
    evict: id => void records.delete(id),
    forget: key => void keys.delete(key),
    loseLast(writes) {
      for (; writes > 0; writes--) undo.pop()?.();
    },
    query: key => Promise.resolve(keys.get(key)),
    load(record, index) {
      const result = records.get(record.id)?.[index];
      return Promise.resolve(result === undefined ? undefined : give(result));
    },
    save(given, vertex, results) {
      const [first] = given;
      if (first === undefined) return Promise.reject(new Error("nothing to save under"));
      const known = given.map(key => keys.get(key.digest)).find(found => found !== undefined);
      const record = known ?? { id: first.digest };
      const undone: (() => void)[] = [];
      if (!records.has(record.id)) {
        const kept = results.map(result => (result === undefined ? undefined : keep(result)));
        undone.push(set(records, record.id, kept));
      }
      for (const key of given) if (!keys.has(key.digest)) undone.push(set(keys, key.digest, record));
      undo.push(() => undone.forEach(back => back()));
      const stored = given.flatMap(key => [...key.parts, ...(key.details ?? [])]).map(storedPart);
      parts.set(vertex.digest, stored);
      parts.set(vertex.name, stored);
      return Promise.resolve(record);
    },
    link(key, record) {
      undo.push(set(keys, key.digest, record));
      return Promise.resolve();
    },
    previousParts: ({ digest, name }) => Promise.resolve(parts.get(digest) ?? parts.get(name)),
  };
}
