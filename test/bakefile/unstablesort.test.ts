// Goal: the sort orders like any sort, and leaves equal items where Go's does.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { sortLikeGo } from "../../src/bakefile/unstablesort.ts";

interface Item {
  readonly key: number;
  readonly place: number;
}
const byKey = (a: Item, b: Item): number => a.key - b.key;
const itemsOf = (keys: readonly number[]): readonly Item[] => keys.map((key, place) => ({ key, place }));

test("law: the result is sorted and has every item once", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 400 }), keys => {
      const sorted = sortLikeGo(itemsOf(keys), byKey);
      assert.deepEqual(
        sorted.map(({ key }) => key),
        [...keys].sort((a, b) => a - b),
      );
      assert.equal(new Set(sorted.map(({ place }) => place)).size, keys.length);
    }),
  );
});

test("patterns that defeat plain quicksorts are sorted too", () => {
  const n = 2000;
  const patterns = [
    Array.from({ length: n }, (_, i) => i),
    Array.from({ length: n }, (_, i) => n - i),
    Array.from({ length: n }, (_, i) => Math.min(i, n - i)),
    Array.from({ length: n }, () => 7),
    Array.from({ length: n }, (_, i) => i % 2),
    Array.from({ length: n }, (_, i) => (i * 7919) % 101),
  ];
  for (const keys of patterns) {
    assert.deepEqual(
      sortLikeGo(itemsOf(keys), byKey).map(({ key }) => key),
      [...keys].sort((a, b) => a - b),
    );
  }
});

test("up to twelve items keep the order of equals, more do not have to", () => {
  const places = (keys: readonly number[]): readonly number[] =>
    sortLikeGo(itemsOf(keys), byKey).map(({ place }) => place);
  assert.deepEqual(places([1, 0, 1, 0, 1, 0]), [1, 3, 5, 0, 2, 4]);
  const many = Array.from({ length: 26 }, (_, i) => (i * 5) % 13);
  const stable = itemsOf(many)
    .toSorted(byKey)
    .map(({ place }) => place);
  assert.notDeepEqual(places(many), stable);
});
