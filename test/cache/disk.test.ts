// Goal: the store on disk keeps the contract of every store, across processes and lost snapshots.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { openDiskStore } from "../../src/cache/disk.ts";
import { openClaims } from "../../src/content/claims.ts";
import { openOwner, type Owner } from "../../src/content/lease.ts";
import { openStateRoot } from "../../src/content/root.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { openSnapshots } from "../../src/snapshot/open.ts";
import type { Ref } from "../../src/snapshot/ref.ts";
import type { Snapshotter } from "../../src/snapshot/snapshotter.ts";
import { keyOfParts } from "../../src/solver/cachekey.ts";
import type { CacheStore } from "../../src/solver/op.ts";
import { cacheStoreContract, type StoreHarness } from "../solver/cachestore.contract.ts";

interface DiskHarness extends StoreHarness<Ref> {
  readonly rootPath: string;
}

async function openHarness(): Promise<DiskHarness> {
  const rootPath = await mkdtemp(path.join(tmpdir(), "llbake-disk-"));
  const root = await openStateRoot(rootPath);
  const owners: Owner[] = [];
  /** The store as a process that starts now sees it. */
  const enter = async (): Promise<{ snapshots: Snapshotter; store: CacheStore<Ref> }> => {
    const owner = await openOwner(root);
    owners.push(owner);
    const snapshots = (await openSnapshots(root, owner, { kind: "native" })).snapshotter;
    return { snapshots, store: openDiskStore({ root, owner, snapshots, claims: openClaims(root, owner) }) };
  };
  let current = await enter();
  return {
    rootPath,
    get store() {
      return current.store;
    },
    async makeResult(text) {
      await using active = await current.snapshots.prepare(undefined);
      await writeFile(path.join(active.root, "text"), text);
      return { tag: "snapshot", id: await active.commit() };
    },
    async readResult(ref) {
      assert.equal(ref.tag, "snapshot");
      await using tree = await current.snapshots.view(ref.id);
      return await readFile(path.join(tree.root, "text"), "utf8");
    },
    release: () => Promise.resolve(),
    reopen: async () => (await enter()).store,
    async evict(record) {
      for (const index of [0, 1, 2]) {
        const ref = await current.store.load(record, index);
        if (ref?.tag === "snapshot") await rm(path.join(root.snapshots, ref.id), { recursive: true });
      }
      // A process relies on what it has leased; the loss is seen by the next one.
      current = await enter();
    },
    async [Symbol.asyncDispose]() {
      for (const owner of owners) await owner[Symbol.asyncDispose]();
      await rm(rootPath, { recursive: true, force: true });
    },
  };
}

cacheStoreContract<Ref>("the store on disk", openHarness);

test("a value that may hold a credential is kept only as a digest", async () => {
  await using harness = await openHarness();
  const key = keyOfParts([
    { label: "env TOKEN", value: "hunter2-hunter2" },
    { label: "command", value: "make", shown: "make" },
  ]);
  await harness.store.save([key], { digest: digestOf("vertex"), name: "RUN make" }, [
    await harness.makeResult("x"),
  ]);
  const journal = await readFile(path.join(harness.rootPath, "journals", "cache.log"), "utf8");
  assert.ok(journal.includes('"make"'));
  assert.ok(!journal.includes("hunter2"));
});

test("a directory read in place is never kept", async () => {
  await using harness = await openHarness();
  const key = keyOfParts([{ label: "local folder", value: "/src" }]);
  const local: Ref = {
    tag: "local",
    tree: { root: harness.rootPath, excludePatterns: [], includePatterns: [], followPaths: undefined },
  };
  const record = await harness.store.save([key], { digest: digestOf("v"), name: "local" }, [local]);
  assert.equal(await harness.store.load(record, 0), undefined);
});
