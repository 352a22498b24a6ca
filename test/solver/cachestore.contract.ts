// What every CacheStore must do, whatever it is made of. Each implementation's test calls `cacheStoreContract`.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { digestOf } from "../../src/oci/digest.ts";
import { keyOfParts } from "../../src/solver/cachekey.ts";
import type { CacheKey, CacheRecord, CacheStore } from "../../src/solver/op.ts";

/** A store under test, and results for it to keep. */
export interface StoreHarness<R> extends AsyncDisposable {
  readonly store: CacheStore<R>;
  /** A new result that holds `text`; the caller releases it. */
  makeResult(text: string): Promise<R>;
  readResult(result: R): Promise<string>;
  release(result: R): Promise<void>;
  /** The same state as the next process sees it; absent for stores that end with the process. */
  readonly reopen?: () => Promise<CacheStore<R>>;
  /** Loses the results of a record, as garbage collection does. */
  readonly evict?: (record: CacheRecord) => Promise<void>;
}

/** Registers the tests. `open` gives a new, empty store each time. */
export function cacheStoreContract<R>(name: string, open: () => Promise<StoreHarness<R>>): void {
  describe(`${name} keeps the contract of CacheStore`, () => {
    test("a key never saved is unknown", async () => {
      await using harness = await open();
      assert.equal(await harness.store.query(key("a").digest), undefined);
    });

    test("a record is named after its first key and found under all of them", async () => {
      await using harness = await open();
      const record = await save(harness, ["a", "b"], ["one"]);
      assert.equal(record.id, key("a").digest);
      assert.equal((await harness.store.query(key("a").digest))?.id, record.id);
      assert.equal((await harness.store.query(key("b").digest))?.id, record.id);
    });

    test("loads each output that was saved and nothing else", async () => {
      await using harness = await open();
      const record = await save(harness, ["a"], ["one", undefined, "three"]);
      assert.equal(await loadText(harness, record, 0), "one");
      assert.equal(await loadText(harness, record, 1), undefined);
      assert.equal(await loadText(harness, record, 2), "three");
      assert.equal(await loadText(harness, record, 3), undefined);
    });

    test("a loaded result outlives the one that was saved and is released on its own", async () => {
      await using harness = await open();
      const record = await save(harness, ["a"], ["one"]);
      const [first, second] = [await harness.store.load(record, 0), await harness.store.load(record, 0)];
      assert.ok(first !== undefined && second !== undefined);
      await harness.release(first);
      assert.equal(await harness.readResult(second), "one");
      await harness.release(second);
      assert.equal(await loadText(harness, record, 0), "one");
    });

    test("a result saved stays the caller's", async () => {
      await using harness = await open();
      const result = await harness.makeResult("one");
      await harness.store.save([key("a")], vertex("v"), [result]);
      assert.equal(await harness.readResult(result), "one");
      await harness.release(result);
    });

    test("saving under a known key gives the older record, under the new keys too", async () => {
      await using harness = await open();
      const older = await save(harness, ["a"], ["one"]);
      const record = await save(harness, ["b", "a"], ["two"]);
      assert.equal(record.id, older.id);
      assert.equal((await harness.store.query(key("b").digest))?.id, older.id);
      assert.equal(await loadText(harness, record, 0), "one");
    });

    test("a linked key finds the record and stops naming another", async () => {
      await using harness = await open();
      const older = await save(harness, ["a"], ["one"]);
      const newer = await save(harness, ["b"], ["two"]);
      await harness.store.link(key("c"), older);
      assert.equal((await harness.store.query(key("c").digest))?.id, older.id);
      await harness.store.link(key("a"), newer);
      assert.equal((await harness.store.query(key("a").digest))?.id, newer.id);
      assert.equal((await harness.store.query(key("c").digest))?.id, older.id);
    });

    test("saves of one key at the same time give one record", async () => {
      await using harness = await open();
      const records = await Promise.all(["one", "two", "three"].map(text => save(harness, ["a"], [text])));
      assert.equal(new Set(records.map(record => record.id)).size, 1);
      assert.ok(
        ["one", "two", "three"].includes((await loadText(harness, { id: key("a").digest }, 0)) ?? ""),
      );
    });

    test("a record that lost its results loads nothing, and takes new ones under the same id", async t => {
      await using harness = await open();
      if (harness.evict === undefined) return t.skip("this store cannot evict");
      const record = await save(harness, ["a"], ["one"]);
      await harness.store.link(key("b"), record);
      await harness.evict(record);
      assert.equal(await harness.store.load(record, 0), undefined);
      const remembered = await harness.store.query(key("b").digest);
      const again = await save(harness, ["b"], ["two"]);
      // A store may forget a record whole; if it still knew it, its users are keyed by its id.
      if (remembered !== undefined) assert.equal(again.id, record.id);
      assert.equal(await loadText(harness, again, 0), "two");
    });

    test("the next process finds what was saved and linked", async t => {
      await using harness = await open();
      if (harness.reopen === undefined) return t.skip("this store ends with its process");
      const record = await save(harness, ["a"], ["one"]);
      await harness.store.link(key("b"), record);
      const store = await harness.reopen();
      assert.equal((await store.query(key("a").digest))?.id, record.id);
      const found = await store.query(key("b").digest);
      assert.equal(found?.id, record.id);
      assert.equal(await loadText({ ...harness, store }, record, 0), "one");
    });

    test("tells what the keys of a vertex were made of, by digest and else by name, values only as digests", async t => {
      await using harness = await open();
      const { store } = harness;
      if (store.previousParts === undefined) return t.skip("this store keeps no key parts");
      const result = await harness.makeResult("one");
      const secret = keyOfParts(
        [
          { label: "env TOKEN", value: "hunter2" },
          { label: "command", value: "make", shown: "make" },
        ],
        [{ label: "a.txt", value: "x" }],
      );
      await store.save([secret], vertex("v"), [result]);
      await harness.release(result);
      const expected = [
        { label: "a.txt", value: digestOf("x") },
        { label: "command", value: digestOf("make"), shown: "make" },
        { label: "env TOKEN", value: digestOf("hunter2") },
      ];
      const sorted = async (of: { digest: typeof secret.digest; name: string }): Promise<unknown> =>
        [...((await store.previousParts?.(of)) ?? [])].sort((a, b) => (a.label < b.label ? -1 : 1));
      assert.deepEqual(await sorted(vertex("v")), expected);
      assert.deepEqual(await sorted({ digest: digestOf("another"), name: vertex("v").name }), expected);
      assert.equal(await store.previousParts({ digest: digestOf("another"), name: "another" }), undefined);
    });
  });
}

function key(name: string): CacheKey {
  return keyOfParts([{ label: "name", value: name }]);
}

function vertex(name: string): { readonly digest: CacheKey["digest"]; readonly name: string } {
  return { digest: digestOf(`vertex ${name}`), name: `step ${name}` };
}

async function save<R>(
  harness: StoreHarness<R>,
  names: readonly string[],
  texts: readonly (string | undefined)[],
): Promise<CacheRecord> {
  const results = await Promise.all(
    texts.map(async text => (text === undefined ? undefined : await harness.makeResult(text))),
  );
  try {
    return await harness.store.save(names.map(key), vertex(names.join()), results);
  } finally {
    for (const result of results) if (result !== undefined) await harness.release(result);
  }
}

async function loadText<R>(
  harness: StoreHarness<R>,
  record: CacheRecord,
  index: number,
): Promise<string | undefined> {
  const result = await harness.store.load(record, index);
  if (result === undefined) return undefined;
  try {
    return await harness.readResult(result);
  } finally {
    await harness.release(result);
  }
}
