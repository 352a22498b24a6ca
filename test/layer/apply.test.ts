// Extraction: what a layer says is what the tree becomes, and nothing outside the tree is touched.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import * as tar from "tar-stream";
import { BakeError } from "../../src/diagnostic/error.ts";
import { applyLayer } from "../../src/layer/apply.ts";
import { packTree } from "../../src/layer/pack.ts";
import { encodeTarHeader, type TarHeader, tarEnd, tarPadding } from "../../src/layer/tar.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { describeTree, isRoot, makeTree, tempDir, type Tree } from "../rig/tree.ts";

type Entry = Partial<TarHeader> & { readonly name: string; readonly data?: string };

function archive(entries: readonly Entry[]): Buffer {
  const pieces = entries.flatMap(({ data = "", ...entry }) => {
    const header: TarHeader = {
      type: "file",
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtime: 0,
      linkname: "",
      devMajor: 0,
      devMinor: 0,
      xattrs: [],
      size: Buffer.byteLength(data),
      ...entry,
    };
    return [encodeTarHeader(header), Buffer.from(data), tarPadding(Buffer.byteLength(data))];
  });
  return Buffer.concat([...pieces, tarEnd()]);
}

/** Cut into odd pieces, so that no boundary is where a reader would like it. */
function stream(bytes: Uint8Array, pieceBytes = 700): AsyncIterable<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += pieceBytes) pieces.push(bytes.subarray(at, at + pieceBytes));
  return Readable.from(pieces);
}

async function apply(entries: readonly Entry[], before: Tree = {}): Promise<string[]> {
  using dir = tempDir();
  const root = join(dir.path, "root");
  mkdirSync(root);
  await makeTree(root, before);
  await applyLayer(stream(archive(entries)), root);
  return await describeTree(root, { owners: false });
}

async function refusal(entries: readonly Entry[], before: Tree = {}): Promise<string> {
  using dir = tempDir();
  const root = join(dir.path, "root");
  mkdirSync(root);
  writeFileSync(join(dir.path, "outside"), "untouched");
  await makeTree(root, before);
  let message = "";
  try {
    await applyLayer(stream(archive(entries)), root);
  } catch (thrown) {
    assert.ok(thrown instanceof BakeError, String(thrown));
    message = thrown.message;
  }
  assert.deepEqual(readdirSync(dir.path).sort(), ["outside", "root"]);
  assert.equal(readFileSync(join(dir.path, "outside"), "utf8"), "untouched");
  assert.equal(statSync(join(dir.path, "outside")).nlink, 1);
  return message;
}

test("files, directories and links appear with mode and content", async () => {
  assert.deepEqual(
    await apply([
      { name: "a/", type: "directory", mode: 0o750 },
      { name: "a/f", data: "hello", mode: 0o4755 },
      { name: "a/h", type: "hardlink", linkname: "a/f" },
      { name: "./b", type: "symlink", linkname: "a/f" },
      { name: "/z/deep/file", data: "made parents", mode: 0o400 },
    ]),
    [
      "a: dir 750",
      'a/f: file 4755 "hello"',
      'a/h: file 4755 "hello" = a/f',
      "b: symlink -> a/f",
      "z: dir 755",
      "z/deep: dir 755",
      'z/deep/file: file 400 "made parents"',
    ],
  );
});

test("an entry replaces what is there without writing through links", async () => {
  assert.deepEqual(
    await apply(
      [
        { name: "link", data: "new" },
        { name: "twin", data: "new" },
        { name: "dir", data: "now a file" },
        { name: "file/", type: "directory" },
        { name: "dirlink/", type: "directory", mode: 0o700 },
      ],
      {
        target: "old",
        link: { kind: "symlink", target: "target" },
        twin: { kind: "link", to: "target" },
        "dir/sub/x": "x",
        file: "y",
        "real/x": "x",
        dirlink: { kind: "symlink", target: "real" },
      },
    ),
    [
      'dir: file 644 "now a file"',
      "dirlink: dir 700",
      "file: dir 644",
      'link: file 644 "new"',
      "real: dir 755",
      'real/x: file 644 "x"',
      'target: file 644 "old"',
      'twin: file 644 "new"',
    ],
  );
});

test("entries below a symlinked directory of the lower tree land in its target", async () => {
  assert.deepEqual(
    await apply([{ name: "lib/new", data: "1" }], {
      "usr/lib/old": "0",
      lib: { kind: "symlink", target: "/usr/lib" },
    }),
    [
      "lib: symlink -> /usr/lib",
      "usr: dir 755",
      "usr/lib: dir 755",
      'usr/lib/new: file 644 "1"',
      'usr/lib/old: file 644 "0"',
    ],
  );
});

test("whiteouts delete lower entries only, opaque markers empty lower directories only", async () => {
  assert.deepEqual(
    await apply(
      [
        { name: "d/added-before", data: "1" },
        { name: "d/.wh..wh..opq" },
        { name: "d/sub/kept", data: "1" },
        { name: "gone/.wh.x" },
        { name: ".wh.tree" },
        { name: ".wh.missing" },
        { name: ".wh..wh.plnk" },
        { name: ".wh..." },
        { name: "again", data: "new" },
        { name: ".wh.again" },
      ],
      {
        "d/lower": "0",
        "d/sub/lower": "0",
        "gone/x": "0",
        "gone/y": "0",
        "tree/a/b": "0",
        again: "old",
        other: "0",
      },
    ),
    [
      'again: file 644 "new"',
      "d: dir 755",
      'd/added-before: file 644 "1"',
      "d/sub: dir 755",
      'd/sub/kept: file 644 "1"',
      "gone: dir 755",
      'gone/y: file 644 "0"',
      'other: file 644 "0"',
    ],
  );
});

test("names and links cannot leave the root", async () => {
  assert.match(await refusal([{ name: "../evil", data: "x" }]), /outside of its root/);
  assert.match(await refusal([{ name: "a/../../evil", data: "x" }]), /outside of its root/);
  assert.match(
    await refusal([{ name: "h", type: "hardlink", linkname: "../outside" }]),
    /outside of its root/,
  );
  assert.match(await refusal([{ name: "h", type: "hardlink", linkname: "/outside" }]), /does not exist/);
  assert.match(
    await refusal([
      { name: "up", type: "symlink", linkname: ".." },
      { name: "h", type: "hardlink", linkname: "up/outside" },
    ]),
    /does not exist/,
  );
  assert.match(await refusal([{ name: ".wh.outside" }, { name: "../.wh.outside" }]), /outside of its root/);
  // These stay inside: a symlink's absolute or climbing target counts from the root.
  assert.equal(
    await refusal([
      { name: "up", type: "symlink", linkname: "../.." },
      { name: "up/evil", data: "x" },
    ]),
    "",
  );
  assert.equal(
    await refusal([
      { name: "abs", type: "symlink", linkname: "/tmp" },
      { name: "abs/evil", data: "x" },
    ]),
    "",
  );
  assert.equal(
    await refusal([
      { name: "up", type: "symlink", linkname: "../outside" },
      { name: "up", data: "x" },
    ]),
    "",
  );
  assert.equal(
    await refusal([{ name: "up", type: "symlink", linkname: ".." }, { name: "up/.wh.outside" }]),
    "",
  );
  assert.equal(
    await refusal([
      { name: "up", type: "symlink", linkname: "../outside" },
      { name: "up/", type: "directory", mode: 0o777 },
    ]),
    "",
  );
  assert.equal(await refusal([{ name: "/../evil2", data: "" }].slice(1)), "");
  assert.match(
    await refusal([
      { name: "f", data: "" },
      { name: "f/x", data: "x" },
    ]),
    /not a directory/,
  );
  assert.match(
    await refusal([
      { name: "a", type: "symlink", linkname: "b" },
      { name: "b", type: "symlink", linkname: "a" },
      { name: "a/x", data: "" },
    ]),
    /too many symbolic links/,
  );
});

test("a symlink made by the archive is honoured at once", async () => {
  assert.deepEqual(
    await apply([
      { name: "d/x", data: "1" },
      { name: "e/", type: "directory", mode: 0o755 },
      { name: "d", type: "symlink", linkname: "e" },
      { name: "d/y", data: "2" },
    ]),
    ["d: symlink -> e", "e: dir 755", 'e/y: file 644 "2"'],
  );
});

test("the digest covers the uncompressed stream to its end, and is checked", async () => {
  using dir = tempDir();
  const plain = Buffer.concat([archive([{ name: "f", data: "x".repeat(100_000) }]), Buffer.alloc(9000)]);
  const first = await applyLayer(stream(plain), dir.path);
  assert.deepEqual(first, { diffId: digestOf(plain), size: plain.length, skipped: [] });
  const packed = gzipSync(plain);
  assert.deepEqual(await applyLayer(stream(packed), dir.path, { diffId: digestOf(plain) }), first);
  await assert.rejects(applyLayer(stream(plain), dir.path, { diffId: digestOf("other") }), {
    code: "content-corrupt",
  });
});

test("damaged archives are refused with a reason", async () => {
  using dir = tempDir();
  const bytes = archive([{ name: "f", data: "x".repeat(5000) }]);
  const packed = gzipSync(bytes);
  const broken = Buffer.from(packed);
  broken.fill(0xff, 20, 30);
  const header = Buffer.from(bytes);
  header[0] = 0x41;
  for (const [input, pattern] of [
    [bytes.subarray(0, 2000), /ends within a file/],
    [bytes.subarray(0, 300), /ends within a header/],
    [header, /checksum/],
    [packed.subarray(0, packed.length - 12), /gzip stream: it is cut off/],
    [broken, /gzip stream: it is damaged/],
  ] as const) {
    await assert.rejects(applyLayer(stream(input), dir.path), (thrown: unknown) => {
      assert.ok(thrown instanceof BakeError);
      assert.equal(thrown.code, "content-corrupt");
      assert.match(thrown.message, pattern);
      return true;
    });
  }
});

test("an aborted extraction stops", async () => {
  using dir = tempDir();
  const controller = new AbortController();
  async function* endless(): AsyncGenerator<Uint8Array> {
    const block = archive([{ name: "f", data: "x".repeat(100_000) }]).subarray(0, -1024);
    for (let i = 0; ; i++) {
      if (i === 50) controller.abort();
      yield block;
      await new Promise(resolve => setImmediate(resolve));
    }
  }
  await assert.rejects(applyLayer(endless(), dir.path, { signal: controller.signal }), {
    name: "AbortError",
  });
});

test("archives written by GNU tar and by tar-stream are read alike", async () => {
  using dir = tempDir();
  const source = join(dir.path, "source");
  mkdirSync(source);
  const long = `${"directory-with-a-long-name/".repeat(6)}${"f".repeat(120)}`;
  await makeTree(source, {
    [long]: "long",
    "ünïcode/名前": "utf-8",
    linked: { kind: "symlink", target: long },
    [`${"d".repeat(99)}/x`]: { kind: "file", data: "edge", mode: 0o600 },
    twin: { kind: "link", to: long },
  });
  const expected = await describeTree(source);
  for (const format of ["gnu", "pax", "ustar"]) {
    if (format === "ustar") continue;
    const bytes = execFileSync("tar", ["-C", source, `--format=${format}`, "-cf", "-", "."], {
      maxBuffer: 1 << 26,
    });
    const root = join(dir.path, format);
    mkdirSync(root);
    await applyLayer(stream(bytes), root);
    assert.deepEqual(
      (await describeTree(root)).map(line => line.replace(/ = .*/, "")).sort(),
      expected.map(line => line.replace(/ = .*/, "")).sort(),
    );
  }
  const pack = tar.pack();
  pack.entry({ name: `${"n".repeat(150)}/é`, mode: 0o640 }, "stream");
  pack.finalize();
  const root = join(dir.path, "stream");
  mkdirSync(root);
  await applyLayer(Readable.from(pack), root);
  assert.equal(readFileSync(join(root, "n".repeat(150), "é"), "utf8"), "stream");
});

test("what is packed is what GNU tar reads", async () => {
  using dir = tempDir();
  const source = join(dir.path, "source");
  const root = join(dir.path, "root");
  mkdirSync(source);
  mkdirSync(root);
  await makeTree(source, {
    [`${"directory-with-a-long-name/".repeat(6)}${"f".repeat(120)}`]: "long",
    ünïcode: { kind: "file", data: "u", mtime: 1_600_000_000 },
    [`ln${"k".repeat(30)}`]: { kind: "symlink", target: "t".repeat(140) },
    empty: { kind: "dir", mode: 0o1777 },
    mode0: { kind: "file", data: "secret", mode: isRoot ? 0 : 0o400 },
    pipe: { kind: "fifo" },
    big: { kind: "file", data: "b".repeat(600_000) },
    bigtwin: { kind: "link", to: "big" },
  });
  const chunks: Uint8Array[] = [];
  for await (const chunk of packTree({ root: source })) chunks.push(chunk);
  const file = join(dir.path, "t.tar");
  writeFileSync(file, Buffer.concat(chunks));
  const complaints = execFileSync("tar", ["-C", root, "--same-permissions", "-xf", file], {
    encoding: "utf8",
  });
  assert.equal(complaints, "");
  assert.deepEqual(await describeTree(root, { times: true }), await describeTree(source, { times: true }));
});

test(
  "owners, setuid bits, capabilities and devices survive",
  { skip: isRoot ? false : "needs root" },
  async () => {
    using dir = tempDir();
    const capability = Buffer.from([1, 0, 0, 2, 0x80, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    const { skipped } = await applyLayer(
      stream(
        archive([
          {
            name: "su",
            data: "x",
            mode: 0o6755,
            uid: 33,
            gid: 34,
            xattrs: [{ name: "user.note", value: Buffer.from([0, 10, 255, 61]) }],
          },
          { name: "cap", data: "x", uid: 1000, xattrs: [{ name: "security.capability", value: capability }] },
          { name: "far", data: "x", uid: 3_000_000, gid: 4_000_000_000 },
          { name: "null", type: "char", devMajor: 1, devMinor: 3, mode: 0o666 },
          {
            name: "overlay",
            data: "x",
            xattrs: [{ name: "trusted.overlay.opaque", value: Buffer.from("y") }],
          },
          { name: "time", data: "x", mtime: 1_234_567_890 },
          { name: "dirtime/", type: "directory", mode: 0o755, mtime: 1_234_567_890 },
          { name: "dirtime/late", data: "x" },
        ]),
      ),
      dir.path,
    );
    assert.deepEqual(skipped, []);
    const lines = await describeTree(dir.path);
    assert.ok(lines.includes('su: file 6755 "x" 33:34 user.note=000aff3d'), lines.join("\n"));
    assert.ok(
      lines.includes(`cap: file 644 "x" 1000:0 security.capability=${capability.toString("hex")}`),
      lines.join("\n"),
    );
    assert.ok(lines.includes('far: file 644 "x" 3000000:4000000000'));
    assert.ok(lines.includes('overlay: file 644 "x" 0:0'));
    assert.ok(lines.includes("null: device 666 259 0:0"));
    assert.equal(lstatSync(join(dir.path, "time")).mtimeMs, 1_234_567_890_000);
    assert.equal(lstatSync(join(dir.path, "dirtime")).mtimeMs, 1_234_567_890_000);
    assert.ok(existsSync(join(dir.path, "dirtime/late")));
  },
);
