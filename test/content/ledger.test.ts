// Goal: what all owners of a state directory were granted never passes its limit as long as room can be made; and what
// is made room for is asked in time. Method: ledgers of real owners on one directory, and a room that is a number.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { openOwner } from "../../src/content/lease.ts";
import { type Room, settleLedger } from "../../src/content/ledger.ts";
import { openStateRoot, type StateRoot } from "../../src/content/root.ts";
import { openStateDir, temporaryFolder } from "../rig/statedir.ts";

const MIB = 1024 ** 2;

interface FakeRoom extends Room {
  /** What is in place and could go. */
  cached: number;
  /** What is in place and may not go. */
  used: number;
  readonly asked: number[];
  readonly over: number[];
}

/** A directory of so many bytes, as far as the ledger knows. */
function fakeRoom(root: StateRoot, maxBytes: number, cached = 0): FakeRoom {
  const room: FakeRoom = {
    cached,
    used: 0,
    asked: [],
    over: [],
    limits: () => Promise.resolve({ maxBytes, minFreeBytes: 0 }),
    async make(pledged) {
      room.asked.push(pledged);
      room.cached = Math.max(0, Math.min(room.cached, maxBytes - pledged - room.used));
      await settleLedger(root, room.cached + room.used);
    },
    onOver: used => room.over.push(used),
  };
  return room;
}

/** All that the file says; there is none before more than nothing is charged. */
function onLedger(root: StateRoot): number {
  const path = join(root.path, "ledger");
  const numbers = (existsSync(path) ? readFileSync(path, "utf8") : "").match(/\d+$/gm) ?? [];
  return numbers.reduce((sum, text) => sum + Number(text), 0);
}

test("small writes are granted by the piece, and a ledger that is left holds what was written", async t => {
  const { root } = await openStateDir(t);
  const room = fakeRoom(root, 64 * MIB);
  const owner = await openOwner(root, { room });
  for (let i = 0; i < 100; i++) await owner.ledger.charge(1000);
  assert.equal(room.asked.length, 1, "counted once, to begin with");
  assert.equal(onLedger(root), owner.ledger.pieceBytes + 1000, "one piece, and what was asked for");
  await owner[Symbol.asyncDispose]();
  assert.equal(onLedger(root), 100_000);
});

test("what is given back is free again", async t => {
  const { root } = await openStateDir(t);
  const owner = await openOwner(root, { room: fakeRoom(root, 64 * MIB) });
  await owner.ledger.charge(10 * MIB);
  owner.ledger.refund(10 * MIB);
  await owner[Symbol.asyncDispose]();
  assert.equal(onLedger(root), 0);
});

test("room is made before the limit is passed, with all pledges in mind", async t => {
  const { root } = await openStateDir(t);
  const room = fakeRoom(root, 64 * MIB, 60 * MIB);
  await settleLedger(root, room.cached);
  const [one, two] = [await openOwner(root, { room }), await openOwner(root, { room })];
  await one.ledger.charge(8 * MIB);
  assert.ok(room.cached <= 56 * MIB);
  await two.ledger.charge(8 * MIB);
  assert.ok(room.cached <= 48 * MIB);
  assert.ok(onLedger(root) <= 64 * MIB);
  assert.deepEqual(room.over, []);
  await one[Symbol.asyncDispose]();
  await two[Symbol.asyncDispose]();
});

test("what is guessed is measured before room is made for it", async t => {
  const { root } = await openStateDir(t);
  const room = fakeRoom(root, 8 * MIB);
  const owner = await openOwner(root, { room });
  await owner.ledger.begin();
  assert.equal(room.asked.length, 1, "counted once, to begin with");
  let measured = 0;
  const measure = (): Promise<number> => {
    measured++;
    return Promise.resolve(MIB);
  };
  await owner.ledger.guessed(6 * MIB, measure);
  assert.equal(measured, 0, "it fits");
  await owner.ledger.charge(4 * MIB);
  assert.equal(measured, 1);
  await owner.ledger.guessed(60 * MIB, measure);
  assert.equal(measured, 2);
  await owner.ledger.guessed(60 * MIB, () => Promise.reject(new Error("no")));
  assert.equal(room.asked.length, 2, "what cannot be measured may be as large as that");
  await owner[Symbol.asyncDispose]();
});

test("when nothing is left to remove the grant is given all the same, and told once", async t => {
  const { root } = await openStateDir(t);
  const room = fakeRoom(root, 8 * MIB);
  const owner = await openOwner(root, { room });
  for (let i = 0; i < 40; i++) {
    await owner.ledger.charge(MIB);
    room.used += MIB;
  }
  assert.equal(room.over.length, 1);
  assert.ok(room.asked.length < 12, `asked ${room.asked.length} times for room that is not there`);
  await owner[Symbol.asyncDispose]();
});

test("what dead owners were granted counts as used until it is counted anew", async t => {
  const { root } = await openStateDir(t);
  writeFileSync(join(root.path, "ledger"), `settled ${10 * MIB}\n1-1-dead ${50 * MIB}\n`);
  const room = fakeRoom(root, 64 * MIB, 10 * MIB);
  const owner = await openOwner(root, { room });
  await owner.ledger.charge(MIB);
  assert.equal(room.asked.length, 0, "it fits as it is");
  await owner.ledger.charge(8 * MIB);
  assert.equal(room.asked.length, 1, "it does not fit with what the dead may have left");
  assert.ok(onLedger(root) < 30 * MIB);
  await owner[Symbol.asyncDispose]();
});

test("a damaged or missing ledger is counted anew", async t => {
  for (const text of ["", "settled", "settled 5", "settled -1\n", "nonsense\n"]) {
    const { root } = await openStateDir(t);
    writeFileSync(join(root.path, "ledger"), text);
    const room = fakeRoom(root, 64 * MIB, 10 * MIB);
    const owner = await openOwner(root, { room });
    await owner.ledger.begin();
    assert.equal(room.asked.length, 1, JSON.stringify(text));
    assert.ok(onLedger(root) > 10 * MIB);
    await owner[Symbol.asyncDispose]();
  }
});

test("room that cannot be made fails no build", async t => {
  const { root } = await openStateDir(t);
  const failing: Room = { ...fakeRoom(root, MIB), make: () => Promise.reject(new Error("no")) };
  const owner = await openOwner(root, { room: failing });
  await owner.ledger.begin();
  await owner.ledger.charge(5 * MIB);
  await owner.ledger.grown(5 * MIB);
  await owner.ledger.recount();
  await owner[Symbol.asyncDispose]();
});

test("what is put in place is measured and settled", async t => {
  const { root } = await openStateDir(t);
  const owner = await openOwner(root, { room: fakeRoom(root, 64 * MIB) });
  await owner.ledger.begin();
  const folder = join(root.snapshots, "x");
  mkdirSync(folder);
  writeFileSync(join(folder, "file"), Buffer.alloc(3 * MIB, 1));
  owner.ledger.kept(folder);
  await owner[Symbol.asyncDispose]();
  assert.ok(onLedger(root) >= 3 * MIB && onLedger(root) < 3.1 * MIB);
});

test("law: as long as there is something to remove, no sequence of charges passes the limit", async t => {
  const path = temporaryFolder(t);
  const steps = fc.array(
    fc.record({ owner: fc.nat(2), kib: fc.integer({ min: 0, max: 3000 }), undo: fc.boolean() }),
    { maxLength: 30 },
  );
  await fc.assert(
    fc.asyncProperty(steps, fc.nat(100), async (sequence, cachedMib) => {
      rmSync(path, { recursive: true, force: true });
      const root = await openStateRoot(path);
      const room = fakeRoom(root, 128 * MIB, cachedMib * MIB);
      const owners = [];
      for (let i = 0; i < 3; i++) owners.push(await openOwner(root, { room }));
      for (const { owner, kib, undo } of sequence) {
        const { ledger } = owners[owner] ?? assert.fail();
        await ledger.charge(kib * 1024);
        if (undo) ledger.refund(kib * 1024);
        // At most 30 * 3000 KiB, and six pieces of 4 MiB: it can always be made to fit.
        assert.ok(onLedger(root) <= 128 * MIB);
      }
      for (const owner of owners) await owner[Symbol.asyncDispose]();
      assert.deepEqual(room.over, []);
    }),
    // A charge of nothing, before any other, writes no ledger.
    { numRuns: 25, examples: [[[{ owner: 0, kib: 0, undo: false }], 0]] },
  );
});
