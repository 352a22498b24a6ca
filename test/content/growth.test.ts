// Goal: what a command writes is charged while it runs, and what others write to the disk meanwhile is not.
// Method: a real owner and real files; a room that is a number; a clock by which every look takes long.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { watchGrowth } from "../../src/content/growth.ts";
import { openOwner } from "../../src/content/lease.ts";
import { type Room, settleLedger } from "../../src/content/ledger.ts";
import { slow } from "../rig/clock.ts";
import { openStateDir, temporaryFolder } from "../rig/statedir.ts";

const MIB = 1024 ** 2;

test("what others write to the disk makes no room be made, however long it takes to look", async t => {
  const { root } = await openStateDir(t);
  const elsewhere = temporaryFolder(t);
  const over: number[] = [];
  const room: Room = {
    limits: () => Promise.resolve({ maxBytes: 8 * MIB, minFreeBytes: 0 }),
    make: () => settleLedger(root, 0),
    onOver: used => over.push(used),
  };
  await using owner = await openOwner(root, { room });
  const { ledger } = owner;
  const charged = async (bytes: number): Promise<void> => {
    while (ledger.chargedBytes < bytes) await delay(5);
  };
  await slow(async () => {
    await using _watching = watchGrowth(root, owner);
    writeFileSync(owner.newPath("active"), Buffer.alloc(MIB, 1));
    await charged(MIB);
    writeFileSync(join(elsewhere, "big"), Buffer.alloc(40 * MIB, 1));
    writeFileSync(owner.newPath("active"), Buffer.alloc(MIB, 1));
    await charged(2 * MIB);
    assert.ok(ledger.chargedBytes < 3 * MIB, `${ledger.chargedBytes} bytes are charged`);
  });
  assert.deepEqual(over, []);
});
