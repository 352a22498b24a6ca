// Goal: a blob is in the store whole and right, or not at all.
import assert from "node:assert/strict";
import { existsSync, readdirSync, truncateSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { openBlobStore } from "../../src/content/blob.ts";
import { pruneBlobs } from "../../src/content/blobprune.ts";
import { openOwner } from "../../src/content/lease.ts";
import { BakeError } from "../../src/diagnostic/error.ts";
import { type Digest, digestOf, parseDigest } from "../../src/oci/digest.ts";
import { inTheMaking, openStateDir } from "../rig/statedir.ts";

const hasCode = (code: string) => (thrown: unknown) => thrown instanceof BakeError && thrown.code === code;

async function* pieces(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) {
    await Promise.resolve();
    yield Buffer.from(text);
  }
}

test("what is written is read back under its digest", async t => {
  const { root, owner } = await openStateDir(t);
  const store = openBlobStore(root, owner);
  const written = await store.write(pieces("hel", "lo"));
  assert.deepEqual(written, { digest: digestOf("hello"), size: 5 });
  assert.ok(await store.has(written.digest));
  assert.equal(await store.size(written.digest), 5);
  assert.equal((await store.read(written.digest)).toString(), "hello");
  const streamed: Buffer[] = [];
  for await (const piece of store.stream(written.digest)) streamed.push(piece);
  assert.equal(Buffer.concat(streamed).toString(), "hello");
  assert.deepEqual(inTheMaking(owner, "temp"), []);
});

test("any bytes in any pieces come back the same", async t => {
  const { root, owner } = await openStateDir(t);
  const store = openBlobStore(root, owner);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 2000 }), { maxLength: 5 }), async parts => {
      const whole = Buffer.concat(parts);
      const source = (async function* () {
        for (const part of parts) yield await Promise.resolve(part);
      })();
      const { digest, size } = await store.write(source);
      assert.equal(size, whole.length);
      assert.deepEqual(await store.read(digest), whole);
    }),
    { numRuns: 30 },
  );
});

test("bytes that do not match the expected digest or size are refused and leave nothing", async t => {
  const { root, owner } = await openStateDir(t);
  const store = openBlobStore(root, owner);
  const expected = digestOf("other");
  await assert.rejects(store.write(pieces("hello"), { expected }), hasCode("content-corrupt"));
  await assert.rejects(store.write(pieces("hello"), { sizeBytes: 4 }), hasCode("content-corrupt"));
  assert.equal(await store.has(expected), false);
  assert.equal(await store.has(digestOf("hello")), false);
  assert.deepEqual(inTheMaking(owner, "temp"), []);
});

test("a failing or aborted source leaves nothing", async t => {
  const { root, owner } = await openStateDir(t);
  const store = openBlobStore(root, owner);
  const failing = (async function* () {
    yield await Promise.resolve(Buffer.from("a"));
    throw new Error("connection reset");
  })();
  await assert.rejects(store.write(failing), /connection reset/);
  const controller = new AbortController();
  const aborting = (async function* () {
    yield await Promise.resolve(Buffer.from("a"));
    controller.abort();
    yield Buffer.from("b");
  })();
  await assert.rejects(store.write(aborting, { signal: controller.signal }), { name: "AbortError" });
  assert.deepEqual(inTheMaking(owner, "temp"), []);
  assert.deepEqual(readdirSync(`${root.blobs}/sha256`), []);
});

test("a damaged blob is reported and dropped, so that the next build makes it anew", async t => {
  const { root, owner } = await openStateDir(t);
  const store = openBlobStore(root, owner);
  const { digest } = await store.write(Buffer.from("hello"));
  writeFileSync(store.path(digest), "jello");
  await assert.rejects(store.read(digest), hasCode("content-corrupt"));
  assert.equal(await store.has(digest), false);

  await store.write(Buffer.from("hello"));
  truncateSync(store.path(digest), 2);
  await assert.rejects(
    (async () => {
      for await (const piece of store.stream(digest)) assert.ok(piece);
    })(),
    hasCode("content-corrupt"),
  );
  assert.ok(!existsSync(store.path(digest)));
});

test("a missing blob is named in the error", async t => {
  const { root, owner } = await openStateDir(t);
  const store = openBlobStore(root, owner);
  const digest = parseDigest(`sha256:${"0".repeat(64)}`);
  await assert.rejects(store.read(digest), /sha256:0000.* is missing/);
  assert.equal(await store.size(digest), undefined);
});

test("writers that are dropped leave nothing, and equal blobs written at once are one", async t => {
  const { root, owner } = await openStateDir(t);
  const store = openBlobStore(root, owner);
  {
    await using writer = await store.writer();
    await writer.write(Buffer.from("half"));
  }
  assert.deepEqual(inTheMaking(owner, "temp"), []);
  const all = await Promise.all(Array.from({ length: 10 }, () => store.write(pieces("same"))));
  assert.equal(new Set(all.map(blob => blob.digest)).size, 1);
  assert.equal(readdirSync(`${root.blobs}/sha256`).length, 1);
});

test("of what may go, that which others use or need stays", async t => {
  const { root, owner } = await openStateDir(t);
  const store = openBlobStore(root, owner);
  const [used, needed, idle] = await Promise.all(["a", "b", "c"].map(text => store.write(Buffer.from(text))));
  if (used === undefined || needed === undefined || idle === undefined) assert.fail();
  owner.releaseLeases();
  assert.ok(await store.has(used.digest));
  await using pruner = await openOwner(root);
  const parts = { root, owner: pruner, blobs: openBlobStore(root, pruner) };
  const prune = (digests: readonly Digest[]): Promise<readonly Digest[]> =>
    pruneBlobs(digests, parts, () => Promise.resolve(new Set([needed.digest])));
  assert.deepEqual(await prune([used.digest, needed.digest]), []);
  assert.deepEqual(await prune([used.digest, needed.digest, idle.digest]), [idle.digest]);
  assert.equal(await store.size(idle.digest), undefined);
  assert.deepEqual(inTheMaking(pruner, "trash"), []);
});

test("a producer may use its buffer again", async t => {
  const { root, owner } = await openStateDir(t);
  const store = openBlobStore(root, owner);
  const buffer = Buffer.from("aaaa");
  const source = (async function* () {
    yield await Promise.resolve(buffer);
    buffer.fill("b");
    yield buffer;
  })();
  const { digest } = await store.write(source);
  assert.equal((await store.read(digest)).toString(), "aaaabbbb");
});
