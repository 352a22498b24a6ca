// The repository's own bake file: llbake packs and checks itself, and what it packed works.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { bake, bakeOk, busyboxDir, executedSteps, type Project, stepsOf, tempProject } from "../rig/bake.ts";

// With entitlements, as users run it: the flag is the one that the demo's script gives.
const env = { BUSYBOX_DIR: busyboxDir, BUILDX_BAKE_ENTITLEMENTS_FS: "1" };
const allow = `--allow=fs.read=${busyboxDir}`;

/** What the demo's bake file reads, and no more: its outputs must not land in this repository. */
const inputs = ["bake.hcl", "docker", "dist", "docs", "schemas", "README.md", "LICENSE", "package.json"];

test("the demo", async t => {
  using project = tempProject();
  project.copy(...inputs, "node_modules/koffi", "node_modules/@koromix");

  await t.test("builds, and the shared stage runs once", async () => {
    const { stderr } = await bakeOk([allow, "--progress=rawjson"], { ...project, env });
    const packed = executedSteps(stderr).filter(({ name }) => /RUN mkdir bin/.test(name));
    assert.equal(packed.length, 1);
  });

  await t.test("executes nothing the second time", async () => {
    const { stderr } = await bakeOk([allow, "--progress=rawjson"], { ...project, env });
    const executed = executedSteps(stderr).filter(({ name }) => /RUN|COPY|WORKDIR/.test(name));
    assert.deepEqual(executed, []);
  });

  await t.test("checks the package in a container", async () => {
    const { stderr } = await bakeOk([allow, "--progress=rawjson", "--no-cache", "test"], { ...project, env });
    const logs = stepsOf(stderr).map(step => step.log);
    assert.ok(
      logs.some(log => /\d\d+ files match their sums/.test(log)),
      "the sums are checked",
    );
  });

  await t.test("packs a program that runs", () => {
    const packed = join(project.cwd, "out/llbake/bin/bake");
    const run = spawnSync(packed, ["--print", "base"], {
      cwd: project.cwd,
      env: { PATH: process.env["PATH"], ...env },
    });
    assert.equal(run.status, 0, run.stderr.toString());
    assert.match(run.stdout.toString(), /docker\/base\.Dockerfile/);
  });

  await t.test("writes archives that skopeo reads", () => {
    assert.equal(labelsOf(project, "llbake")["org.opencontainers.image.title"], "llbake");
    assert.equal(labelsOf(project, "llbake-carrier")["org.opencontainers.image.version"], "0.1.0");
  });

  await t.test("fails its check when the package carries another version", async () => {
    const { exitCode, stderr } = await bake([allow, "--progress=plain", "test"], {
      ...project,
      env: { ...env, VERSION: "9.9.9" },
    });
    assert.equal(exitCode, 1, stderr);
    assert.match(stderr, /check\.Dockerfile:\d+/);
  });
});

function labelsOf(project: Project, name: string): Readonly<Record<string, string>> {
  const archive = join(project.cwd, `out/${name}.oci.tar`);
  assert.ok(existsSync(archive), archive);
  const { status, stdout, stderr } = spawnSync("skopeo", ["inspect", `oci-archive:${archive}`]);
  assert.equal(status, 0, stderr.toString());
  const { Labels } = JSON.parse(stdout.toString()) as { readonly Labels: Readonly<Record<string, string>> };
  return Labels;
}
