// Laws of layers: applying what was packed gives the tree that was packed, and packing is deterministic.
import assert from "node:assert/strict";
import { lstatSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { applyLayer } from "../../src/layer/apply.ts";
import type { Change } from "../../src/layer/change.ts";
import { compressStream } from "../../src/layer/compression.ts";
import { packLayer, packTree } from "../../src/layer/pack.ts";
import { readTar } from "../../src/layer/tar.ts";
import { describeTree, makeTree, tempDir } from "../rig/tree.ts";
import { treeArbitrary } from "../rig/treearbitrary.ts";

async function readAll(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function names(bytes: Uint8Array): Promise<string[]> {
  const found: string[] = [];
  async function* whole(): AsyncGenerator<Uint8Array> {
    yield bytes;
  }
  for await (const { header } of readTar(whole())) found.push(header.name);
  return found;
}

/** A naive differ: everything that is described differently, and every file with several names. */
async function diff(before: string, after: string, opaqueAt: number): Promise<Change[]> {
  const describe = async (root: string): Promise<Map<string, string>> =>
    new Map(
      (await describeTree(root, { times: true })).map(line => [line.slice(0, line.indexOf(": ")), line]),
    );
  const [old, now] = [await describe(before), await describe(after)];
  const isDirectory = (root: string, path: string): boolean => lstatSync(join(root, path)).isDirectory();
  const shared = [...now.keys()].filter(
    path => old.has(path) && isDirectory(before, path) && isDirectory(after, path),
  );
  const opaque = shared[opaqueAt];
  const hides = (path: string): boolean => opaque !== undefined && path.startsWith(`${opaque}/`);
  const changes: Change[] = [];
  for (const [path, line] of now) {
    const stats = lstatSync(join(after, path));
    if (path === opaque) changes.push({ kind: "upsert", path, opaque: true });
    else if (old.get(path) !== line || hides(path) || (!stats.isDirectory() && stats.nlink > 1))
      changes.push({ kind: "upsert", path });
  }
  const gone = [...old.keys()].filter(path => !now.has(path) && !hides(path));
  for (const path of gone) {
    const parent = path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : undefined;
    const parentStays = parent === undefined || (now.has(parent) && isDirectory(after, parent));
    if (parentStays) changes.push({ kind: "delete", path });
  }
  return changes;
}

test("law: applying the packed changes from A to B onto A gives B", async () => {
  await fc.assert(
    fc.asyncProperty(
      treeArbitrary,
      treeArbitrary,
      fc.nat(5),
      fc.boolean(),
      async (one, two, opaqueAt, compressed) => {
        using a = tempDir();
        using b = tempDir();
        await makeTree(a.path, one);
        await makeTree(b.path, two);
        const changes = await diff(a.path, b.path, opaqueAt);
        const layer = packLayer({ root: b.path, changes: [...changes].reverse() });
        const { skipped } = await applyLayer(compressed ? compressStream(layer, "gzip") : layer, a.path);
        assert.deepEqual(skipped, []);
        assert.deepEqual(
          await describeTree(a.path, { times: true }),
          await describeTree(b.path, { times: true }),
        );
      },
    ),
    { numRuns: 200 },
  );
});

test("law: the tar of a tree, extracted, is that tree, and packs to the same bytes again", async () => {
  await fc.assert(
    fc.asyncProperty(treeArbitrary, async tree => {
      using a = tempDir();
      using b = tempDir();
      await makeTree(a.path, tree);
      const bytes = await readAll(packTree({ root: a.path }));
      async function* whole(): AsyncGenerator<Uint8Array> {
        yield bytes;
      }
      await applyLayer(whole(), b.path, { whiteouts: false });
      assert.deepEqual(
        await describeTree(b.path, { times: true }),
        await describeTree(a.path, { times: true }),
      );
      assert.ok(bytes.equals(await readAll(packTree({ root: b.path }))));
    }),
    { numRuns: 100 },
  );
});

test("directories above changes come along, whiteouts and opaque markers stand in their places", async () => {
  using dir = tempDir();
  await makeTree(dir.path, { "a/b/new": "1", "a-b": "2", "o/x": "3" });
  const bytes = await readAll(
    packLayer({
      root: dir.path,
      changes: [
        { kind: "delete", path: "a/b/old" },
        { kind: "upsert", path: "o", opaque: true },
        { kind: "upsert", path: "o/x" },
        { kind: "upsert", path: "a-b" },
        { kind: "upsert", path: "a/b/new" },
        { kind: "delete", path: "top" },
        { kind: "delete", path: "elsewhere/in/lower" },
      ],
    }),
  );
  assert.deepEqual(await names(bytes), [
    "a/",
    "a/b/",
    "a/b/new",
    "a/b/.wh.old",
    "a-b",
    "elsewhere/in/.wh.lower",
    "o/",
    "o/.wh..wh..opq",
    "o/x",
    ".wh.top",
  ]);
});

test("times can be limited to an epoch, filters and owners applied", async () => {
  using dir = tempDir();
  await makeTree(dir.path, {
    old: { kind: "file", data: "", mtime: 1000 },
    new: { kind: "file", data: "", mtime: 5000 },
    skip: "x",
  });
  const bytes = await readAll(
    packTree({
      root: dir.path,
      clampEpoch: 2000,
      owner: { uid: 9, gid: 8 },
      filter: { excludePatterns: ["skip"] },
    }),
  );
  const seen: unknown[] = [];
  async function* whole(): AsyncGenerator<Uint8Array> {
    yield bytes;
  }
  for await (const { header } of readTar(whole()))
    seen.push([header.name, header.mtime, header.uid, header.gid]);
  assert.deepEqual(seen, [
    ["new", 2000, 9, 8],
    ["old", 1000, 9, 8],
  ]);
});

test("gzip output carries no time or name, and is the same each time", async () => {
  const source = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from("layer ".repeat(1000));
  };
  const once = await readAll(compressStream(source(), "gzip"));
  assert.deepEqual([...once.subarray(0, 8)], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
  assert.ok(once.equals(await readAll(compressStream(source(), "gzip"))));
});

test("a file that vanished or shrank is reported by name", async () => {
  using dir = tempDir();
  mkdirSync(join(dir.path, "d"));
  writeFileSync(join(dir.path, "d/f"), "x".repeat(400_000));
  await assert.rejects(
    readAll(packLayer({ root: dir.path, changes: [{ kind: "upsert", path: "d/gone" }] })),
    {
      code: "file-operation",
      message: '"d/gone" changed while it was read',
    },
  );
  const stream = packLayer({ root: dir.path, changes: [{ kind: "upsert", path: "d/f" }] });
  await stream.next();
  writeFileSync(join(dir.path, "d/f"), "short");
  await assert.rejects(readAll(stream), {
    code: "file-operation",
    message: '"d/f" changed while it was read',
  });
  assert.deepEqual(readdirSync(dir.path), ["d"]);
});
