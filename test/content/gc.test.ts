// Goal: what is evicted is the oldest that nobody needs, and what remains is whole.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { planEviction, type StorageEntry } from "../../src/content/gc.ts";

function entry(id: string, lastUsedMs: number, more: Partial<StorageEntry> = {}): StorageEntry {
  return { kind: "snapshot", id, sizeBytes: 10, lastUsedMs, inUse: false, parent: undefined, ...more };
}
const ids = (entries: readonly StorageEntry[]): readonly string[] => entries.map(({ id }) => id);

test("the least recently used goes first, and only as much as is needed", () => {
  const entries = [entry("b", 2), entry("a", 1), entry("c", 3)];
  assert.deepEqual(ids(planEviction(entries, { maxBytes: 20 })), ["a"]);
  assert.deepEqual(ids(planEviction(entries, { maxBytes: 30 })), []);
  assert.deepEqual(ids(planEviction(entries, { maxBytes: 0 })), ["a", "b", "c"]);
});

test("a parent is as young as its youngest child, and goes after it", () => {
  const entries = [entry("parent", 1), entry("child", 5, { parent: "parent" }), entry("other", 3)];
  assert.deepEqual(ids(planEviction(entries, { maxBytes: 20 })), ["other"]);
  assert.deepEqual(ids(planEviction(entries, { maxBytes: 0 })), ["other", "child", "parent"]);
});

test("what is in use stays, with what it builds upon", () => {
  const entries = [entry("parent", 1), entry("child", 1, { parent: "parent", inUse: true }), entry("old", 0)];
  assert.deepEqual(ids(planEviction(entries, { maxBytes: 0 })), ["old"]);
});

test("what is young stays, even when that leaves too much", () => {
  const entries = [entry("a", 1), entry("b", 2), entry("c", 3), entry("d", 4)];
  assert.deepEqual(ids(planEviction(entries, { maxBytes: 0, usedBeforeMs: 3 })), ["a", "b"]);
  assert.deepEqual(ids(planEviction(entries, { maxBytes: 30, usedBeforeMs: 3 })), ["a"]);
  const used = [entry("parent", 1), entry("child", 5, { parent: "parent" })];
  assert.deepEqual(ids(planEviction(used, { maxBytes: 0, usedBeforeMs: 3 })), []);
});

test("what is no candidate stays, with what it builds upon, and counts", () => {
  const entries = [entry("base", 1), entry("a", 2, { parent: "base" }), entry("b", 3, { parent: "base" })];
  const isCandidate = ({ id }: StorageEntry): boolean => id !== "b";
  assert.deepEqual(ids(planEviction(entries, { maxBytes: 0, isCandidate })), ["a"]);
  assert.deepEqual(ids(planEviction(entries, { maxBytes: 20, isCandidate })), ["a"]);
  assert.deepEqual(ids(planEviction(entries, { maxBytes: 30, isCandidate })), []);
});

test("law: eviction is whole, spares what is in use, and stops at the limit", () => {
  const forest = fc
    .array(
      fc.record({
        size: fc.nat(50),
        used: fc.nat(20),
        parent: fc.nat(30),
        root: fc.boolean(),
        inUse: fc.nat(5),
      }),
      { maxLength: 25 },
    )
    .map(rows =>
      rows.map(({ size, used, parent, root, inUse }, index) =>
        entry(String(index), used, {
          sizeBytes: size,
          inUse: inUse === 0,
          // Parents come before their children, so there is no circle.
          parent: root || index === 0 ? undefined : String(parent % index),
        }),
      ),
    );
  fc.assert(
    fc.property(forest, fc.nat(600), (entries, maxBytes) => {
      const evicted = planEviction(entries, { maxBytes });
      const gone = new Set(ids(evicted));
      assert.equal(gone.size, evicted.length);
      const kept = entries.filter(({ id }) => !gone.has(id));
      for (const { parent } of kept) assert.ok(parent === undefined || !gone.has(parent));
      assert.ok(evicted.every(({ inUse }) => !inUse));
      const total = kept.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
      const last = evicted.at(-1);
      // One fewer would have been too few; and when it is not enough, all that remains is needed.
      if (last !== undefined) assert.ok(total + last.sizeBytes > maxBytes);
      if (total > maxBytes) {
        const needed = new Set<string>();
        for (const { inUse, id } of kept)
          for (let at = inUse ? id : undefined; at !== undefined;) {
            needed.add(at);
            at = entries.find(other => other.id === at)?.parent;
          }
        assert.deepEqual(new Set(ids(kept)), needed);
      }
    }),
  );
});
