// Goal: `--check`, `--call` and `bake context` print what was asked and end with the right code. Real process, no
// container: the Dockerfiles are FROM scratch.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { projectRoot } from "../rig/sourcetree.ts";
import { makeTree, tempDir, type TempDir } from "../rig/tree.ts";

function run(dir: TempDir, args: readonly string[]) {
  const { PATH = "", HOME = "" } = process.env;
  const child = spawnSync(
    process.execPath,
    ["--import", import.meta.resolve("tsx"), join(projectRoot, "src/cli/main.ts"), ...args],
    { cwd: dir.path, env: { PATH, HOME, LLBAKE_ROOT: join(dir.path, ".state") }, encoding: "utf8" },
  );
  return { code: child.status, stdout: child.stdout, stderr: child.stderr };
}

async function project(): Promise<TempDir> {
  const dir = tempDir();
  await makeTree(dir.path, {
    "docker-bake.hcl": `group "default" { targets = ["app", "lib"] }
target "app" {
  description = "the app"
  contexts = { made = "target:lib" }
}
target "lib" { dockerfile = "lib/Dockerfile" }
`,
    Dockerfile: "FROM scratch\nCOPY --from=made /f /f\nCOPY big f /\nCMD run\n",
    "lib/Dockerfile": "# lib the parts\nFROM scratch AS lib\nARG V=1\nCOPY f /f\n",
    ".dockerignore": "big.log\n",
    f: "12",
    big: "123456789",
  });
  return dir;
}

test("--check tells of every target, and ends with 1 when there are warnings", async () => {
  using dir = await project();
  const { code, stdout } = run(dir, ["--check"]);
  assert.equal(code, 1);
  assert.match(stdout, /^app\nthe app\n\nCheck complete, 1 warning has been found!\n\nWARNING: JSONArgs/);
  assert.match(stdout, /\nlib\n\nCheck complete, no warnings found.\n$/);
});

test("--call prints JSON beside the definition, and ignorestatus ends with 0", async () => {
  using dir = await project();
  const { code, stdout } = run(dir, ["--call=check,format=json,ignorestatus=true", "app"]);
  assert.equal(code, 0);
  const { target } = JSON.parse(stdout) as {
    readonly target: Readonly<
      Record<
        string,
        { readonly build: { readonly call?: string }; readonly check: { readonly warnings: unknown } }
      >
    >;
  };
  assert.equal(target["app"]?.build.call, "lint");
  assert.equal((target["app"].check.warnings as unknown[]).length, 1);
  assert.equal(target["lib"]?.check.warnings, null);
});

test("a question that nobody knows is an error with a suggestion", async () => {
  using dir = await project();
  const { code, stderr } = run(dir, ["--call=outlines", "lib"]);
  assert.equal(code, 2);
  assert.match(stderr, /unknown call "outlines"\n {2}did you mean "outline"\?/);
});

test("bake context lists what is read, the largest first when asked", async () => {
  using dir = await project();
  const { code, stdout } = run(dir, ["context", "--sort", "size"]);
  assert.equal(code, 0);
  assert.equal(
    stdout,
    `app: build context ${dir.path}
  9B  big
  2B  f
  total: 11B in 2 files

lib: build context ${dir.path}
  2B  f
  total: 2B in 1 file
`,
  );
});
