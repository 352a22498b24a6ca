// Goal: no file operation leaves its root, whatever the tree or an archive holds and whatever happens to the tree while
// the operation runs. Method: a sentinel tree outside, compared entry by entry, times included; hostile trees in a
// table; and a thread that swaps a directory and a symlink to the outside as fast as it can.
// LLBAKE_ESCAPE_ROUNDS raises the number of rounds of the races (default 150).
import assert from "node:assert/strict";
import { lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { BakeError } from "../../src/diagnostic/error.ts";
import { applyLayer } from "../../src/layer/apply.ts";
import { copyInto } from "../../src/layer/copytree.ts";
import { mkdirAt, mkfileAt, removeAt, symlinkAt } from "../../src/layer/fileops.ts";
import { encodeTarHeader, type TarHeader, tarEnd, tarPadding } from "../../src/layer/tar.ts";
import { describeTree, isRoot, makeTree, tempDir } from "../rig/tree.ts";

const ROUNDS = Number(process.env["LLBAKE_ESCAPE_ROUNDS"] ?? 150);

interface Arena extends Disposable {
  readonly root: string;
  readonly outside: string;
  expectUntouched(): Promise<void>;
}

/** A root and, beside it, what must not change. */
async function arena(): Promise<Arena> {
  const dir = tempDir();
  const outside = join(dir.path, "outside");
  const root = join(dir.path, "root");
  mkdirSync(root);
  await makeTree(dir.path, {
    "outside/file": { kind: "file", data: "host", mode: 0o600, mtime: 1_000_000 },
    "outside/dir/inner": { kind: "file", data: "host", mtime: 1_000_000 },
    "outside/dir": { kind: "dir", mode: 0o751, mtime: 1_000_000 },
    outside: { kind: "dir", mode: 0o755, mtime: 1_000_000 },
    neighbour: { kind: "file", data: "host", mtime: 1_000_000 },
  });
  const look = async (): Promise<string> =>
    [
      ...(await describeTree(outside, { times: true })),
      ...readdirSync(dir.path).sort(),
      readFileSync(join(dir.path, "neighbour"), "utf8"),
      String(lstatSync(outside).mtimeMs),
      String(lstatSync(outside).mode),
    ].join("\n");
  const before = await look();
  return {
    root,
    outside,
    expectUntouched: async () => assert.equal(await look(), before),
    [Symbol.dispose]: () => dir[Symbol.dispose](),
  };
}

const owner = isRoot ? { uid: 1234, gid: 1234 } : undefined;
const timestampNs = 5_000_000_000n;

/** Each operation on a path below one that leads outside. */
const operations: Readonly<Record<string, (root: string, path: string) => Promise<void>>> = {
  "mkdir with parents": (root, path) =>
    mkdirAt({ root, path: `${path}/new/deep`, mode: 0o700, makeParents: true, owner, timestampNs }),
  mkdir: (root, path) => mkdirAt({ root, path, mode: 0o700, makeParents: false, owner, timestampNs }),
  mkfile: (root, path) =>
    mkfileAt({ root, path: `${path}/file`, mode: 0o777, data: Buffer.from("x"), owner, timestampNs }),
  "mkfile at the link": (root, path) =>
    mkfileAt({ root, path, mode: 0o777, data: Buffer.from("x"), owner, timestampNs }),
  symlink: (root, path) => symlinkAt({ root, path: `${path}/link`, target: "/", owner, timestampNs }),
  "rm below": (root, path) =>
    removeAt({ root, path: `${path}/dir`, allowNotFound: true, allowWildcard: false }),
  "rm with a wildcard": (root, path) =>
    removeAt({ root, path: `${path}/*`, allowNotFound: true, allowWildcard: true }),
  rm: (root, path) => removeAt({ root, path, allowNotFound: true, allowWildcard: false }),
  extract: (root, path) =>
    applyLayer(
      tarOf(
        { name: `${path}/dir/`, type: "directory", mode: 0o777 },
        { name: `${path}/file`, data: "x" },
        { name: `${path}/dir/inner`, data: "x" },
        { name: `${path}/.wh.dir` },
      ),
      root,
    ).then(() => undefined),
  "whiteouts of a layer": (root, path) =>
    applyLayer(tarOf({ name: `${path}/.wh.file` }, { name: `${path}/.wh..wh..opq` }), root).then(
      () => undefined,
    ),
};

interface Entry extends Partial<TarHeader> {
  readonly name: string;
  readonly data?: string;
}

async function* tarOf(...entries: readonly Entry[]): AsyncGenerator<Uint8Array, void, void> {
  for (const { data = "", ...header } of entries) {
    yield encodeTarHeader({
      type: "file",
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtime: 5,
      linkname: "",
      devMajor: 0,
      devMinor: 0,
      xattrs: [],
      ...header,
      size: data.length,
    });
    yield Buffer.from(data);
    yield tarPadding(data.length);
  }
  yield tarEnd();
}

/** Failing is right, leaving is not. */
async function attempt(work: Promise<unknown>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    assert.ok(error instanceof BakeError, String(error));
    return false;
  }
}

test("no operation follows a link of a hostile tree out of the root", async () => {
  for (const target of [
    "OUTSIDE",
    "../outside",
    "../../../../../../../../OUTSIDE",
    "/via",
    "../x/../outside",
    "nested/up",
  ]) {
    for (const [name, operate] of Object.entries(operations)) {
      using place = await arena();
      symlinkSync(target.replace("OUTSIDE", place.outside), join(place.root, "link"));
      symlinkSync(place.outside, join(place.root, "via"));
      mkdirSync(join(place.root, "nested"));
      symlinkSync("../../outside", join(place.root, "nested/up"));
      for (const path of [
        "link",
        "/link",
        "link/.",
        "../link",
        "link/../../outside",
        "../outside",
        "x/../link",
        "nested/up",
      ])
        await attempt(operate(place.root, path));
      await place.expectUntouched().catch((error: unknown) => {
        throw new Error(`${name} with a link to ${target}`, { cause: error });
      });
    }
  }
});

test("archives cannot leave the root by names, hard links, or links they bring themselves", async () => {
  const hostile: Readonly<Record<string, (outside: string) => readonly Entry[]>> = {
    "absolute names": outside => [{ name: `${outside}/file`, data: "x" }],
    "names with ..": () => [{ name: "../outside/file", data: "x" }],
    "names with .. further on": () => [{ name: "a/../../outside/file", data: "x" }],
    "a symlink, then a file through it": outside => [
      { name: "l", type: "symlink", linkname: outside },
      { name: "l/file", data: "x" },
    ],
    "a symlink, then a file at its place": outside => [
      { name: "l", type: "symlink", linkname: `${outside}/file` },
      { name: "l", data: "x" },
    ],
    "a directory that becomes a symlink": outside => [
      { name: "d/", type: "directory", mode: 0o755 },
      { name: "d/a", data: "x" },
      { name: "d", type: "symlink", linkname: outside },
      { name: "d/file", data: "x" },
    ],
    "a symlink that becomes a directory": outside => [
      { name: "d", type: "symlink", linkname: outside },
      { name: "d/", type: "directory", mode: 0o777 },
      { name: "d/file", data: "x" },
    ],
    "symlinks through symlinks": () => [
      { name: "a", type: "symlink", linkname: ".." },
      { name: "b", type: "symlink", linkname: "a/../outside" },
      { name: "b/file", data: "x" },
    ],
    "a hard link to a file of the host, then a write": outside => [
      { name: "h", type: "hardlink", linkname: `${outside}/file` },
      { name: "h", data: "x" },
    ],
    "a hard link by ..": () => [{ name: "h", type: "hardlink", linkname: "../outside/file" }],
    "a hard link through a symlink, then a new mode": outside => [
      { name: "l", type: "symlink", linkname: outside },
      { name: "h", type: "hardlink", linkname: "l/file" },
      { name: "h", data: "x", mode: 0o777 },
    ],
    "whiteouts by ..": () => [
      { name: "../.wh.outside" },
      { name: ".wh..." },
      { name: "a/../../.wh.outside" },
    ],
    "an opaque marker behind a symlink": outside => [
      { name: "l", type: "symlink", linkname: outside },
      { name: "l/.wh..wh..opq" },
    ],
    "a device and a write to it": () => [
      { name: "null", type: "char", devMajor: 1, devMinor: 3 },
      { name: "null", data: "x" },
    ],
  };
  for (const [name, entries] of Object.entries(hostile)) {
    for (const whiteouts of [true, false]) {
      using place = await arena();
      await attempt(
        applyLayer(tarOf(...entries(place.outside)), place.root, { whiteouts, ...(owner && { owner }) }),
      );
      await place.expectUntouched().catch((error: unknown) => {
        throw new Error(name, { cause: error });
      });
      const copies = (await describeTree(place.root)).filter(line => line.includes("host"));
      assert.deepEqual(copies, [], `${name}: nothing of the host is in the tree`);
    }
  }
});

/** Swaps `flip` in `folder` between a directory and a symlink to `target` until disposed. */
async function flipping(folder: string, target: string): Promise<AsyncDisposable> {
  mkdirSync(join(folder, "flip/dir/inner"), { recursive: true });
  symlinkSync(target, join(folder, ".link"));
  const over = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(
    `const { renameSync } = require("node:fs");
     const { workerData: { folder, over }, parentPort } = require("node:worker_threads");
     const at = name => folder + "/" + name;
     const move = (from, to) => { try { renameSync(at(from), at(to)); } catch {} };
     parentPort.postMessage("ready");
     while (Atomics.load(over, 0) === 0) {
       move("flip", ".dir"); move(".link", "flip");
       move("flip", ".link"); move(".dir", "flip");
     }`,
    { eval: true, workerData: { folder, over } },
  );
  await new Promise(resolve => worker.once("message", resolve));
  return {
    async [Symbol.asyncDispose]() {
      const ended = new Promise(resolve => worker.once("exit", resolve));
      Atomics.store(over, 0, 1);
      await ended;
    },
  };
}

test("no operation follows a link that takes the place of a directory while it runs", async () => {
  using place = await arena();
  let succeeded = 0;
  let failed = 0;
  {
    await using _thread = await flipping(place.root, place.outside);
    for (let round = 0; round < ROUNDS; round++) {
      for (const [name, operate] of Object.entries(operations)) {
        // These would take the thread's own entries away.
        if (name === "rm" || name === "mkfile at the link") continue;
        if (await attempt(operate(place.root, "flip"))) succeeded++;
        else failed++;
      }
      // What is removed is filled again.
      await attempt(mkdirAt({ root: place.root, path: "flip/dir/inner", mode: 0o755, makeParents: true }));
    }
  }
  await place.expectUntouched();
  assert.ok(succeeded > 0 && failed > 0, `${succeeded} operations came through, ${failed} failed`);
});

test("a removal does not follow a link that appears in what it removes", async () => {
  using place = await arena();
  const inner = join(place.root, "tree/a/b");
  mkdirSync(inner, { recursive: true });
  {
    await using _thread = await flipping(inner, place.outside);
    for (let round = 0; round < ROUNDS; round++) {
      for (const name of ["file", "dir/inner"])
        await attempt(
          applyLayer(tarOf({ name: `tree/a/b/flip/${name}`, data: "x" }), place.root, { whiteouts: false }),
        );
      await attempt(
        removeAt({ root: place.root, path: "tree/a/b/fli*", allowNotFound: true, allowWildcard: true }),
      );
    }
  }
  await place.expectUntouched();
});

test("a copy takes nothing from outside its source, whatever the source's links say", async () => {
  const targets = ["OUTSIDE", "../outside", "OUTSIDE/file", "../../../../../../../OUTSIDE/file", "/loop"];
  for (const target of targets) {
    for (const followSymlink of [true, false]) {
      for (const src of ["link", "/link/file", "link/dir/..", "../outside/file", "l*", "/"]) {
        using place = await arena();
        symlinkSync(target.replace("OUTSIDE", place.outside), join(place.root, "link"));
        symlinkSync("loop", join(place.root, "loop"));
        const dest = join(place.root, "../dest");
        mkdirSync(dest);
        await attempt(
          copyInto({
            srcRoot: place.root,
            src,
            destRoot: dest,
            dest: "/to/",
            followSymlink,
            dirCopyContents: true,
            createDestPath: true,
            allowWildcard: true,
            allowEmptyWildcard: true,
          }),
        );
        const taken = (await describeTree(dest)).filter(line => line.includes("host"));
        assert.deepEqual(taken, [], `${src} with a link to ${target}`);
      }
    }
  }
});

test("a copy takes nothing through a link that takes the place of a directory of its source while it runs", async () => {
  using place = await arena();
  const source = join(place.root, "source");
  mkdirSync(source);
  await makeTree(source, { "flip/file": "own", "flip/dir/inner/x": "own" });
  let copied = 0;
  {
    await using _thread = await flipping(source, place.outside);
    for (let round = 0; round < ROUNDS * 4; round++) {
      const dest = join(place.root, `dest${round}`);
      mkdirSync(dest);
      const done = await attempt(
        copyInto({
          srcRoot: source,
          src: "/",
          destRoot: dest,
          dest: "/",
          followSymlink: false,
          dirCopyContents: true,
          createDestPath: true,
          allowWildcard: false,
          allowEmptyWildcard: false,
        }),
      );
      if (done) copied++;
      assert.deepEqual(
        (await describeTree(dest)).filter(line => line.includes('"host"')),
        [],
      );
      rmSync(dest, { recursive: true });
    }
  }
  await place.expectUntouched();
  assert.ok(copied > 0);
});

test("a copy writes nothing outside its destination, whatever links are there", async () => {
  for (const [target, dest] of [
    ["OUTSIDE", "/link/"],
    ["OUTSIDE/file", "/link"],
    ["../outside", "link/dir/"],
    ["OUTSIDE", "/sub/file"],
    ["../outside/dir", "/link/../.."],
  ] as const) {
    using place = await arena();
    const source = join(place.root, "source");
    mkdirSync(source);
    await makeTree(source, { file: "x", "dir/inner": "x", "link/file": "x" });
    const root = join(place.root, "dest");
    mkdirSync(root);
    symlinkSync(target.replace("OUTSIDE", place.outside), join(root, "link"));
    symlinkSync(place.outside, join(root, "sub"));
    for (const alwaysReplace of [true, false])
      await attempt(
        copyInto({
          srcRoot: source,
          src: "/",
          destRoot: root,
          dest,
          followSymlink: true,
          dirCopyContents: true,
          createDestPath: true,
          allowWildcard: false,
          allowEmptyWildcard: false,
          alwaysReplace,
          ...(owner && { owner }),
          mode: 0o777,
          timestampNs,
        }),
      );
    await place.expectUntouched();
  }
});
