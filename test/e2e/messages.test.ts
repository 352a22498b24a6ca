// What users see when something is wrong: the place, what to do, and the exit code; never a stack trace.
import assert from "node:assert/strict";
import { test } from "node:test";
import { bake, type BakeOutcome, baseStage, target, tempProject } from "../rig/bake.ts";

interface Case {
  readonly name: string;
  readonly files: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  readonly exitCode: number;
  readonly message: RegExp;
}

const cases: readonly Case[] = [
  {
    name: "a misspelt parent is underlined, with the name that was meant",
    files: { "bake.hcl": `target "_base" {}\n\ntarget "default" {\n  inherits = ["_bas"]\n}\n` },
    exitCode: 2,
    message: /bake\.hcl:4:\d+\n.*inherits = \["_bas"\]\n.*\^+.*_base/,
  },
  {
    name: "a bake file that does not parse shows the line",
    files: { "bake.hcl": `target "default" {\n  tags = [\n}\n` },
    exitCode: 2,
    message: /bake\.hcl:\d+:\d+\n/,
  },
  {
    name: "a target that does not exist names the one that was meant",
    files: { "bake.hcl": `target "server" {}\n` },
    args: ["sever"],
    exitCode: 2,
    message: /"?sever"?[^]*server/,
  },
  {
    name: "a Dockerfile with an unknown instruction names the one that was meant",
    files: { "bake.hcl": target("default"), Dockerfile: `${baseStage}RUNN echo hi\n` },
    exitCode: 2,
    message: /RUNN[^]*Dockerfile:5:1\n.*RUNN echo hi\n.*\^+.*RUN/,
  },
  {
    name: "a missing Dockerfile is named",
    files: { "bake.hcl": target("default", `dockerfile = "docker/Dockerfil"`) },
    exitCode: 2,
    message: /docker\/Dockerfil/,
  },
  {
    name: "a missing file of COPY is named, with the line that wants it",
    files: { "bake.hcl": target("default"), Dockerfile: `${baseStage}COPY nothere /x\n` },
    exitCode: 2,
    message: /"\/nothere" does not exist\n[^]*Dockerfile:5[^]*it was looked for in "\//,
  },
  {
    name: "a failed command shows its line and exit code",
    files: { "bake.hcl": target("default"), Dockerfile: `${baseStage}RUN exit 3\n` },
    exitCode: 1,
    message: /exit code:? 3[^]*Dockerfile:5/,
  },
  {
    name: "a folder without a bake file says which names are looked for",
    files: {},
    exitCode: 2,
    message: /docker-bake\.hcl/,
  },
  {
    name: "an unknown option names the one that was meant",
    files: { "bake.hcl": target("default") },
    args: ["--no-cach"],
    exitCode: 2,
    message: /--no-cach[^]*--no-cache/,
  },
];

for (const { name, files, args = [], exitCode, message } of cases) {
  test(name, async () => {
    using project = tempProject();
    for (const [path, text] of Object.entries(files)) project.write(path, text);
    const outcome = await bake(["--progress=plain", ...args], project);
    assert.match(outcome.stderr, message);
    assert.equal(outcome.exitCode, exitCode, outcome.stderr);
    assertNoStack(outcome);
  });
}

test("--print needs no Dockerfile, no runtime and no state", async () => {
  using project = tempProject();
  project.write("bake.hcl", `target "default" {\n  tags = ["a:1"]\n}\n`);
  const { exitCode, stdout } = await bake(["--print"], {
    ...project,
    root: "/dev/null/none",
    env: { PATH: "/nowhere" },
  });
  assert.equal(exitCode, 0);
  const printed: unknown = JSON.parse(stdout);
  assert.deepEqual(printed, {
    group: { default: { targets: ["default"] } },
    target: { default: { context: ".", dockerfile: "Dockerfile", tags: ["a:1"] } },
  });
});

test("help goes to standard output and the exit code is 0", async () => {
  using project = tempProject();
  const { exitCode, stdout, stderr } = await bake(["--help"], project);
  assert.equal(exitCode, 0);
  assert.match(stdout, /--print/);
  assert.equal(stderr, "");
});

function assertNoStack({ stderr }: BakeOutcome): void {
  assert.doesNotMatch(stderr, /^\s+at .*(:\d+:\d+|node:)/m);
}
