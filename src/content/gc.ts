// Which entries of the state directory go when it is to shrink: least recently used first, children before parents,
// nothing that is in use. Pure: the entries come as data.

/** Kinds of entries that can be removed one by one. */
export const evictableKinds = ["snapshot", "blob", "cache-mount", "git", "http"] as const;

export type EvictableKind = (typeof evictableKinds)[number];

/** Something in the state directory that may go as a whole. */
export interface StorageEntry {
  readonly kind: string;
  /** Unique within its kind. */
  readonly id: string;
  readonly sizeBytes: number;
  /** Milliseconds since 1970. */
  readonly lastUsedMs: number;
  /** A living process holds it. */
  readonly inUse: boolean;
  /** Entries of the same kind that this one builds upon: it has to go before them. */
  readonly parent: string | undefined;
}

export interface EvictionGoal<T extends StorageEntry = StorageEntry> {
  /** Evict until what remains of all entries is at most this; no eviction at all when absent. */
  readonly maxBytes?: number | undefined;
  /** What was used at this time or later stays (milliseconds since 1970). */
  readonly usedBeforeMs?: number | undefined;
  /** What it says no to stays, and with it what that builds upon. */
  readonly isCandidate?: ((entry: T) => boolean) | undefined;
}

/** What to remove, in the order to remove it. What is in use stays, and with it what it builds upon. */
export function planEviction<T extends StorageEntry>(
  entries: readonly T[],
  { maxBytes = Infinity, usedBeforeMs = Infinity, isCandidate = () => true }: EvictionGoal<T>,
): readonly T[] {
  const key = ({ kind }: T, id: string): string => `${kind} ${id}`;
  const byKey = new Map(entries.map(entry => [key(entry, entry.id), entry]));
  const childCount = new Map<string, number>();
  /** Using a child is using its parents: they are as young as the youngest of their descendants. */
  const lastUsed = new Map(entries.map(entry => [key(entry, entry.id), entry.lastUsedMs]));
  for (const entry of entries) {
    if (entry.parent !== undefined)
      childCount.set(key(entry, entry.parent), (childCount.get(key(entry, entry.parent)) ?? 0) + 1);
    const seen = new Set<T>();
    for (let at: T | undefined = entry; at?.parent !== undefined && !seen.has(at);) {
      seen.add(at);
      const above = key(at, at.parent);
      // Further up was raised by whoever raised this.
      if ((lastUsed.get(above) ?? Infinity) >= entry.lastUsedMs) break;
      lastUsed.set(above, entry.lastUsedMs);
      at = byKey.get(above);
    }
  }
  const age = (entry: T): number => lastUsed.get(key(entry, entry.id)) ?? entry.lastUsedMs;
  const compare = (a: T, b: T): number =>
    age(a) - age(b) || (key(a, a.id) < key(b, b.id) ? -1 : key(a, a.id) > key(b, b.id) ? 1 : 0);
  const isLeaf = (entry: T): boolean =>
    !entry.inUse &&
    (childCount.get(key(entry, entry.id)) ?? 0) === 0 &&
    age(entry) < usedBeforeMs &&
    isCandidate(entry);

  let total = entries.reduce((sum, entry) => sum + entry.sizeBytes, 0);
  const evicted: T[] = [];
  // A parent is never younger than its child allows, so each can follow its last child at once.
  const queue = entries.filter(isLeaf).sort(compare);
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    if (total <= maxBytes) break;
    evicted.push(next);
    total -= next.sizeBytes;
    if (next.parent === undefined) continue;
    const above = key(next, next.parent);
    childCount.set(above, (childCount.get(above) ?? 1) - 1);
    const parent = byKey.get(above);
    if (parent === undefined || !isLeaf(parent)) continue;
    const at = queue.findIndex(other => compare(parent, other) < 0);
    queue.splice(at < 0 ? queue.length : at, 0, parent);
  }
  return evicted;
}
