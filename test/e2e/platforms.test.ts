// Goal: builds for several platforms: what is emulated, what is shared, what comes out, and what is said where no
// emulator is. Method: the program, QEMU, busyboxes of other processors, a real registry, skopeo as the reader.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { formatPlatform, type Platform, platformFromNode } from "../../src/oci/platform.ts";
import { bake, bakeOk, executedSteps, type Project, target, tempProject } from "../rig/bake.ts";
import { skipWithoutRuntime } from "../rig/engine.ts";
import { copyBusyboxes, foreignDir, foreignProblem } from "../rig/foreign.ts";
import { skipWithoutSkopeo, startRegistry } from "../rig/registry.ts";

const native = platformFromNode(process.platform, process.arch);
const skip =
  skipWithoutRuntime ||
  skipWithoutSkopeo ||
  (native.architecture === "amd64" ? false : "written for a 64-bit PC") ||
  ["arm64", "arm", "s390x"].map(foreignProblem).find(problem => problem !== false) ||
  false;

/** The tools of the machine that builds, as a target that others link to. */
const tools = target(
  "tools",
  `dockerfile-inline = "FROM scratch\\nCOPY --from=host busybox /bin/busybox\\nRUN [\\"/bin/busybox\\", \\"--install\\", \\"-s\\", \\"/bin\\"]\\nENV PATH=/bin\\n"`,
);

const dockerfile = `FROM --platform=$BUILDPLATFORM tools AS generate
COPY input /input
RUN cat /proc/sys/kernel/random/uuid > /id

FROM scratch AS neutral
COPY --from=generate /id /id
COPY input /input

FROM --platform=$BUILDPLATFORM tools AS cross
ARG TARGETPLATFORM TARGETARCH TARGETVARIANT BUILDPLATFORM
COPY --from=neutral / /from/
RUN echo "$TARGETPLATFORM $TARGETARCH $TARGETVARIANT $BUILDPLATFORM" > /args

FROM scratch AS system
ARG TARGETARCH
COPY --from=foreign $TARGETARCH/busybox /bin/busybox

FROM system
COPY --from=cross /args /from/id /
RUN ["/bin/busybox", "sh", "-c", "busybox uname -m > /machine"]
`;

function writeProject(project: Project, ...lines: readonly string[]): void {
  copyBusyboxes(join(project.cwd, "foreign"), ["arm64", "arm", "s390x"]);
  project.write("Dockerfile", dockerfile);
  project.write("input", "some input\n");
  project.write(
    "docker-bake.hcl",
    `${tools}target "app" {
  contexts = { tools = "target:tools", foreign = "foreign" }
  platforms = ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x"]
${lines.map(line => `  ${line}\n`).join("")}}
group "default" { targets = ["app"] }
`,
  );
}

interface Index {
  readonly mediaType: string;
  readonly manifests: readonly { readonly digest: string; readonly platform: Platform }[];
}

const skopeo = (...args: readonly string[]): string => execFileSync("skopeo", args, { encoding: "utf8" });
const rawIndex = (...image: readonly string[]): Index =>
  JSON.parse(skopeo("inspect", "--raw", ...image)) as Index;
const platforms = (index: Index): readonly string[] =>
  index.manifests.map(({ platform }) => formatPlatform(platform));

test("what says nothing of the platform runs once, the rest once for each platform", { skip }, async () => {
  using project = tempProject();
  writeProject(project, `output = ["type=local,dest=out"]`);
  const { stderr } = await bakeOk(["--progress=rawjson"], project);
  const names = executedSteps(stderr).map(({ name }) => name.replace(/^\[[^\]]*\] /, ""));
  const count = (pattern: RegExp): number => names.filter(name => pattern.test(name)).length;
  assert.equal(count(/^RUN \["\/bin\/busybox", "--install"/), 1);
  assert.equal(count(/^COPY input \/input/), 2, "in a native stage, and in one from scratch");
  assert.equal(count(/^RUN cat .*uuid/), 1);
  assert.equal(count(/^COPY --from=generate/), 1, "in a stage from scratch");
  assert.equal(count(/^RUN echo/), 4);
  assert.equal(count(/^RUN .*uname -m/), 4);

  const read = (platform: string, file: string): string => project.read(`out/${platform}/${file}`);
  assert.equal(read("linux_amd64", "args"), "linux/amd64 amd64  linux/amd64\n");
  assert.equal(read("linux_arm64", "args"), "linux/arm64 arm64  linux/amd64\n");
  assert.equal(read("linux_arm_v7", "args"), "linux/arm/v7 arm v7 linux/amd64\n");
  assert.equal(read("linux_s390x", "args"), "linux/s390x s390x  linux/amd64\n");
  const machines = ["amd64", "arm64", "arm_v7", "s390x"].map(name => read(`linux_${name}`, "machine"));
  assert.deepEqual(machines, ["x86_64\n", "aarch64\n", "armv7l\n", "s390x\n"]);
  const ids = ["amd64", "arm64", "arm_v7", "s390x"].map(name => read(`linux_${name}`, "id"));
  assert.equal(new Set(ids).size, 1);
});

test("an archive and a registry get one index with an image for each platform", { skip }, async () => {
  await using registry = await startRegistry();
  using project = tempProject();
  const name = `${registry.host}/team/app:1`;
  writeProject(project, `tags = ["${name}"]`, `output = ["type=oci,dest=out/app.tar", "type=registry"]`);
  await bakeOk(["--metadata-file=meta.json"], project);
  const all = ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x"];
  const archived = rawIndex(`oci-archive:${join(project.cwd, "out/app.tar")}`);
  assert.deepEqual(platforms(archived), all);
  const pushed = rawIndex("--tls-verify=false", `docker://${name}`);
  assert.deepEqual(platforms(pushed), all);
  assert.deepEqual(
    pushed.manifests.map(({ digest }) => digest),
    archived.manifests.map(({ digest }) => digest),
  );
  const meta = JSON.parse(project.read("meta.json")) as { app: Record<string, unknown> };
  assert.equal((meta.app["containerimage.descriptor"] as Index | undefined)?.mediaType, pushed.mediaType);
  // A copy of everything makes skopeo check every digest and size there is.
  skopeo(
    "copy",
    "--quiet",
    "--all",
    "--src-tls-verify=false",
    `docker://${name}`,
    `dir:${join(project.cwd, "copy")}`,
  );
  const { architecture, variant } = JSON.parse(
    skopeo(
      "--override-arch=arm",
      "--override-variant=v7",
      "inspect",
      "--config",
      "--tls-verify=false",
      `docker://${name}`,
    ),
  ) as Platform;
  assert.deepEqual([architecture, variant], ["arm", "v7"]);
});

/** A search path with all that builds need but emulators. */
function pathWithoutEmulators(project: Project): string {
  const folder = join(project.cwd, "..", "programs");
  mkdirSync(folder);
  for (const program of ["crun", "runc", "unshare", "sh", "mount"]) {
    const found = execFileSync("sh", ["-c", `PATH=$PATH:/usr/sbin command -v ${program} || true`], {
      encoding: "utf8",
    });
    if (found !== "") symlinkSync(found.trim(), join(folder, program));
  }
  return folder;
}

const oneStep = (command: string): string => `FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "${command}"]
`;

test(
  "cached steps of other platforms need no emulator; what has to run names line, target and remedy",
  { skip },
  async () => {
    using project = tempProject();
    const env = { PATH: pathWithoutEmulators(project) };
    execFileSync("cp", [join(foreignDir, "s390x/busybox"), join(project.cwd, "busybox")]);
    project.write("Dockerfile", oneStep("echo built > /x"));
    project.write(
      "docker-bake.hcl",
      `target "app" {\n  platforms = ["linux/s390x"]\n  output = ["type=local,dest=out"]\n}\ntarget "other" {\n  inherits = ["app"]\n  output = ["type=cacheonly"]\n}\n`,
    );
    const without = await bake(["--progress=plain", "app"], { ...project, env });
    assert.equal(without.exitCode, 1);
    assert.match(
      without.stderr,
      /error: cannot run a command for linux\/s390x on linux\/amd64: no emulator found: qemu-s390x-static is not on PATH/,
    );
    assert.match(without.stderr, /Dockerfile:3:1 {2}target "app"$/m);
    assert.match(without.stderr, /apt-get install qemu-user-static/);
    assert.match(without.stderr, /FROM --platform=\$BUILDPLATFORM/);

    const first = await bakeOk(["--progress=plain", "app"], project);
    assert.match(first.stderr, /^#\d+ emulated linux\/s390x$/m);
    const told = await bakeOk(["explain", "app"], project);
    assert.match(
      told.stdout,
      /^ +RAN +.*RUN .* {2}emulated linux\/s390x\n +because it was not built before$/m,
    );
    const cached = await bakeOk(["--progress=plain", "app"], { ...project, env });
    assert.doesNotMatch(cached.stderr, /emulated/);
    assert.equal(project.read("out/x"), "built\n");

    const both = await bake(["--progress=plain", "app", "other"], { ...project, env });
    assert.equal(both.exitCode, 0);
    project.write("Dockerfile", oneStep("echo again > /x"));
    const changed = await bake(["--progress=plain", "app", "other"], { ...project, env });
    assert.equal(changed.exitCode, 1);
    assert.match(changed.stderr, /Dockerfile:3:1 {2}targets "app", "other"$/m);
  },
);

test("a program of this machine runs for any platform, emulator or not", { skip }, async () => {
  using project = tempProject();
  const env = { PATH: pathWithoutEmulators(project) };
  execFileSync("cp", ["/bin/busybox", join(project.cwd, "busybox")]);
  project.write("Dockerfile", oneStep("echo built > /x"));
  project.write(
    "docker-bake.hcl",
    `target "default" {\n  platforms = ["linux/s390x"]\n  output = ["type=local,dest=out"]\n}\n`,
  );
  const { stderr } = await bakeOk(["--progress=plain"], { ...project, env });
  assert.doesNotMatch(stderr, /emulated/);
  assert.equal(project.read("out/x"), "built\n");
});
