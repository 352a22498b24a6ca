// Goal: a table answers for exactly the states of files it was told, also from its stored form, and a damaged one for none.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type FileIdentity, isRacy, StatTable } from "../../src/layer/stattable.ts";

const number = fc.bigInt({ min: 0n, max: 3n });
const identity: fc.Arbitrary<FileIdentity> = fc.record({
  dev: number,
  ino: number,
  size: number,
  mtimeNs: fc.oneof(number, fc.constant(-1n)),
  ctimeNs: number,
});
const path = fc.constantFrom("", "a", "a/b", "é", "\u{1f600}", "z");

test("law: a table is a map, in memory and stored", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(path, identity, fc.nat(255))), path, identity, (writes, wanted, state) => {
      const table = new StatTable(1);
      const model = new Map<string, readonly [FileIdentity, number]>();
      for (const [name, stats, value] of writes) {
        table.set(name, stats, Uint8Array.of(value));
        model.set(name, [stats, value]);
      }
      const stored = StatTable.decode(table.encode(), 1);
      assert.ok(stored);
      for (const each of [table, stored]) {
        assert.equal(each.size, model.size);
        for (const [name, [stats, value]] of model) assert.equal(each.get(name, stats)?.[0], value);
        const known = model.get(wanted);
        const isSame =
          known !== undefined && Object.entries(known[0]).join() === Object.entries(state).join();
        assert.equal(each.get(wanted, state)?.[0], isSame ? known[1] : undefined);
      }
      const kept = stored.filter(name => name.length < 2);
      for (const [name, [stats, value]] of model)
        assert.equal(kept.get(name, stats)?.[0], name.length < 2 ? value : undefined);
    }),
  );
});

test("a table that was cut off or altered is none", () => {
  const table = new StatTable(2);
  const stats = { dev: 1n, ino: 2n, size: 3n, mtimeNs: 4n, ctimeNs: 5n };
  table.set("file", stats, Uint8Array.of(1, 2));
  const bytes = table.encode();
  assert.equal(StatTable.decode(bytes, 1), undefined);
  for (let length = 0; length < bytes.length; length++)
    assert.equal(StatTable.decode(bytes.subarray(0, length), 2), undefined, `${length}`);
  for (let at = 0; at < bytes.length; at++) {
    const altered = Buffer.from(bytes);
    altered[at] = (altered[at] ?? 0) ^ 1;
    assert.equal(StatTable.decode(altered, 2), undefined, `${at}`);
  }
});

test("what changed within two seconds, or in the future, is not to be trusted", () => {
  const at = (seconds: number): bigint => BigInt(seconds) * 1_000_000_000n;
  const stats = { dev: 1n, ino: 1n, size: 1n, mtimeNs: at(10), ctimeNs: at(10) };
  assert.equal(isRacy(stats, 12_000), true);
  assert.equal(isRacy(stats, 12_001), false);
  assert.equal(isRacy({ ...stats, mtimeNs: 0n }, 11_000), true);
  assert.equal(isRacy({ ...stats, mtimeNs: at(99) }, 50_000), true);
});
