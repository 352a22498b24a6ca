// Goal: a copy that is asked to (ADD) extracts what is an archive, by what it holds, and copies all else as it is.
// Method: archives made by tar(1), in every compression it can do here, and files that only look like archives.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, linkSync, lstatSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { copy, local, scratch, type State } from "../../src/llb/mod.ts";
import { engineRig } from "../rig/engine.ts";
import { describeTree } from "../rig/tree.ts";

test("attemptUnpack extracts archives of each compression and copies what is none", async t => {
  await using rig = await engineRig();
  const context = join(rig.dir.path, "context");
  mkdirSync(join(context, "in/d"), { recursive: true });
  rig.locals.set("context", context);
  writeFileSync(join(context, "in/d/f"), "content");
  linkSync(join(context, "in/d/f"), join(context, "in/d/hard"));
  symlinkSync("f", join(context, "in/d/l"));
  chmodSync(join(context, "in/d/f"), 0o750);
  const flags: Readonly<Record<string, string>> = {
    "": "-cf",
    ".gz": "-czf",
    ".bz2": "-cjf",
    ".xz": "-cJf",
    ".zst": "--zstd -cf",
  };
  const from = local("context", { uniqueId: "context" });
  const unpacked = (name: string): State =>
    scratch().file(copy(from, `/${name}`, "/to/", { attemptUnpack: true, createDestPath: true }));
  for (const [ending, flag] of Object.entries(flags)) {
    const name = `archive.tar${ending}`;
    try {
      execFileSync("tar", [...flag.split(" "), join(context, name), "-C", join(context, "in"), "d"], {
        stdio: "ignore",
      });
    } catch {
      t.diagnostic(`tar cannot make ${name} here`);
      continue;
    }
    assert.deepEqual(
      (await describeTree(await rig.files(unpacked(name)), { owners: false })).filter(line =>
        line.startsWith("to/d/"),
      ),
      ['to/d/f: file 750 "content"', 'to/d/hard: file 750 "content" = to/d/f', "to/d/l: symlink -> f"],
      name,
    );
    // By what it holds, not by its name; and only when asked.
    writeFileSync(join(context, "renamed"), readFileSync(join(context, name)));
    assert.ok(
      (await describeTree(await rig.files(unpacked("renamed")))).some(line => line.startsWith("to/d/f:")),
      name,
    );
    const plain = await rig.files(scratch().file(copy(from, `/${name}`, "/x")));
    assert.ok(lstatSync(join(plain, "x")).isFile());
  }
  for (const [name, bytes] of [
    ["text.tar", Buffer.from("no archive")],
    ["empty.tar.gz", Buffer.alloc(0)],
    ["zeros.tar", Buffer.alloc(1024)],
    ["half.tar.gz", Buffer.from([0x1f, 0x8b, 8, 0])],
  ] as const) {
    writeFileSync(join(context, name), bytes);
    const files = await rig.files(unpacked(name));
    assert.deepEqual(readFileSync(join(files, "to", name)), bytes, name);
  }
});
