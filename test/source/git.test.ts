// Git sources against real repositories behind a real http server: what is checked out, what it is keyed by, and what
// errors say. Each test solves LLB with the embedded engine.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { BakeError } from "../../src/diagnostic/error.ts";
import { copy, git, scratch } from "../../src/llb/mod.ts";
import { engineRig } from "../rig/engine.ts";
import {
  createRepository,
  type GitRepository,
  type GitServer,
  serveGit,
  skipWithoutGit,
} from "../rig/gitserver.ts";
import { tempDir } from "../rig/tree.ts";

interface Served extends AsyncDisposable {
  readonly repository: GitRepository;
  readonly server: GitServer;
  readonly remote: string;
}

async function serve(options: Parameters<typeof serveGit>[1] = {}): Promise<Served> {
  const dir = tempDir();
  const repository = createRepository(join(dir.path, "app"));
  const server = await serveGit(dir.path, options);
  return {
    repository,
    server,
    remote: `${server.url}/app.git`,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      dir[Symbol.dispose]();
    },
  };
}

async function failure(promise: Promise<unknown>): Promise<BakeError> {
  const thrown: unknown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(thrown instanceof BakeError, String(thrown));
  return thrown;
}

const read = (folder: string, name: string): string => readFileSync(join(folder, name), "utf8");
const options = { skip: skipWithoutGit };

test("the default branch, a branch, a tag and a commit give their files", options, async () => {
  await using served = await serve();
  await using rig = await engineRig();
  const { repository, remote } = served;
  const first = repository.commit({ "a.txt": "one\n", "bin/run": "#!/bin/sh\n" });
  repository.git("tag", "-a", "v1", "-m", "first");
  repository.commit({ "a.txt": "two\n" });
  repository.git("checkout", "--quiet", "-b", "side");
  repository.commit({ "a.txt": "side\n" });
  repository.git("checkout", "--quiet", "main");
  const text = async (ref?: string): Promise<string> =>
    read(await rig.files(git(remote, ref === undefined ? {} : { ref })), "a.txt");
  assert.deepEqual(
    [await text(), await text("side"), await text("v1"), await text("refs/tags/v1"), await text(first)],
    ["two\n", "side\n", "one\n", "one\n", "one\n"],
  );
  const folder = await rig.files(git(remote));
  assert.deepEqual(readdirSync(folder).sort(), ["a.txt", "bin"]);
  assert.equal(statSync(join(folder, "a.txt")).mode & 0o777, 0o644);
});

test("a folder of a repository alone", options, async () => {
  await using served = await serve();
  await using rig = await engineRig();
  served.repository.commit({ "a.txt": "no", "app/web/index.html": "page", "app/api/x": "x" });
  const folder = await rig.files(git(served.remote, { subdir: "app/web" }));
  assert.deepEqual(readdirSync(folder), ["index.html"]);
});

test("the .git folder is kept when asked for, at the commit and without secrets", options, async () => {
  await using served = await serve();
  await using rig = await engineRig();
  const commit = served.repository.commit({ "a.txt": "one" });
  const remote = served.remote.replace("http://", "http://user:secret@");
  const folder = await rig.files(git(remote, { ref: "main", keepGitDir: true }));
  assert.equal(read(folder, ".git/HEAD").trim(), commit);
  assert.ok(!read(folder, ".git/config").includes("secret"));
  assert.equal(existsSync(join(await rig.files(git(remote)), ".git")), false);
});

test("submodules come along, unless they are left out", options, async () => {
  await using served = await serve();
  await using rig = await engineRig();
  const { repository, remote } = served;
  const library = createRepository(join(repository.path, "..", "library"));
  library.commit({ "lib.txt": "library" });
  repository.commit({ "a.txt": "a" });
  // Added by path: the server is in this process, which waits for git.
  repository.git("submodule", "--quiet", "add", library.path, "vendor/library");
  repository.git("config", "--file=.gitmodules", "submodule.vendor/library.url", "../library.git");
  repository.commit({});
  const folder = await rig.files(git(remote));
  assert.equal(read(folder, "vendor/library/lib.txt"), "library");
  assert.deepEqual(readdirSync(join(folder, "vendor/library")), ["lib.txt"]);
  const without = await rig.files(git(remote, { skipSubmodules: true }));
  assert.deepEqual(readdirSync(join(without, "vendor/library")), []);
});

test("files have the time of the commit when asked for", options, async () => {
  await using served = await serve();
  await using rig = await engineRig();
  served.repository.commit({ "d/a.txt": "one" });
  const folder = await rig.files(git(served.remote, { mtime: "commit" }));
  assert.equal(statSync(join(folder, "d/a.txt")).mtime.toISOString(), "2024-02-03T04:05:06.000Z");
});

test(
  "the next run fetches nothing when the branch is where it was, and follows it when it moved",
  options,
  async () => {
    await using served = await serve();
    await using rig = await engineRig();
    const { repository, remote, server } = served;
    repository.commit({ "a.txt": "one" });
    const state = scratch().file(copy(git(remote, { ref: "main" }), "a.txt", "/b.txt"));
    assert.equal(read(await rig.files(state), "b.txt"), "one");
    rig.executed();
    await rig.reopen();
    const before = server.requests.length;
    await rig.files(state);
    // One look at the references: the greeting and the list.
    assert.equal(server.requests.length - before, 2);
    repository.commit({ "a.txt": "two" });
    await rig.reopen();
    assert.equal(read(await rig.files(state), "b.txt"), "two");
  },
);

test("a checksum is held against the commit, and may be a prefix", options, async () => {
  await using served = await serve();
  await using rig = await engineRig();
  const { repository, remote } = served;
  const first = repository.commit({ "a.txt": "one" });
  const folder = await rig.files(git(remote, { ref: "main", checksum: first.slice(0, 12) }));
  assert.equal(read(folder, "a.txt"), "one");
  const error = await failure(rig.files(git(remote, { ref: "main", checksum: "0".repeat(40) })));
  assert.equal(error.code, "content-corrupt");
  assert.match(error.diagnostics[0]?.hint ?? "", new RegExp(first));
});

test("a branch that does not exist is an error that suggests one", options, async () => {
  await using served = await serve();
  await using rig = await engineRig();
  served.repository.commit({ "a.txt": "one" });
  const error = await failure(rig.files(git(served.remote, { ref: "mian" })));
  assert.equal(error.code, "source-missing");
  assert.match(error.message, /has no branch or tag "mian"/);
  assert.match(error.diagnostics[0]?.hint ?? "", /"main"/);
});

test("commits, folders and repositories that do not exist are errors that name them", options, async () => {
  await using served = await serve();
  await using rig = await engineRig();
  served.repository.commit({ "app/a.txt": "one" });
  const { remote, server } = served;
  const commit = await failure(rig.files(git(remote, { ref: "1".repeat(40) })));
  assert.equal(commit.code, "source-missing");
  const folder = await failure(rig.files(git(remote, { subdir: "ap" })));
  assert.match(folder.message, /has no folder "ap"/);
  assert.match(folder.diagnostics[0]?.hint ?? "", /"app"/);
  const repository = await failure(rig.files(git(`${server.url}/nothing.git`)));
  assert.equal(repository.code, "source-missing");
  const host = await failure(rig.files(git("http://127.0.0.1:9/x.git")));
  assert.match(host.message, /connection refused/);
});

test("a link as a subdirectory does not lead out of the repository", options, async () => {
  await using served = await serve();
  await using rig = await engineRig();
  const { symlinkSync } = await import("node:fs");
  served.repository.commit({ "a.txt": "one" });
  symlinkSync("/etc", join(served.repository.path, "out"));
  served.repository.commit({});
  assert.equal((await failure(rig.files(git(served.remote, { subdir: "out" })))).code, "source-missing");
});

test("a token from a secret opens a repository, and never shows", options, async () => {
  const token = "s3cr3t-token";
  const authorization = `basic ${Buffer.from(`x-access-token:${token}`).toString("base64")}`;
  await using served = await serve({ authorization });
  await using rig = await engineRig();
  served.repository.commit({ "a.txt": "one" });
  const error = await failure(rig.files(git(served.remote)));
  assert.equal(error.code, "source-denied");
  assert.match(error.diagnostics[0]?.hint ?? "", /GIT_AUTH_TOKEN/);
  rig.secrets.set(`GIT_AUTH_TOKEN.${new URL(served.remote).host}`, token);
  assert.equal(read(await rig.files(git(served.remote)), "a.txt"), "one");
  assert.ok(!JSON.stringify(rig.events).includes(token));
});
