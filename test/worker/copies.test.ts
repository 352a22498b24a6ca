// Goal: versions of a COPY share files in the state directory, and nothing that a build does reaches a shared file.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { StatTable } from "../../src/layer/stattable.ts";
import { copy, local, scratch, type State } from "../../src/llb/mod.ts";
import { later } from "../rig/clock.ts";
import { busyboxBase, type EngineRig, engineRig, skipWithoutContainers } from "../rig/engine.ts";
import { isRoot, makeTree } from "../rig/tree.ts";

async function context(rig: EngineRig, files: Readonly<Record<string, string>>): Promise<string> {
  const root = join(rig.dir.path, "context");
  mkdirSync(root);
  await makeTree(root, files);
  rig.locals.set("context", root);
  return root;
}

const from = (): State => local("context", { uniqueId: "context" });
const copied = (options: Parameters<typeof copy>[3] = {}): State =>
  scratch().file(copy(from(), "/", "/app/", { createDestPath: true, dirCopyContents: true, ...options }));

/** The inodes that snapshots have at a path. */
function inodes(rig: EngineRig, path: string): readonly number[] {
  const snapshots = join(rig.dir.path, "state/snapshots");
  return readdirSync(snapshots).flatMap(
    id => lstatSync(join(snapshots, id, "fs", path), { throwIfNoEntry: false })?.ino ?? [],
  );
}

const distinct = (values: readonly number[]): number => new Set(values).size;

test(
  "the next version consists of what changed, also for another process",
  { skip: !isRoot && "needs root" },
  async () => {
    await using rig = await engineRig();
    const root = await context(rig, { same: "same", edit: "1", gone: "" });
    await later(async () => {
      await rig.files(copied());
      for (const version of ["2", "3"]) {
        writeFileSync(join(root, "edit"), version);
        rmSync(join(root, "gone"), { force: true });
        await rig.reopen();
        const files = await rig.files(copied());
        assert.equal(readFileSync(join(files, "app/edit"), "utf8"), version);
        assert.deepEqual(readdirSync(join(files, "app")).sort(), ["edit", "same"]);
      }
      assert.equal(inodes(rig, "app/same").length, 1);
      assert.equal(inodes(rig, "app/edit").length, 3);
    });
  },
);

test("where two copies are one step, the next version shares what did not change", async () => {
  await using rig = await engineRig();
  const root = await context(rig, { same: "same", edit: "1" });
  const options = { createDestPath: true, dirCopyContents: true };
  const both = (): State =>
    scratch().file(copy(from(), "/", "/app/", options).copy(from(), "/", "/other/", options));
  await later(async () => {
    await rig.files(both());
    writeFileSync(join(root, "edit"), "2");
    await rig.reopen();
    const files = await rig.files(both());
    assert.equal(readFileSync(join(files, "app/edit"), "utf8"), "2");
    assert.deepEqual([inodes(rig, "app/same").length, distinct(inodes(rig, "app/same"))], [2, 1]);
    assert.equal(distinct(inodes(rig, "app/edit")), 2);
    assert.equal(lstatSync(join(root, "same")).nlink, 1);
    assert.equal(lstatSync(join(files, "app/same")).nlink, 1);
  });
});

test("copies with another mode share nothing", { skip: !isRoot && "needs root" }, async () => {
  await using rig = await engineRig();
  await context(rig, { same: "same" });
  await later(async () => {
    await rig.files(copied());
    await rig.files(copied({ mode: 0o600 }));
    const [first, second, ...rest] = inodes(rig, "app/same");
    assert.notEqual(first, second);
    assert.deepEqual(rest, []);
  });
});

test(
  "a step that writes to a shared file changes its own copy",
  { skip: skipWithoutContainers },
  async () => {
    await using rig = await engineRig();
    const root = await context(rig, { shared: "shared", edit: "1" });
    await later(async () => {
      const state = (): State =>
        busyboxBase()
          .file(copy(from(), "/", "/app/", { createDestPath: true, dirCopyContents: true }))
          .run({
            args: [
              "sh",
              "-c",
              "echo more >> /app/shared; chmod 600 /app/shared; ln /app/shared /app/other; touch -d @5 /app/edit",
            ],
          })
          .root();
      await rig.files(state());
      writeFileSync(join(root, "edit"), "2");
      const files = await rig.files(state());
      assert.equal(readFileSync(join(files, "app/other"), "utf8"), "sharedmore\n");
      const plain = await rig.files(
        busyboxBase().file(copy(from(), "/", "/app/", { createDestPath: true, dirCopyContents: true })),
      );
      assert.equal(readFileSync(join(plain, "app/shared"), "utf8"), "shared");
      assert.equal(lstatSync(join(plain, "app/shared")).mode & 0o777, 0o644);
    });
  },
);

test("the version before may be pruned, or its record be damaged", async () => {
  await using rig = await engineRig();
  const root = await context(rig, { same: "same", edit: "1" });
  await later(async () => {
    await rig.files(copied());
    const snapshots = join(rig.dir.path, "state/snapshots");
    const [id = ""] = readdirSync(snapshots);
    const note = readdirSync(join(snapshots, id)).find(name => /^note-.{32}$/.test(name)) ?? "";
    writeFileSync(join(snapshots, id, note), "damaged");
    writeFileSync(join(root, "edit"), "2");
    await rig.files(copied());
    assert.equal(distinct(inodes(rig, "app/same")), 2);
    for (const name of readdirSync(snapshots)) rmSync(join(snapshots, name), { recursive: true });
    writeFileSync(join(root, "edit"), "3");
    await rig.reopen();
    const files = await rig.files(copied());
    assert.equal(readFileSync(join(files, "app/edit"), "utf8"), "3");
  });
});

test("verifying reads files again whose times say that they are unchanged", async () => {
  const poison = async (verifyInputs: boolean): Promise<string> => {
    await using rig = await engineRig({ verifyInputs });
    const root = await context(rig, { file: "old" });
    return await later(async () => {
      await rig.files(copied());
      writeFileSync(join(root, "file"), "new");
      utimesSync(join(root, "file"), 5, 5);
      // As if the change had moved none of its times: the record of the old content gets the stat of the new one.
      const folder = join(rig.dir.path, "state/facts/hashes");
      await rig.reopen();
      const [name = ""] = readdirSync(folder);
      const stale = new StatTable(33);
      const value = Buffer.alloc(33, 1);
      createHash("sha256").update("old").digest().copy(value);
      stale.set("file", lstatSync(join(root, "file"), { bigint: true }), value);
      writeFileSync(join(folder, name), stale.encode());
      const files = await rig.files(copied());
      return readFileSync(join(files, "app/file"), "utf8");
    });
  };
  assert.equal(await poison(false), "old");
  assert.equal(await poison(true), "new");
});
