// Goal: an index that decodes what is asked for answers as one that decodes everything, whatever happened to the lines.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { createJournalIndex, type JournalIndex } from "../../src/cache/journalindex.ts";
import { type ExecutionRecord, type JournalRecord, openCacheJournal } from "../../src/cache/journalrecord.ts";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import { openStateDir } from "../rig/statedir.ts";

const digests = ["a", "b", "c", "d"].map(text => digestOf(Buffer.from(text)));
const names = ["RUN x", 'RUN "q" \\ back', "RUN ü\u2028🙂", "\n", '","outputs":[]'];
const plain = { noNullPrototype: true } as const;
const digest = fc.constantFrom(...digests);
const record: fc.Arbitrary<JournalRecord> = fc.oneof(
  fc.record({ type: fc.constant("key" as const), key: digest, id: digest }, plain),
  fc.record(
    {
      type: fc.constant("record" as const),
      id: digest,
      vertex: digest,
      name: fc.constantFrom(...names),
      outputs: fc.array(fc.constantFrom("s1", "scratch", null), { maxLength: 2 }),
      parts: fc.array(fc.record({ label: fc.constantFrom(...names), value: digest }, plain), {
        maxLength: 2,
      }),
    },
    plain,
  ),
);

/** What everything decoded says. */
function witness(records: readonly JournalRecord[]): Pick<JournalIndex, "idOf" | "record" | "newestOf"> {
  const isExecution = (found: JournalRecord): found is ExecutionRecord => found.type === "record";
  return {
    idOf: key => records.findLast(found => found.type === "key" && found.key === key)?.id,
    record: id => records.filter(isExecution).findLast(found => found.id === id),
    newestOf: of =>
      records.filter(isExecution).findLast(({ vertex }) => vertex === of.digest) ??
      records.filter(isExecution).findLast(({ name }) => name === of.name),
  };
}

function answers(index: Pick<JournalIndex, "idOf" | "record" | "newestOf">): unknown {
  const absent = digestOf(Buffer.from("absent"));
  return [...digests, absent].map((one: Digest) => [
    index.idOf(one),
    index.record(one),
    names.map(name => index.newestOf({ digest: one, name })),
  ]);
}

test("sound lines, taken in at once or piece by piece", async t => {
  const { root, owner } = await openStateDir(t);
  const path = join(root.journals, "cache.log");
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(record, { maxLength: 4 }), { maxLength: 5 }), async pieces => {
      writeFileSync(path, "");
      const journal = openCacheJournal(root, owner);
      const index = createJournalIndex(line => journal.decode(line));
      const all: JournalRecord[] = [];
      for (const piece of pieces) {
        await journal.appendAll(piece);
        all.push(...piece);
        index.add(journal.refreshLines().bytes);
        assert.deepEqual(answers(index), answers(witness(all)));
      }
      const late = openCacheJournal(root, owner);
      const whole = createJournalIndex(line => late.decode(line));
      whole.add(late.refreshLines().bytes);
      assert.deepEqual(answers(whole), answers(witness(all)));
      whole.clear();
      assert.deepEqual(answers(whole), answers(witness([])));
    }),
    { numRuns: 200 },
  );
});

test("damaged lines are as if they were not there, and older ones count again", async t => {
  const { root, owner } = await openStateDir(t);
  const path = join(root.journals, "cache.log");
  await fc.assert(
    fc.asyncProperty(
      fc.array(record, { minLength: 1, maxLength: 6 }),
      fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })), { minLength: 1, maxLength: 3 }),
      fc.array(record, { maxLength: 2 }),
      async (records, flips, later) => {
        writeFileSync(path, "");
        await openCacheJournal(root, owner).appendAll(records);
        const bytes = readFileSync(path);
        for (const [at, bits] of flips) bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ bits;
        writeFileSync(path, bytes);
        const journal = openCacheJournal(root, owner);
        const index = createJournalIndex(line => journal.decode(line));
        index.add(journal.refreshLines().bytes);
        const sound = [...(await openCacheJournal(root, owner).refresh()).records];
        assert.deepEqual(answers(index), answers(witness(sound)));
        await journal.appendAll(later);
        index.add(journal.refreshLines().bytes);
        const all = (await openCacheJournal(root, owner).refresh()).records;
        assert.deepEqual(answers(index), answers(witness(all)));
      },
    ),
    { numRuns: 400 },
  );
});
