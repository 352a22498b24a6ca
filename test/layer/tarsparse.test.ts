// Goal: archives with sparse files, in every form that GNU tar writes, give the files with their holes.
// Method: GNU tar writes archives of a sparse file; damaged maps are refused.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  closeSync,
  createReadStream,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { applyLayer } from "../../src/layer/apply.ts";
import { expectSound } from "../../src/layer/tarsparse.ts";
import { tempDir } from "../rig/tree.ts";

const MIB = 1024 * 1024;
const isGnuTar = execFileSync("tar", ["--version"]).includes("GNU tar");

/** A file with data in many places, so that its map is longer than what fits into a header. */
function writeSparse(file: string, places: number): void {
  const fd = openSync(file, "w");
  for (let i = 0; i < places; i++) writeSync(fd, `data ${i} `.repeat(700), (2 * i + 1) * MIB);
  closeSync(fd);
  execFileSync("truncate", ["-s", String((2 * places + 3) * MIB), file]);
}

for (const [name, options] of [
  ["old GNU", ["--format=gnu"]],
  ["PAX 0.0", ["--format=posix", "--sparse-version=0.0"]],
  ["PAX 0.1", ["--format=posix", "--sparse-version=0.1"]],
  ["PAX 1.0", ["--format=posix", "--sparse-version=1.0"]],
] as const) {
  test(`sparse files of the form ${name}`, { skip: !isGnuTar && "needs GNU tar" }, async () => {
    using dir = tempDir();
    const [source, target, archive] = ["source", "target", "a.tar"].map(part => join(dir.path, part));
    assert.ok(source !== undefined && target !== undefined && archive !== undefined);
    mkdirSync(join(source, "folder"), { recursive: true });
    mkdirSync(target);
    const files = ["folder/few", "many", "hole"];
    writeSparse(join(source, "folder/few"), 2);
    writeSparse(join(source, "many"), 60);
    writeSparse(join(source, "hole"), 0);
    writeFileSync(join(source, "plain"), "plain");
    execFileSync("tar", ["-cSf", archive, ...options, "-C", source, ...files, "plain"]);
    assert.ok(lstatSync(archive).size < 4 * MIB, "the archive is sparse itself");
    await applyLayer(createReadStream(archive), target);
    for (const file of files) {
      assert.ok(readFileSync(join(target, file)).equals(readFileSync(join(source, file))), file);
      assert.ok(lstatSync(join(target, file)).blocks * 512 < 2 * MIB, `${file} is sparse`);
    }
    assert.equal(readFileSync(join(target, "plain"), "utf8"), "plain");
  });
}

test("a damaged map is refused", () => {
  const sound = {
    size: 10,
    pieces: [
      { offset: 0, size: 2 },
      { offset: 4, size: 6 },
    ],
  };
  expectSound(sound, 8);
  for (const [file, stored] of [
    [sound, 7],
    [{ ...sound, size: 9 }, 8],
    [
      {
        size: 10,
        pieces: [
          { offset: 4, size: 2 },
          { offset: 0, size: 2 },
        ],
      },
      4,
    ],
    [{ size: 10, pieces: [{ offset: 0, size: -1 }] }, -1],
    [{ size: 2 ** 60, pieces: [] }, 0],
  ] as const)
    assert.throws(() => expectSound(file, stored), { code: "content-corrupt" });
});
