// Every folder of examples/ builds from a clean copy, gives what its README says, and is cached the second time.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { formatPlatform, type Platform, platformFromNode } from "../../src/oci/platform.ts";
import { bakeOk, busyboxDir, executedSteps, type Project, stepsOf, tempProject } from "../rig/bake.ts";
import { foreignDir, foreignProblem } from "../rig/foreign.ts";
import { projectRoot } from "../rig/sourcetree.ts";

// With entitlements, as the READMEs have it.
const env = { BUSYBOX_DIR: busyboxDir, FOREIGN_DIR: foreignDir, BUILDX_BAKE_ENTITLEMENTS_FS: "1" };
const allow = [`--allow=fs.read=${busyboxDir}`, `--allow=fs.read=${foreignDir}`];

/** What each example has to show, by its folder. The folder "watch" is built once here; watching has its own test. */
const checks: Readonly<Record<string, (project: Project) => void>> = {
  hello: ({ read }) => assert.equal(read("out/greeting"), "Hello, world!\n"),
  "shared-stages": ({ read }) => {
    assert.match(read("out/server/build-id"), /^[0-9a-f-]{36}\n$/);
    assert.equal(read("out/server/build-id"), read("out/client/build-id"));
    assert.equal(read("out/server/words"), "flour\nsalt\nwater\n");
  },
  includes: ({ read }) => {
    assert.equal(read("out/server/name"), "server\n");
    assert.equal(read("out/client/name"), "client\n");
    assert.equal(read("out/server/build-id"), read("out/client/build-id"));
  },
  matrix: ({ read }) => {
    const pages = ["en/plain", "en/loud", "fr/plain", "fr/loud"].map(name => read(`out/${name}/page`));
    assert.deepEqual(pages, ["Hello\n", "HELLO\n", "Bonjour\n", "BONJOUR\n"]);
  },
  "linked-targets": ({ cwd, read }) => {
    assert.match(read("out/report"), / 6 greeting\n/);
    const { status, stdout, stderr } = spawnSync("skopeo", [
      "inspect",
      "--config",
      `oci-archive:${join(cwd, "out/app.oci.tar")}`,
    ]);
    assert.equal(status, 0, stderr.toString());
    const { config } = JSON.parse(stdout.toString()) as { config: { Env: string[]; Cmd: string[] } };
    assert.deepEqual(config, {
      ...config,
      Env: ["PATH=/bin", "GREETING=hello"],
      Cmd: ["sh", "/app/start.sh"],
    });
  },
  "functions-and-variables": ({ read }) =>
    assert.equal(read("out/notes/notes"), "version 1.2.3\ntag notes:1.2.3\ntag notes:1.2\ntag notes:1\n"),
  ickfile: ({ read }) => assert.equal(read("out/built.txt"), "custom frontend built\n3\n"),
  mockerfile: ({ read }) => {
    assert.equal(read("out/etc/greeting"), "Hello from a Mockerfile\n");
    assert.match(read("out/usr/bin/greet"), /^#!\/bin\/sh\n/);
  },
  multiplatform: ({ cwd, read }) => {
    assert.equal(read("out/emulated/linux_arm64/machine"), "aarch64\n");
    assert.equal(read("out/emulated/linux_riscv64/machine"), "riscv64\n");
    const built = `on ${formatPlatform(platformFromNode(process.platform, process.arch))}: 3 words\n`;
    assert.equal(read("out/emulated/linux_arm64/program"), `for linux/arm64 ${built}`);
    const id = read("out/native/build-id");
    assert.equal(read("out/emulated/linux_riscv64/build-id"), id);
    const index = spawnSync("skopeo", ["inspect", "--raw", `oci-archive:${join(cwd, "out/cross.oci.tar")}`]);
    assert.equal(index.status, 0, index.stderr.toString());
    const { manifests } = JSON.parse(index.stdout.toString()) as { manifests: { platform: Platform }[] };
    assert.deepEqual(
      manifests.map(({ platform }) => formatPlatform(platform)),
      ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x"],
    );
  },
  watch: ({ read }) => assert.match(read("out/index.html"), /<p>Fresh bread every morning<\/p>/),
};

/** Why an example cannot be run here. */
const skips: Readonly<Record<string, string | false>> = {
  multiplatform: foreignProblem("arm64") || foreignProblem("riscv64"),
};

test("every example has its check", () => {
  const folders = readdirSync(join(projectRoot, "examples"), { withFileTypes: true }).filter(entry =>
    entry.isDirectory(),
  );
  const runnable = folders.map(({ name }) => name).filter(name => name !== "programmatic-llb");
  assert.deepEqual(runnable.sort(), Object.keys(checks).sort());
});

for (const [name, check] of Object.entries(checks)) {
  test(
    `the example ${name} gives what it promises, and is cached the second time`,
    { skip: skips[name] ?? false },
    async () => {
      using project = tempProject(`examples/${name}`);
      await bakeOk([...allow, "--progress=plain"], { ...project, env });
      check(project);
      const again = await bakeOk([...allow, "--progress=rawjson"], { ...project, env });
      check(project);
      const executed = executedSteps(again.stderr).filter(step =>
        /RUN|COPY|PLEASE|STASH|install /.test(step.name),
      );
      assert.deepEqual(executed, []);
      assert.ok(stepsOf(again.stderr).some(step => step.cached));
    },
  );
}
