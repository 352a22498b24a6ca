// Symbolic modes give what chmod gives.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseModeChange } from "../../src/layer/modestring.ts";
import { tempDir } from "../rig/tree.ts";

test("changes agree with the chmod program, for files and directories", () => {
  using dir = tempDir();
  const [file, folder] = [join(dir.path, "f"), join(dir.path, "d")];
  writeFileSync(file, "");
  mkdirSync(folder);
  for (const text of [
    "u+x",
    "go-rwx",
    "a=rX",
    "u=rwX,go=rX",
    "g=u",
    "o=g-w",
    "ug+s",
    "+t",
    "u-s",
    "=r",
    "a+X",
    "g+s,o=t",
    "u=rws",
    "755",
    "4711",
    "o=u,g-x",
  ]) {
    for (const start of [0o644, 0o750, 0o4711, 0o2640, 0o1777, 0o000]) {
      for (const [path, isDirectory] of [
        [file, false],
        [folder, true],
      ] as const) {
        // chmod with digits keeps a directory's setgid bit; an image's mode is what was written.
        if (isDirectory && /^\d/.test(text)) continue;
        chmodSync(path, start);
        execFileSync("sh", ["-c", 'umask 0; exec chmod -- "$1" "$2"', "sh", text, path]);
        assert.equal(
          parseModeChange(text)(start, isDirectory).toString(8),
          (statSync(path).mode & 0o7777).toString(8),
          `${text} on ${start.toString(8)} ${path}`,
        );
      }
    }
  }
});

test("malformed modes are named", () => {
  for (const text of ["", "x", "u", "+q", "u+x,", "8", "u+x;g+x"])
    assert.throws(() => parseModeChange(text), { code: "file-operation" }, text);
});
