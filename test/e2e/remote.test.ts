// Bake files at a URL, and entitlements, as a user meets them: the built program, real repositories, a real server.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { bake, bakeOk, busyboxDir, program, type Project, tempProject } from "../rig/bake.ts";
import { createRepository, serveGit, skipWithoutGit } from "../rig/gitserver.ts";

const options = { skip: skipWithoutGit };

/** A project with a bake file of three kinds of contexts. */
const files = {
  "docker-bake.hcl": `
    group "default" { targets = ["main", "part", "here"] }
    target "main" { output = ["type=local,dest=out/main"] }
    target "part" {
      context  = "part"
      contexts = { data = "./data" }
      output   = ["type=local,dest=out/part"]
    }
    target "here" {
      context    = BAKE_CMD_CONTEXT
      dockerfile = "cwd://Local"
      output     = ["type=local,dest=out/here"]
    }`,
  Dockerfile: "FROM scratch\nCOPY file /\n",
  file: "of the repository\n",
  "part/Dockerfile": "FROM scratch\nCOPY file /\nCOPY --from=data number /\n",
  "part/file": "of the part\n",
  "data/number": "7\n",
};

function expectBuilt({ read }: Project): void {
  assert.equal(read("out/main/file"), files.file);
  assert.equal(read("out/part/file"), files["part/file"]);
  assert.equal(read("out/part/number"), files["data/number"]);
  assert.equal(read("out/here/local"), "of this folder\n");
}

function localProject(): Project {
  const project = tempProject();
  project.write("Local", "FROM scratch\nCOPY local /\n");
  project.write("local", "of this folder\n");
  return project;
}

interface Printed {
  readonly target: Readonly<Record<string, { readonly context: string }>>;
}

test("a repository gives bake file and contexts", options, async () => {
  using project = localProject();
  createRepository(join(project.cwd, "../served/app")).commit(files);
  await using server = await serveGit(join(project.cwd, "../served"));
  const url = `${server.url}/app.git`;
  await bakeOk([url, "--progress=plain"], project);
  expectBuilt(project);
  const { stdout } = await bakeOk([`${url}#main`, "--print"], project);
  const { target } = JSON.parse(stdout) as Printed;
  assert.deepEqual(
    [target["main"]?.context, target["part"]?.context, target["here"]?.context],
    [`${url}#main`, `${url}#main:part`, "."],
  );
  const other = await bakeOk([url, "https://example.com/other.git", "here", "--print"], project);
  assert.equal(
    (JSON.parse(other.stdout) as Printed).target["here"]?.context,
    "https://example.com/other.git",
  );
});

test(
  "files beside a remote definition: by name from the repository, with cwd:// from here",
  options,
  async () => {
    using project = localProject();
    createRepository(join(project.cwd, "../served/app")).commit({
      ...files,
      "ci/more.hcl": `target "more" { tags = ["a"] }`,
    });
    await using server = await serveGit(join(project.cwd, "../served"));
    const url = `${server.url}/app.git`;
    project.write("mine.hcl", `target "more" { tags = ["b"] }`);
    const { stdout } = await bakeOk(
      [url, "-f", "cwd://mine.hcl", "-f", "ci/more.hcl", "more", "--print"],
      project,
    );
    assert.match(stdout, /"b"/);
    const missing = await bake([url, "-f", "none.hcl", "--print"], project);
    assert.equal(missing.exitCode, 2);
    assert.match(missing.stderr, /there is no bake file "none\.hcl" in .*\n.*cwd:\/\/none\.hcl/);
    const branch = await bake([`${url}#mian`, "--print"], project);
    assert.match(branch.stderr, /no branch or tag "mian"\n.*"main"/);
  },
);

test("a token in the environment opens a private repository", options, async () => {
  using project = localProject();
  createRepository(join(project.cwd, "../served/app")).commit(files);
  const authorization = `basic ${Buffer.from("x-access-token:t0ken").toString("base64")}`;
  await using server = await serveGit(join(project.cwd, "../served"), { authorization });
  const env = { BUILDX_BAKE_GIT_AUTH_TOKEN: "t0ken" };
  const { stderr } = await bakeOk([`${server.url}/app.git`, "--progress=plain"], { ...project, env });
  expectBuilt(project);
  assert.ok(!stderr.includes("t0ken"));
});

test("SOURCE_DATE_EPOCH=context is the time of the commit", options, async () => {
  using project = localProject();
  createRepository(join(project.cwd, "../served/app")).commit(files);
  await using server = await serveGit(join(project.cwd, "../served"));
  const set = ["--set", "main.args.SOURCE_DATE_EPOCH=context", "--set", "main.output=type=tar,dest=main.tar"];
  await bakeOk([`${server.url}/app.git`, "main", ...set, "--progress=plain"], project);
  const listing = execFileSync("tar", [
    "--utc",
    "--full-time",
    "-tvf",
    join(project.cwd, "main.tar"),
  ]).toString();
  assert.match(listing, /2024-02-03 04:05:06 file/);
});

test("an archive gives bake file and contexts, a single file the definition alone", async () => {
  using project = localProject();
  for (const [name, text] of Object.entries(files)) project.write(`../src/${name}`, text);
  const archive = join(project.cwd, "../src.tar.gz");
  execFileSync("tar", ["-C", join(project.cwd, "../src"), "-czf", archive, "."]);
  const server = createServer((request, response) =>
    response.end(
      request.url === "/src.tar.gz" ? readFileSync(archive) : `target "default" { context = "sub" }`,
    ),
  );
  await new Promise<void>(done => server.listen(0, "127.0.0.1", done));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await bakeOk([`${url}/src.tar.gz`, "--progress=plain"], project);
    expectBuilt(project);
    const { stdout } = await bakeOk([`${url}/bake.hcl`, "--print"], project);
    assert.equal((JSON.parse(stdout) as Printed).target["default"]?.context, "sub");
  } finally {
    server.closeAllConnections();
    await new Promise(done => server.close(done));
  }
});

test("what lies outside the folder is refused off a terminal, with the flag that grants it", async () => {
  using project = tempProject();
  const env = { BUILDX_BAKE_ENTITLEMENTS_FS: "1" };
  project.write(
    "bake.hcl",
    `target "default" {
      dockerfile-inline = "FROM scratch\\nCOPY --from=host busybox /b\\n"
      contexts = { host = "${busyboxDir}" }
      output = ["type=local,dest=out"]
    }`,
  );
  const refused = await bake(["--progress=plain"], { ...project, env });
  assert.equal(refused.exitCode, 1);
  const flag = /--allow=\S+/.exec(refused.stderr)?.[0] ?? "";
  assert.equal(flag, `--allow=fs.read=${busyboxDir}`);
  await bakeOk([flag, "--progress=plain"], { ...project, env });
  assert.ok(project.read("out/b").length > 0);
  await bakeOk(["--print"], { ...project, env });
});

const hasScript = spawnSync("script", ["--version"]).status === 0;

test("on a terminal the user is asked", { skip: hasScript ? false : "no script(1) on PATH" }, () => {
  using project = tempProject();
  project.write(
    "bake.hcl",
    `target "default" {
      dockerfile-inline = "FROM scratch\\nCOPY --from=host busybox /b\\n"
      contexts = { host = "${busyboxDir}" }
      output = ["type=local,dest=out"]
    }`,
  );
  const answer = (input: string): { readonly status: number | null; readonly text: string } => {
    const command = `'${process.execPath}' '${program}' --progress=plain`;
    const { status, stdout } = spawnSync(
      "script",
      ["--quiet", "--return", "--command", command, "/dev/null"],
      {
        cwd: project.cwd,
        input,
        env: { PATH: process.env["PATH"], HOME: process.env["HOME"], LLBAKE_ROOT: project.root },
        timeout: 60_000,
      },
    );
    return { status, text: stdout.toString() };
  };
  const no = answer("n\n");
  assert.match(no.text, /reading ".*"[^]*--allow=fs\.read=[^]*Continue\? \[y\/N\]/);
  assert.equal(no.status, 1);
  assert.equal(answer("y\n").status, 0);
  assert.ok(project.read("out/b").length > 0);
});
