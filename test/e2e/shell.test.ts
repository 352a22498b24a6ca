// Goal: a person can look around where a step stands or failed: with its files, mounts, secrets, user and directory.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import {
  bake,
  baseStage,
  cleanEnvironment,
  program,
  type Project,
  target,
  tempProject,
} from "../rig/bake.ts";
import { skipWithoutRuntime } from "../rig/engine.ts";

const options = { skip: skipWithoutRuntime };

function projectOf(...lines: readonly string[]): Project {
  const project = tempProject();
  project.write("bake.hcl", target("app", 'secret = ["id=token,env=TOKEN"]', 'dockerfile = "Dockerfile"'));
  project.write(
    "Dockerfile",
    `${baseStage}FROM base AS build\nENV GREETING=hello\nWORKDIR /src\nRUN echo one > file\n${lines.join("\n")}\n`,
  );
  return project;
}

async function shell(project: Project, ...args: readonly string[]) {
  return await bake(["shell", "--progress=quiet", ...args], { ...project, env: { TOKEN: "hush" } });
}

test("a command sees the result of a target as a container of it would", options, async () => {
  using project = projectOf("USER 7:8", "RUN true");
  const { exitCode, stdout } = await shell(
    project,
    "app",
    "--",
    "sh",
    "-c",
    'echo "$GREETING $(pwd) $(id -u) $(cat file)"; exit 5',
  );
  assert.equal(stdout, "hello /src 7 one\n");
  assert.equal(exitCode, 5);
});

test("a shell reads its commands from standard input, and what it does is thrown away", options, async () => {
  using project = projectOf();
  const input = "cat file\necho two > file\n";
  for (let round = 0; round < 2; round++) {
    const { stdout } = await bake(["shell", "--progress=quiet", "app@build"], {
      ...project,
      env: { TOKEN: "x" },
      input,
    });
    assert.equal(stdout, "one\n");
  }
});

test("a step is opened after its command, or before it", options, async () => {
  using project = projectOf(
    "RUN echo two >> file",
    "RUN --mount=type=secret,id=token,target=/s --mount=type=tmpfs,target=/t echo three >> file",
  );
  const see = async (...args: readonly string[]): Promise<string> =>
    (await shell(project, ...args, "--", "sh", "-c", "cat file | tr '\\n' ' '")).stdout;
  assert.equal(await see("app@echo two"), "one two ");
  assert.equal(await see("--before", "app@echo two"), "one ");
  assert.equal(await see("app@build 3/4"), "one two ");
  assert.equal(await see("app@build"), "one two three ");
  const { stdout } = await shell(
    project,
    "--before",
    "app@three",
    "--",
    "sh",
    "-c",
    "cat /s; grep -c ' /t ' /proc/mounts",
  );
  assert.equal(stdout, "hush1\n");
});

test("without a target what follows -- is the command all the same", options, async () => {
  using project = projectOf("RUN echo made > /file");
  project.write("bake.hcl", `group "default" { targets = ["app"] }\n${project.read("bake.hcl")}`);
  const { stdout, exitCode } = await shell(project, "--", "cat", "/file", "--", "/file");
  assert.deepEqual([stdout, exitCode], ["made\nmade\n", 0]);
});

test("a step that fails is opened as it left its container", options, async () => {
  using project = projectOf("RUN --mount=type=tmpfs,target=/t echo half > file; exit 3");
  const { exitCode, stdout, stderr } = await shell(project, "app", "--", "cat", "file");
  assert.deepEqual([exitCode, stdout], [0, "half\n"]);
  assert.match(stderr, /exit 3" failed; this is its container as it left it/);
});

test(
  "--on-error=shell opens a terminal where the build failed, then the build has failed",
  { skip: skipWithoutRuntime || withoutScript() },
  () => {
    using project = projectOf("RUN echo half > file; exit 3");
    const { stdout, status } = spawnSync(
      "script",
      ["-qec", `'${process.execPath}' '${program}' --progress=plain --on-error=shell app`, "/dev/null"],
      {
        cwd: project.cwd,
        env: {
          ...cleanEnvironment(),
          LLBAKE_ROOT: project.root,
          BUILDX_BAKE_ENTITLEMENTS_FS: "0",
          TOKEN: "hush",
        },
        input: 'echo "seen $(cat file) $(test -t 0 && echo terminal)"\nexit\n',
        encoding: "utf8",
        timeout: 60_000,
      },
    );
    assert.match(stdout, /seen half terminal/);
    assert.match(stdout, /command failed with exit code 3/);
    assert.equal(status, 1);
  },
);

test("what cannot be opened says what can", options, async () => {
  using project = projectOf("RUN echo two >> file");
  const unknown = await shell(project, "app@nothere", "--", "true");
  assert.equal(unknown.exitCode, 2);
  assert.match(
    unknown.stderr,
    /target "app" has no step "nothere"\n.*name one of its steps:[^]*\[build 1\/3\] WORKDIR \/src/,
  );
  const several = await shell(project, "app@echo", "--", "true");
  assert.match(several.stderr, /"echo" is in the names of 2 steps/);
  const quiet = await bake(["--on-error=shell", "app"], { ...project, input: "" });
  assert.deepEqual([quiet.exitCode, /needs a terminal/.test(quiet.stderr)], [2, true]);
  project.write("Dockerfile", "FROM scratch\nCOPY bake.hcl /\n");
  const bare = await shell(project, "app");
  assert.equal(bare.exitCode, 2);
  assert.match(bare.stderr, /no shell in the container/);
});

function withoutScript(): string | false {
  return spawnSync("script", ["--version"]).error === undefined
    ? false
    : "needs the program script (bsdutils)";
}
