// What every snapshotter promises; overlay.test.ts and native.test.ts run it on theirs.
import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openOwner } from "../../src/content/lease.ts";
import { loadLibc } from "../../src/content/libc.ts";
import { openSnapshots, type Snapshots } from "../../src/snapshot/open.ts";
import type { SnapshotId, Snapshotter } from "../../src/snapshot/snapshotter.ts";
import { formatMeta } from "../../src/snapshot/snapshotstore.ts";
import { mountsBelow } from "../rig/mounts.ts";
import { inTheMaking, openStateDir, type StateDir } from "../rig/statedir.ts";

export function snapshotterContract(kind: Snapshotter["kind"], skip: string | false): void {
  const contract = (name: string, body: (snapshots: Snapshots, state: StateDir) => Promise<void>): void => {
    test(`${kind}: ${name}`, { skip }, async t => {
      const state = await openStateDir(t);
      await body(await openSnapshots(state.root, state.owner, { kind }), state);
      assert.deepEqual(mountsBelow(state.root.path), [], "no mounts are left");
      assert.deepEqual(inTheMaking(state.owner, "active"), [], "no drafts are left");
    });
  };

  const build = async (
    s: Snapshotter,
    parent: SnapshotId | undefined,
    fill: (root: string) => void,
  ): Promise<SnapshotId> => {
    await using active = await s.prepare(parent);
    fill(active.root);
    return await active.commit();
  };
  const base = (s: Snapshotter): Promise<SnapshotId> =>
    build(s, undefined, root => {
      writeFileSync(join(root, "a"), "one");
      mkdirSync(join(root, "d/sub"), { recursive: true });
      writeFileSync(join(root, "d/x"), "x");
      writeFileSync(join(root, "d/sub/y"), "y");
      symlinkSync("a", join(root, "link"));
    });
  const changesOf = async (s: Snapshotter, id: SnapshotId): Promise<readonly string[]> => {
    await using found = await s.changes(id);
    return found.changes.map(({ kind: change, path }) => (change === "delete" ? `-${path}` : path));
  };

  contract(
    "a committed tree is seen by views and children, and children do not alter it",
    async ({ snapshotter: s }) => {
      const first = await base(s);
      const second = await build(s, first, root => {
        assert.equal(readFileSync(join(root, "a"), "utf8"), "one");
        writeFileSync(join(root, "a"), "two");
        rmSync(join(root, "d"), { recursive: true });
      });
      await using one = await s.view(first);
      await using two = await s.view(second);
      assert.equal(readFileSync(join(one.root, "a"), "utf8"), "one");
      assert.equal(readFileSync(join(one.root, "d/sub/y"), "utf8"), "y");
      assert.equal(readFileSync(join(two.root, "a"), "utf8"), "two");
      assert.ok(!existsSync(join(two.root, "d")));
      assert.deepEqual(await s.chain(second), [first, second]);
    },
  );

  contract("a snapshot that is not committed is gone", async ({ snapshotter: s, store }) => {
    const first = await base(s);
    {
      await using active = await s.prepare(first);
      writeFileSync(join(active.root, "lost"), "");
    }
    assert.equal((await store.list()).length, 1);
  });

  contract("changes are sorted, deletes included", async ({ snapshotter: s }) => {
    const first = await base(s);
    assert.deepEqual(await changesOf(s, first), ["a", "d", "d/sub", "d/sub/y", "d/x", "link"]);
    const second = await build(s, first, root => {
      rmSync(join(root, "d/sub/y"));
      writeFileSync(join(root, "d-new"), "");
      rmSync(join(root, "link"));
      chmodSync(join(root, "a"), 0o600);
    });
    // Whether the folders above a change count as changed is left to the snapshotter.
    const changed = (await changesOf(s, second)).filter(path => path !== "d" && path !== "d/sub");
    assert.deepEqual(changed, ["a", "-d/sub/y", "d-new", "-link"]);
  });

  contract("a child that changes nothing has no changes", async ({ snapshotter: s }) => {
    const first = await base(s);
    assert.deepEqual(await changesOf(s, await build(s, first, () => undefined)), []);
  });

  contract("a change that keeps size and time is seen", async ({ snapshotter: s }) => {
    const first = await base(s);
    const second = await build(s, first, root => {
      const { atime, mtime } = lstatSync(join(root, "a"));
      writeFileSync(join(root, "a"), "eno");
      utimesSync(join(root, "a"), atime, mtime);
    });
    assert.deepEqual(await changesOf(s, second), ["a"]);
    await using view = await s.view(first);
    assert.equal(readFileSync(join(view.root, "a"), "utf8"), "one");
  });

  contract("a folder made anew hides what was in the old one", async ({ snapshotter: s }) => {
    const first = await base(s);
    const second = await build(s, first, root => {
      rmSync(join(root, "d"), { recursive: true });
      mkdirSync(join(root, "d"));
      writeFileSync(join(root, "d/z"), "");
    });
    await using view = await s.view(second);
    assert.deepEqual(readdirSync(join(view.root, "d")), ["z"]);
    // Each removal is told: the layer may come to lie over a folder that has more in it.
    assert.deepEqual(await changesOf(s, second), ["-d/sub", "-d/x", "d/z"]);
  });

  contract("what was touched but is as before is no change", async ({ snapshotter: s }) => {
    const first = await base(s);
    const second = await build(s, first, root => {
      renameSync(join(root, "a"), join(root, "b"));
      renameSync(join(root, "b"), join(root, "a"));
      chmodSync(join(root, "d/x"), 0o600);
      chmodSync(join(root, "d/x"), 0o644);
      chmodSync(join(root, "d"), 0o755);
    });
    assert.deepEqual(await changesOf(s, second), []);
  });

  contract("a new name of a file that was there is told with the old one", async ({ snapshotter: s }) => {
    const first = await base(s);
    const second = await build(s, first, root => linkSync(join(root, "d/x"), join(root, "d/sub/also")));
    const changed = (await changesOf(s, second)).filter(path => path !== "d" && path !== "d/sub");
    assert.deepEqual(changed, ["d/sub/also", "d/x"]);
  });

  contract(
    "two files that became one, and one that became two, are told as such",
    async ({ snapshotter: s }) => {
      const fill = (root: string, isOne: boolean): void => {
        for (const name of ["e", "f"]) rmSync(join(root, name), { force: true });
        writeFileSync(join(root, "e"), "same");
        if (isOne) linkSync(join(root, "e"), join(root, "f"));
        else writeFileSync(join(root, "f"), "same");
        for (const name of ["e", "f"]) utimesSync(join(root, name), 1, 1);
      };
      const two = await build(s, undefined, root => fill(root, false));
      const one = await build(s, two, root => fill(root, true));
      assert.deepEqual(await changesOf(s, one), ["e", "f"]);
      assert.deepEqual(await changesOf(s, await build(s, one, root => fill(root, true))), []);
      const again = await build(s, one, root => fill(root, false));
      assert.deepEqual(await changesOf(s, again), ["e", "f"]);
      assert.deepEqual(await changesOf(s, await build(s, again, root => fill(root, false))), []);
    },
  );

  contract("changes laid over another base are kept as they were", async ({ snapshotter: s }) => {
    const { signal } = new AbortController();
    const first = await base(s);
    const second = await build(s, first, root => {
      rmSync(join(root, "d/sub/y"));
      rmSync(join(root, "link"));
      writeFileSync(join(root, "d/new"), "n");
    });
    const other = await build(s, undefined, root => {
      mkdirSync(join(root, "d/sub"), { recursive: true });
      writeFileSync(join(root, "d/sub/y"), "");
      writeFileSync(join(root, "d/kept"), "");
    });
    await using changes = await s.changes(second);
    const laid = await s.lay(other, changes, signal);
    assert.equal(await s.lay(other, changes, signal), laid, "the same again is the same snapshot");
    await using view = await s.view(laid);
    assert.deepEqual(readdirSync(join(view.root, "d")), ["kept", "new", "sub"]);
    assert.deepEqual(readdirSync(join(view.root, "d/sub")), []);
    assert.deepEqual(await changesOf(s, laid), ["d", "d/new", "d/sub", "-d/sub/y", "-link"]);
    const alone = await s.lay(undefined, await s.changes(laid), signal);
    await using bare = await s.view(alone);
    assert.deepEqual(readdirSync(bare.root), ["d"]);
    assert.deepEqual(await changesOf(s, alone), ["d", "d/new", "d/sub", "-d/sub/y", "-link"]);
    const back = await s.lay(first, await s.changes(alone), signal);
    await using whole = await s.view(back);
    assert.deepEqual(readdirSync(whole.root), ["a", "d"]);
    assert.deepEqual(readdirSync(join(whole.root, "d")), ["new", "sub", "x"]);
  });

  contract("the difference of trees that have nothing in common", async ({ snapshotter: s }) => {
    const { signal } = new AbortController();
    const first = await base(s);
    const other = await build(s, undefined, root => {
      mkdirSync(join(root, "d"));
      writeFileSync(join(root, "d/z"), "");
    });
    const told = async (lower?: SnapshotId, upper?: SnapshotId): Promise<readonly string[]> => {
      await using found = await s.difference(lower, upper);
      return found.changes.map(({ kind: change, path }) => (change === "delete" ? `-${path}` : path));
    };
    assert.deepEqual(await told(first, other), ["-a", "-d/sub", "-d/x", "d/z", "-link"]);
    assert.deepEqual(await told(first), ["-a", "-d", "-link"]);
    assert.deepEqual(await told(undefined, other), ["d", "d/z"]);
    await using found = await s.difference(first, other);
    await using view = await s.view(await s.lay(first, found, signal));
    assert.deepEqual(readdirSync(view.root), ["d"]);
    assert.deepEqual(readdirSync(join(view.root, "d")), ["z"]);
  });

  contract(
    "a file in the place of a folder, and a folder in the place of a file",
    async ({ snapshotter: s }) => {
      const first = await base(s);
      const second = await build(s, first, root => {
        rmSync(join(root, "d"), { recursive: true });
        writeFileSync(join(root, "d"), "file");
        rmSync(join(root, "a"));
        mkdirSync(join(root, "a"));
      });
      assert.deepEqual(await changesOf(s, second), ["a", "d"]);
    },
  );

  contract("hard links, odd names and attributes come through", async ({ snapshotter: s }) => {
    const name = "ü, :\\ name";
    const libc = await loadLibc();
    const first = await build(s, undefined, root => {
      writeFileSync(join(root, name), "x");
      linkSync(join(root, name), join(root, "hard"));
      libc.setXattr(join(root, name), "user.k", Buffer.from("v"));
    });
    const second = await build(s, first, root => renameSync(join(root, name), join(root, "moved")));
    await using one = await s.view(first);
    assert.equal(lstatSync(join(one.root, name)).ino, lstatSync(join(one.root, "hard")).ino);
    await using two = await s.view(second);
    assert.equal(libc.getXattr(join(two.root, "moved"), "user.k")?.toString(), "v");
    assert.ok(!existsSync(join(two.root, name)));
  });

  contract("the mode and owner of the root are kept", async ({ snapshotter: s }) => {
    const first = await build(s, undefined, root => chmodSync(root, 0o1770));
    const second = await build(s, first, root => writeFileSync(join(root, "f"), ""));
    await using view = await s.view(second);
    assert.equal(lstatSync(view.root).mode & 0o7777, 0o1770);
  });

  contract(
    "a name is found again, and the first to commit under it wins",
    async ({ snapshotter: s }, { root, owner }) => {
      assert.equal(await s.lookup("chain"), undefined);
      await using one = await s.prepare(undefined);
      await using two = await s.prepare(undefined);
      writeFileSync(join(one.root, "one"), "");
      writeFileSync(join(two.root, "two"), "");
      const id = await one.commit({ name: "chain" });
      assert.equal(await two.commit({ name: "chain" }), id);
      assert.equal(await s.lookup("chain"), id);
      const again = (await openSnapshots(root, owner, { kind })).snapshotter;
      assert.equal(await again.lookup("chain"), id);
      await using view = await again.view(id);
      assert.deepEqual(readdirSync(view.root), ["one"]);
    },
  );

  contract("a snapshot that was never there is named", async ({ snapshotter: s }) => {
    const id = "none" as SnapshotId;
    assert.equal(await s.exists(id), false);
    for (const call of [() => s.view(id), () => s.prepare(id), () => s.chain(id), () => s.changes(id)]) {
      await assert.rejects(call, { code: "state-unusable", message: /"none" is missing/ });
    }
  });

  contract(
    "removal spares what others use and what has children",
    async ({ snapshotter: s }, { root, owner }) => {
      const first = await base(s);
      const second = await build(s, first, () => undefined);
      const third = await build(s, first, () => undefined);
      await owner[Symbol.asyncDispose]();
      await using user = await openOwner(root);
      assert.ok(await (await openSnapshots(root, user, { kind })).snapshotter.exists(third));
      await using pruner = await openOwner(root);
      const { store } = await openSnapshots(root, pruner, { kind });
      assert.deepEqual(await store.remove([third]), []);
      assert.deepEqual(await store.remove([first, second, third]), [second]);
      await user[Symbol.asyncDispose]();
      assert.deepEqual([...(await store.remove([first, second, third]))].sort(), [first, third].sort());
      assert.deepEqual(await store.list(), []);
      mkdirSync(join(owner.path, "active"), { recursive: true });
    },
  );

  contract("a folder without its description is no snapshot", async ({ snapshotter: s }, { root }) => {
    mkdirSync(join(root.snapshots, "torn/fs"), { recursive: true });
    assert.equal(await s.exists("torn" as SnapshotId), false);
    writeFileSync(join(root.snapshots, "torn/meta.json"), '{"parent":');
    assert.equal(await s.exists("torn" as SnapshotId), false);
  });

  contract(
    "a snapshot is there only with all that it builds upon, undamaged",
    async ({ snapshotter: s }, { root, owner }) => {
      const first = await (await s.prepare(undefined)).commit();
      const second = await (await s.prepare(first)).commit();
      const path = join(root.snapshots, first, "meta.json");
      const text = readFileSync(path, "utf8");
      for (const damaged of [text.replace('"created":1', '"created":2'), "", "{}"]) {
        writeFileSync(path, damaged);
        // As another process finds it.
        const { snapshotter } = await openSnapshots(root, owner, { kind });
        assert.equal(await snapshotter.exists(second), false, damaged);
      }
      writeFileSync(path, text);
      const { snapshotter } = await openSnapshots(root, owner, { kind });
      assert.equal(await snapshotter.exists(second), true);
    },
  );

  contract(
    "after a power cut, what was not flushed is not used; what was flushed is",
    async (_, { root, owner }) => {
      const earlier = (id: string, boot: string, bootNs: string): SnapshotId => {
        mkdirSync(join(root.snapshots, id, "fs"), { recursive: true });
        writeFileSync(
          join(root.snapshots, id, "meta.json"),
          formatMeta({ parent: undefined, created: 1, kind, boot, bootNs }),
        );
        return id as SnapshotId;
      };
      writeFileSync(join(root.facts, "synced-boot1"), "100");
      const { snapshotter } = await openSnapshots(root, owner, { kind });
      assert.equal(await snapshotter.exists(earlier("flushed", "boot1", "99")), true);
      assert.equal(await snapshotter.exists(earlier("late", "boot1", "101")), false);
      assert.equal(await snapshotter.exists(earlier("other", "boot2", "1")), false);
    },
  );
}
