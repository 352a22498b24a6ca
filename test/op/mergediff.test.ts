// Goal: merge and diff give what BuildKit gives: deletions, replaced kinds, opaque directories, hard links, chains.
// Method: a table of scenarios (those of BuildKit's client/mergediff_test.go and client_mergeop_test.go), each solved
// and compared with the tree of an equal state or with a list of entries; and once more through an exported image.
import assert from "node:assert/strict";
import { lstatSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { applyLayer } from "../../src/layer/apply.ts";
import { diff, merge, mkdir, mkfile, rm, scratch, type State, symlink } from "../../src/llb/mod.ts";
import { busyboxBase, type EngineRig, engineRig, skipWithoutContainers } from "../rig/engine.ts";
import { describeTree } from "../rig/tree.ts";

const file = (path: string, data = "", mode = 0o644): State => scratch().file(mkfile(path, mode, data));
const on = (base: State, ...changes: readonly Parameters<State["file"]>[0][]): State =>
  changes.reduce((state, change) => state.file(change), base);

/** What a tree holds, without times; `bin` of the base is left out. */
async function treeOf(folder: string): Promise<readonly string[]> {
  return (await describeTree(folder, { owners: false })).filter(
    line => !/^(bin|dev|proc|sys|etc)\b/.test(line),
  );
}

/** The tree that one gets from the layers of the exported image, as a registry's user would. */
async function throughImage(rig: EngineRig, state: State, name: string): Promise<readonly string[]> {
  const dest = join(rig.dir.path, `layout-${name}`);
  const report = await rig.solve(state, [{ type: "oci", attrs: { tar: "false" }, dest }]);
  const blob = (digest: string): Buffer =>
    readFileSync(join(dest, "blobs/sha256", digest.slice("sha256:".length)));
  const manifest = JSON.parse(blob(report.exports[0]?.descriptor?.digest ?? "").toString()) as {
    readonly layers: readonly { readonly digest: string }[];
  };
  const root = join(rig.dir.path, `unpacked-${name}`);
  mkdirSync(root);
  for (const { digest } of manifest.layers) await applyLayer(chunks(blob(digest)), root);
  return await treeOf(root);
}

async function* chunks(bytes: Buffer): AsyncGenerator<Uint8Array, void, void> {
  yield bytes;
}

const a = file("/A", "A");
const b = file("/B", "B");
const c = file("/C", "C");
const deleteC = on(c, rm("/C"));
const ab = merge([a, b]);
const abc = merge([a, b, c]);
const abDeleteC = merge([a, b, deleteC]);
// Layers a, b, c, D, a, E, -A.
const nested = merge([on(abc, mkfile("/D", 0o644, "D")), on(merge([a, file("/E", "E")]), rm("/A"))]);
const chainAB = on(a, mkfile("/B", 0o644, "B"));
const chainABC = on(chainAB, mkfile("/C", 0o644, "C"));
const dir = scratch().file(mkdir("/dir", 0o755));
const lines = (...names: readonly string[]): readonly string[] =>
  names.map(name => `${name}: file 644 ${JSON.stringify(name.slice(name.lastIndexOf("/") + 1))}`);

const withFoo = on(
  scratch(),
  mkfile("/foo", 0o755, "A"),
  mkfile("/a", 0o755, "A"),
  mkdir("/bar", 0o700),
  mkfile("/bar/A", 0o755, "A"),
);
const withoutFoo = on(withFoo, rm("/foo"), mkfile("/b", 0o755, "B"), mkfile("/bar/B", 0o754, "B"));
const otherFoo = on(
  scratch(),
  mkfile("/foo", 0o755, "C"),
  mkfile("/c", 0o755, "C"),
  mkdir("/bar", 0o755),
  mkfile("/bar/A", 0o400, "C"),
);
const plainA = merge([withFoo, otherFoo]);
const plainB = merge([otherFoo, withoutFoo]);

const linkFooToBar = diff(dir, on(dir, mkdir("/bar", 0o755), symlink("/bar", "/foo")));
const plusFoo = on(dir, mkdir("/foo", 0o755));
const createFooFile = diff(plusFoo, on(plusFoo, mkfile("/foo/file", 0o644, "")));
const deleteFoo = diff(plusFoo, on(plusFoo, rm("/foo")));
const loop = diff(dir, on(dir, symlink("/2", "/1"), symlink("/1", "/2")));
const extra = on(dir, mkdir("/extradir", 0o755), mkfile("/extradir/extrafile", 0o644, ""));

const scenarios: readonly {
  readonly name: string;
  readonly state: State;
  readonly tree: readonly string[];
}[] = [
  { name: "a diff of nothing and nothing is nothing", state: diff(scratch(), scratch()), tree: [] },
  { name: "a diff of a result and itself is nothing", state: diff(abc, abc), tree: [] },
  { name: "a diff of a result and itself deletes nothing", state: merge([a, diff(a, a)]), tree: lines("A") },
  { name: "a diff from nothing is the whole", state: diff(scratch(), ab), tree: lines("A", "B") },
  {
    name: "a diff from nothing keeps deletions of its layers",
    state: merge([
      file("/foo", "A"),
      diff(scratch(), on(file("/foo", "B"), rm("/foo"), mkfile("/bar", 0o644, "bar"))),
    ]),
    tree: lines("bar"),
  },
  {
    name: "a diff to nothing deletes the contents of the lower side and nothing else",
    state: merge([chainABC, file("/foo", "foo"), diff(chainABC, scratch())]),
    tree: lines("foo"),
  },
  {
    name: "deletions take effect where the diff is merged",
    state: merge([chainABC, diff(chainABC, on(chainABC, rm("/B")))]),
    tree: lines("A", "C"),
  },
  {
    name: "a diff with deletions shows only what was added",
    state: diff(chainAB, on(chainAB, rm("/A"), mkfile("/N", 0o644, "N"))),
    tree: lines("N"),
  },
  {
    name: "a deletion of what is not there leaves the directory it was in",
    state: merge([dir, diff(extra, on(extra, rm("/extradir/extrafile")))]),
    tree: ["dir: dir 755", "extradir: dir 755"],
  },
  {
    name: "diffs of unrelated results undo each other",
    state: merge([diff(a, b), diff(b, a)]),
    tree: lines("A"),
  },
  { name: "a diff of merges", state: diff(ab, abc), tree: lines("C") },
  {
    name: "a diff of merges keeps deletions",
    state: merge([abc, diff(abc, abDeleteC)]),
    tree: lines("A", "B"),
  },
  {
    name: "a layer on a merge",
    state: diff(abDeleteC, on(abDeleteC, mkfile("/D", 0o644, "D"))),
    tree: lines("D"),
  },
  {
    name: "a deleting layer on a merge",
    state: merge([abDeleteC, diff(abc, on(abc, rm("/A")))]),
    tree: lines("B"),
  },
  {
    name: "several layers on a merge",
    state: merge([abDeleteC, diff(abc, on(abc, mkfile("/D", 0o644, "D"), rm("/A")))]),
    tree: lines("B", "D"),
  },
  {
    name: "a diff of nested merges has what their layers did, not what they came to",
    state: diff(abc, on(nested, mkfile("/F", 0o644, "F"))),
    tree: lines("D", "E", "F"),
  },
  {
    name: "deletions within nested merges stay in their diff",
    state: merge([on(ab, mkfile("/D", 0o644, "D")), diff(abc, on(nested, rm("/D")))]),
    tree: lines("B", "E"),
  },
  { name: "a diff of diffs", state: diff(diff(a, chainAB), diff(a, chainABC)), tree: lines("C") },
  {
    name: "a diff of diffs with deletions",
    state: merge([chainABC, diff(diff(a, chainABC), diff(a, chainAB))]),
    tree: lines("A", "B"),
  },
  {
    name: "a diff as base",
    state: on(diff(a, chainABC), mkfile("/D", 0o644, "D")),
    tree: lines("B", "C", "D"),
  },
  {
    name: "a deletion on a diff",
    state: merge([chainAB, on(diff(a, chainABC), rm("/B"))]),
    tree: lines("A", "C"),
  },
  {
    name: "a directory that a layer deletes and a later one makes anew is new",
    state: merge([
      on(dir, mkfile("/dir/a", 0o644, "a")),
      on(dir, rm("/dir")),
      on(dir, mkfile("/dir/b", 0o644, "b")),
    ]),
    tree: ["dir: dir 755", ...lines("dir/b")],
  },
  {
    name: "a directory that a layer makes a file and a later one a directory is new",
    state: merge([
      on(dir, mkfile("/dir/a", 0o644, "a")),
      file("/dir"),
      on(dir, mkfile("/dir/b", 0o644, "b")),
    ]),
    tree: ["dir: dir 755", ...lines("dir/b")],
  },
  {
    name: "a directory takes the place of a symlink",
    state: merge([linkFooToBar, createFooFile]),
    tree: ["bar: dir 755", "foo: dir 755", 'foo/file: file 644 ""'],
  },
  {
    name: "a symlink takes the place of a directory with all in it",
    state: merge([createFooFile, linkFooToBar]),
    tree: ["bar: dir 755", "foo: symlink -> /bar"],
  },
  {
    name: "a deletion does not follow a symlink",
    state: merge([linkFooToBar, deleteFoo]),
    tree: ["bar: dir 755"],
  },
  {
    name: "a deletion does not follow a symlink above it",
    state: merge([
      on(linkFooToBar, mkfile("/bar/file", 0o644, "")),
      diff(createFooFile, on(createFooFile, rm("/foo/file"))),
    ]),
    tree: ["bar: dir 755", 'bar/file: file 644 ""', "foo: dir 755"],
  },
  {
    name: "symlinks in a circle are no obstacle to a file",
    state: merge([loop, file("/1", "foo")]),
    tree: ['1: file 644 "foo"', "2: symlink -> /1"],
  },
  {
    name: "symlinks in a circle are no obstacle to a directory",
    state: merge([loop, diff(dir, on(dir, mkdir("/1", 0o755), mkfile("/1/file", 0o644, "")))]),
    tree: ["1: dir 755", '1/file: file 644 ""', "2: symlink -> /1"],
  },
  {
    name: "directories merge with the later one's mode, files are replaced",
    state: plainA,
    tree: ['a: file 755 "A"', "bar: dir 755", 'bar/A: file 400 "C"', 'c: file 755 "C"', 'foo: file 755 "C"'],
  },
  {
    name: "a deletion in the layers of a merged input counts for what is below it",
    state: plainB,
    tree: [
      'a: file 755 "A"',
      'b: file 755 "B"',
      "bar: dir 700",
      'bar/A: file 755 "A"',
      'bar/B: file 754 "B"',
      'c: file 755 "C"',
    ],
  },
  {
    name: "merges of merges are the layers one after the other",
    state: merge([plainA, plainB, scratch().file(mkdir("/qaz", 0o755))]),
    tree: [
      'a: file 755 "A"',
      'b: file 755 "B"',
      "bar: dir 700",
      'bar/A: file 755 "A"',
      'bar/B: file 754 "B"',
      'c: file 755 "C"',
      "qaz: dir 755",
    ],
  },
];

test("merge and diff give BuildKit's trees, here and through the layers of an image", async t => {
  await using rig = await engineRig();
  for (const { name, state, tree } of scenarios) {
    await t.test(name, async () => {
      assert.deepEqual(await treeOf(await rig.files(state)), tree);
      assert.deepEqual(await throughImage(rig, state, name.replace(/\W/g, "")), tree);
    });
  }
});

const base = (): State =>
  busyboxBase().file(
    mkdir("/kept", 0o755)
      .mkdir("/kept/opaque/sub", 0o755, { makeParents: true })
      .mkfile("/kept/opaque/old", 0o644, "")
      .mkfile("/kept/opaque/sub/older", 0o644, "")
      .mkfile("/kept/shuffled", 0o644, "same")
      .mkfile("/kept/file", 0o644, "")
      .mkdir("/kept/folder/in", 0o755, { makeParents: true })
      .mkfile("/kept/chmod", 0o644, "x"),
  );
const sh = (state: State, ...commands: readonly string[]): State =>
  state.run({ args: ["sh", "-ec", commands.join("\n")] }).root();

test("diffs of what commands did", { skip: skipWithoutContainers }, async t => {
  await using rig = await engineRig();
  const rows: readonly {
    readonly name: string;
    readonly commands: readonly string[];
    readonly shown: readonly string[];
  }[] = [
    {
      name: "files moved to and fro are no change",
      commands: ["mv /kept/shuffled /kept/x", "mv /kept/x /kept/shuffled", "chmod 644 /kept/chmod"],
      shown: [],
    },
    {
      name: "a mode is a change",
      commands: ["chmod 600 /kept/chmod"],
      shown: ["kept: dir 755", 'kept/chmod: file 600 "x"'],
    },
    {
      name: "a file in the place of a directory and the other way round",
      commands: [
        "rm -r /kept/folder",
        "echo -n f >/kept/folder",
        "rm /kept/file",
        "mkdir -m 700 /kept/file",
        "touch /kept/file/in",
      ],
      shown: [
        "kept: dir 755",
        "kept/file: dir 700",
        'kept/file/in: file 644 ""',
        'kept/folder: file 644 "f"',
      ],
    },
    {
      name: "hard links and fifos",
      commands: ["mkdir /new", "echo -n 1 >/new/1", "ln /new/1 /new/2", "chmod 600 /new/2", "mknod /new/p p"],
      shown: ["new: dir 755", 'new/1: file 600 "1"', 'new/2: file 600 "1" = new/1', "new/p: fifo 644"],
    },
    {
      name: "a device",
      commands: ["mknod /null1 c 1 3"],
      shown: ["null1: device 644 259"],
    },
  ];
  for (const { name, commands, shown } of rows) {
    await t.test(name, async () => {
      const state = diff(base(), sh(base(), ...commands));
      assert.deepEqual(await treeOf(await rig.files(state)), shown);
      assert.deepEqual(
        await treeOf(await rig.files(merge([base(), state]))),
        await treeOf(await rig.files(sh(base(), ...commands))),
      );
    });
  }
});

test(
  "a directory made anew hides in a merge only what its own base had (opaque directories of COPY --link)",
  { skip: skipWithoutContainers },
  async () => {
    await using rig = await engineRig();
    const anew = diff(
      base(),
      sh(base(), "rm -rf /kept/opaque", "mkdir -p /kept/opaque/fresh", "touch /kept/opaque/new"),
    );
    const other = on(
      base(),
      mkfile("/kept/opaque/others", 0o644, "").mkfile("/kept/opaque/sub/others", 0o644, ""),
    );
    const merged = merge([other, anew]);
    const opaque = [
      "kept/opaque: dir 755",
      "kept/opaque/fresh: dir 755",
      'kept/opaque/new: file 644 ""',
      'kept/opaque/others: file 644 ""',
    ];
    const seen = (tree: readonly string[]): readonly string[] =>
      tree.filter(line => line.startsWith("kept/opaque"));
    assert.deepEqual(seen(await treeOf(await rig.files(merged))), opaque);
    assert.deepEqual(seen(await throughImage(rig, merged, "opaque")), opaque);
  },
);

test(
  "a step on a merged result does not write through to what it shares files with",
  { skip: skipWithoutContainers },
  async () => {
    await using rig = await engineRig();
    const shared = on(scratch(), mkdir("/data", 0o755), mkfile("/data/f", 0o644, "before"));
    const merged = merge([busyboxBase(), shared]);
    await rig.files(sh(merged, "echo -n after >/data/f", "chmod 600 /data/f"));
    assert.equal(readFileSync(join(await rig.files(shared), "data/f"), "utf8"), "before");
    assert.equal(lstatSync(join(await rig.files(merged), "data/f")).mode & 0o777, 0o644);
  },
);

test("a command's mount and root are diffed apart", { skip: skipWithoutContainers }, async () => {
  await using rig = await engineRig();
  const run = busyboxBase().run({
    args: ["sh", "-c", "mkdir /root2 && touch /root2/A /mnt/B"],
    mounts: [{ kind: "bind", target: "/mnt", from: a }],
  });
  assert.deepEqual(
    (await treeOf(await rig.files(diff(busyboxBase(), run.root())))).filter(line => !line.startsWith("mnt:")),
    ["root2: dir 755", 'root2/A: file 644 ""'],
  );
  assert.deepEqual(await treeOf(await rig.files(diff(a, run.getMount("/mnt")))), ['B: file 644 ""']);
});
