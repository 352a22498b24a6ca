// The program as a process, without building: arguments, printing, errors and exit codes.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { projectRoot } from "../rig/sourcetree.ts";
import { tempDir } from "../rig/tree.ts";

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
}

function start(cwd: string, args: readonly string[], { env = {} }: RunOptions = {}) {
  const { PATH = "", HOME = "" } = process.env;
  const child = spawn(
    process.execPath,
    ["--import", import.meta.resolve("tsx"), join(projectRoot, "src/cli/main.ts"), ...args],
    {
      cwd,
      env: { PATH, HOME, ...env },
      stdio: ["pipe", "pipe", "pipe"],
    },
  );
  child.stdin.on("error", () => undefined);
  return child;
}

async function run(cwd: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const child = start(cwd, args, options);
  child.stdin.end(options.input ?? "");
  const [stdout, stderr, code] = await Promise.all([
    child.stdout.toArray(),
    child.stderr.toArray(),
    new Promise<number | null>(resolve => child.once("close", resolve)),
  ]);
  return {
    code,
    stdout: Buffer.concat(stdout as Buffer[]).toString(),
    stderr: Buffer.concat(stderr as Buffer[]).toString(),
  };
}

function project(text: string) {
  const dir = tempDir();
  writeFileSync(join(dir.path, "docker-bake.hcl"), text);
  return dir;
}

const APP = `variable "V" { default = "1" }
target "default" {
  tags = ["app:\${V}"]
}
target "debug" {}
`;

test("--print gives the targets as JSON on standard output and nothing else", async () => {
  using dir = project(APP);
  const { code, stdout, stderr } = await run(dir.path, ["--print"]);
  assert.equal(stderr, "");
  assert.deepEqual(JSON.parse(stdout), {
    group: { default: { targets: ["default"] } },
    target: { default: { context: ".", dockerfile: "Dockerfile", tags: ["app:1"] } },
  });
  assert.equal(code, 0);
});

test("variables come from --var before the environment, and --set changes targets", async () => {
  using dir = project(APP);
  const tags = async (args: readonly string[], env: Readonly<Record<string, string>>): Promise<unknown> => {
    const { stdout } = await run(dir.path, ["--print", ...args], { env });
    return (JSON.parse(stdout) as { target: { default: { tags: unknown } } }).target.default.tags;
  };
  assert.deepEqual(await tags([], { V: "2" }), ["app:2"]);
  assert.deepEqual(await tags(["--var", "V=3"], { V: "2" }), ["app:3"]);
  assert.deepEqual(await tags(["--set=default.tags=x"], {}), ["x"]);
});

test("switches take a value but not the next word, and flags beat --set", async () => {
  using dir = project(APP);
  const { stdout, code } = await run(dir.path, [
    "--no-cache",
    "default",
    "--pull=false",
    "--push=0",
    "--print",
    "--set",
    "*.no-cache=false",
  ]);
  assert.equal(code, 0);
  const { target } = JSON.parse(stdout) as { target: Record<string, Record<string, unknown>> };
  assert.deepEqual(
    [target["default"]?.["no-cache"], target["default"]?.["pull"], target["default"]?.["output"]],
    [true, false, undefined],
  );
});

test("-f reads standard input and named files, in that order of merging", async () => {
  using dir = project(APP);
  const { stdout } = await run(dir.path, ["-f", "docker-bake.hcl", "-f", "-", "--print"], {
    input: `{"target":{"default":{"target":"dev"}}}`,
  });
  assert.match(stdout, /"target": "dev"/);
  const other = await run(dir.path, ["--print", "-f=docker-bake.hcl"]);
  assert.equal(other.code, 0, other.stderr);
});

test("--list shows targets and variables", async () => {
  using dir = project(APP);
  assert.equal(
    (await run(dir.path, ["--list", "targets"])).stdout,
    "TARGET    DESCRIPTION\ndebug\ndefault\n",
  );
  assert.deepEqual(JSON.parse((await run(dir.path, ["--list=type=variables,format=json"])).stdout), [
    { name: "V", value: "1" },
  ]);
  const both = await run(dir.path, ["--list=targets", "--print"]);
  assert.equal(both.code, 2);
});

test("wrong usage ends with 2 and says what was meant", async () => {
  using dir = project(APP);
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [["--pusj"], /^error: unknown option "--pusj"\n {2}did you mean "--push"\?\n$/],
    [["--push=maybe"], /^error: invalid value "maybe" for --push: expected true or false\n$/],
    [["--progress=plian", "--print"], /^error: invalid progress mode "plian"\n {2}did you mean "plain"\?\n$/],
    [
      ["--allow=network.hots", "--print"],
      /unknown entitlement key "network.hots"\n {2}did you mean "network.host"/,
    ],
    [["-j", "0"], /-j, --max-parallelism/],
    [["-f"], /-f, --file/],
    [
      ["-f", "docker-bake.hlc", "--print"],
      /there is no bake file "docker-bake.hlc"\n {2}did you mean "docker-bake.hcl"\?/,
    ],
    [["-f", ".", "--print"], /is a folder/],
    [["defualt", "--print"], /did you mean "default"\?/],
    [["debug"], /"bake -- debug"/],
  ];
  for (const [args, message] of cases) {
    const { code, stdout, stderr } = await run(dir.path, args);
    assert.match(stderr, message);
    assert.equal(stdout, "");
    assert.equal(code, 2, `${args.join(" ")}: ${stderr}`);
  }
});

test("a mistake in a bake file is shown with its line, and ends with 2", async () => {
  using dir = project(`target "default" {\n  tags = [NOPE]\n}\n`);
  const { code, stderr } = await run(dir.path, ["--print"]);
  assert.equal(code, 2);
  assert.match(stderr, /docker-bake\.hcl:2:11\n +2 \| +tags = \[NOPE\]\n +\| +\^\^\^\^/);
  assert.doesNotMatch(stderr, /\n {4}at /, "no stack trace");
});

test("a folder without a bake file says what to do", async () => {
  using dir = tempDir();
  const { code, stderr } = await run(dir.path, ["--print"]);
  assert.equal(code, 2);
  assert.match(
    stderr,
    /there is no bake file in this folder\n {2}create a docker-bake\.hcl, or name a file with -f/,
  );
});

test("a target named like a command is reached after --", async () => {
  using dir = project(APP);
  const { stdout, code } = await run(dir.path, ["--print", "--", "debug"]);
  assert.equal(code, 0);
  assert.match(stdout, /"debug": \{/);
});

test("what cannot be built is told before anything is opened", async () => {
  using dir = project(`target "default" {\n  context = "nope"\n}\n`);
  const { code, stderr } = await run(dir.path, ["--root", join(dir.path, "state")]);
  assert.equal(code, 2);
  assert.match(stderr, /target "default": build context "nope" does not exist/);
});

test("--debug adds where an error comes from", async () => {
  using dir = project(APP);
  const { stderr } = await run(dir.path, ["nope", "--print", "--debug"]);
  assert.match(stderr, /BakeError: unknown target "nope"\n {4}at /);
  const usage = await run(dir.path, ["du", "--debug", "--format", "xml"]);
  assert.match(usage.stderr, /\n {4}at /);
});

test("--help and --version go to standard output and end with 0", async () => {
  using dir = tempDir();
  for (const args of [["--help"], ["doctor", "--help"], ["build-llb", "-h"], ["--version"]]) {
    const { code, stdout, stderr } = await run(dir.path, args);
    assert.equal(code, 0);
    assert.equal(stderr, "");
    assert.match(stdout, args[0] === "--version" ? /^bake \d+\.\d+\.\d+\n$/ : /^Usage: bake/);
  }
});

test("a reader that stops reading is no failure", { timeout: 60_000 }, async t => {
  const names = Array.from({ length: 3000 }, (_, i) => `t${i}`);
  using dir = project(
    `${names.map(name => `target "${name}" {}`).join("\n")}\ngroup "default" {\n  targets = ${JSON.stringify(names)}\n}\n`,
  );
  const child = start(dir.path, ["--print"]);
  t.after(() => child.kill("SIGKILL"));
  const exited = new Promise<number | null>(resolve => child.once("exit", resolve));
  const stderr = child.stderr.toArray();
  child.stdout.destroy();
  assert.equal(await exited, 0);
  assert.equal(Buffer.concat((await stderr) as Buffer[]).toString(), "");
});

test("Ctrl-C while waiting for input ends with 130", { timeout: 60_000 }, async t => {
  using dir = tempDir();
  const child = start(dir.path, ["-f", "-", "--print"]);
  t.after(() => child.kill("SIGKILL"));
  const closed = new Promise<number | null>(resolve => child.once("close", resolve));
  const stderr = child.stderr.toArray();
  child.stdout.resume();
  // More than a pipe holds: when all is written, the program is reading.
  await new Promise<void>(resolve => child.stdin.write(" ".repeat(1 << 20), () => resolve()));
  child.kill("SIGINT");
  assert.equal(await closed, 130);
  assert.equal(Buffer.concat((await stderr) as Buffer[]).toString(), "interrupted\n");
});

test("what is no LLB is refused in words", async () => {
  using dir = tempDir();
  mkdirSync(join(dir.path, "ctx"));
  const bad = await run(dir.path, ["build-llb", "--local", "ctx"], { input: "not llb" });
  assert.match(bad.stderr, /--local "ctx" is not of the form NAME=FOLDER/);
  const llb = await run(dir.path, ["debug", "dump-llb"], { input: "not llb at all" });
  assert.equal(llb.code, 2);
  assert.match(llb.stderr, /^error: /);
});
