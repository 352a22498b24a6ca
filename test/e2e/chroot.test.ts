// Goal: a build works where the root folder of the process is not that of its mount namespace, as in build chroots.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { baseStage, cleanEnvironment, program, target, tempProject } from "../rig/bake.ts";
import { isRoot } from "../rig/tree.ts";

test("steps run in a chroot", { skip: isRoot ? false : "needs root, to change the root folder" }, () => {
  using project = tempProject();
  project.write("bake.hcl", target("default", 'output = ["type=local,dest=out"]'));
  project.write("Dockerfile", `${baseStage}RUN echo one > /a\nRUN echo two > /b\n`);
  const root = join(project.root, "..", "root");
  mkdirSync(root);
  const script = `mount --rbind / "$1" && exec chroot "$1" sh -c 'cd "$0" && exec "$@"' "$2" "$3" "$4"`;
  const { status, stderr } = spawnSync(
    "unshare",
    [
      "--mount",
      "--propagation",
      "private",
      "sh",
      "-c",
      script,
      "sh",
      root,
      project.cwd,
      process.execPath,
      program,
    ],
    {
      env: { ...cleanEnvironment(), LLBAKE_ROOT: project.root, BUILDX_BAKE_ENTITLEMENTS_FS: "0" },
      encoding: "utf8",
    },
  );
  assert.equal(status, 0, stderr);
  assert.equal(project.read("out/a") + project.read("out/b"), "one\ntwo\n");
});
