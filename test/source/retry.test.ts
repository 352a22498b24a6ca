// Goal: a source whose server fails for a moment is asked again, which is told; one that keeps failing says how often it
// was asked; what will not change is asked once. Method: real servers and a real registry that fail N times.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer, request as forward, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { BakeError } from "../../src/diagnostic/error.ts";
import { git, http, image, mkfile, scratch, type State } from "../../src/llb/mod.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { type EngineRig, engineRig } from "../rig/engine.ts";
import { createRepository, serveGit, skipWithoutGit } from "../rig/gitserver.ts";
import { type Fault, skipWithoutRegistry, startProxy, startRegistry } from "../rig/registry.ts";

/** Without a pause: how long it is, is tested with the transport. */
const now = { "retry-after": "0" };

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

interface Flaky extends AsyncDisposable {
  readonly url: string;
  /** Requests so far. */
  count(): number;
}

/** Answers with `failures`, one a request, and then as `good` does. */
async function flaky(failures: readonly Answer[], good: Answer): Promise<Flaky> {
  let count = 0;
  const server = createServer((request, response) => (failures[count++] ?? good)(request, response));
  await new Promise<void>(done => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    count: () => count,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<unknown>(done => server.close(done));
    },
  };
}

const answer =
  (status: number): Answer =>
  (_, response) =>
    response.writeHead(status, now).end("not now");
const reset: Answer = request => request.socket.resetAndDestroy();
const half: Answer = (_, response) => {
  response.writeHead(200, { "content-length": "5" });
  response.write("he", () => response.destroy());
};
const good: Answer = (_, response) => response.end("hello");
const times = <T>(count: number, value: T): readonly T[] => Array.from({ length: count }, () => value);

/** What the steps said. */
const saidBy = (rig: EngineRig): string =>
  rig.events.flatMap(event => (event.type === "log" ? [Buffer.from(event.data).toString()] : [])).join("");

async function failure(work: Promise<unknown>): Promise<BakeError> {
  const thrown: unknown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(thrown instanceof BakeError, String(thrown));
  return thrown;
}

test("a download goes on after busy answers, resets and broken transfers, and says so", async () => {
  await using server = await flaky([answer(503), answer(429), reset, half], good);
  await using rig = await engineRig();
  const files = await rig.files(http(`${server.url}/f`));
  assert.equal(readFileSync(join(files, "f"), "utf8"), "hello");
  assert.equal(server.count(), 5);
  const said = saidBy(rig);
  assert.match(said, /answered 503; trying again in 0\.0 s \(attempt 2 of 5\)/);
  assert.match(said, /answered 429; trying again/);
  assert.match(said, /the connection was (?:reset|closed); trying again/);
  assert.match(said, /broke off: .*; trying again/);
  assert.equal(said.split("\n").length - 1, 4, said);
});

test("a download that keeps failing says how often it was tried", async () => {
  await using server = await flaky(times(20, answer(503)), good);
  await using rig = await engineRig();
  const { message } = await failure(rig.files(http(`${server.url}/f`)));
  assert.match(message, /the server answered 503 after 5 attempts/);
  assert.equal(server.count(), 5);
});

test("a download that is not there, not allowed or other than its checksum is asked for once", async () => {
  for (const [given, checksum, expected] of [
    [answer(404), undefined, /there is nothing at/],
    [answer(401), undefined, /may not be read/],
    [answer(403), undefined, /may not be read/],
    [good, digestOf("other"), /does not have the checksum/],
  ] as const) {
    await using server = await flaky(times(9, given), good);
    await using rig = await engineRig();
    const { message } = await failure(
      rig.files(http(`${server.url}/f`, checksum === undefined ? {} : { checksum })),
    );
    assert.match(message, expected);
    assert.doesNotMatch(message, /attempts/);
    assert.equal(server.count(), 1, message);
    assert.equal(saidBy(rig), "");
  }
});

test(
  "an image is pulled from a registry that fails now and then",
  { skip: skipWithoutRegistry },
  async () => {
    await using registry = await startRegistry();
    await using rig = await engineRig();
    const name = `${registry.host}/app:1`;
    await rig.solve(scratch().file(mkfile("/f", 0o644, "one")), [
      { type: "image", attrs: { name, push: "true" } },
    ]);

    const build = (host: string): State => image(`${host}/app:1`).file(mkfile("/g", 0o644, ""));
    const busy: Fault = { kind: "answer", status: 503, headers: now };
    {
      await using proxy = await startProxy(registry.host, (_, seen) => (seen === 0 ? busy : undefined));
      await using fresh = await engineRig();
      assert.equal(readFileSync(join(await fresh.files(build(proxy.host)), "f"), "utf8"), "one");
      assert.match(saidBy(fresh), /the registry at 127\.0\.0\.1:\d+ answered 503; trying again/);
    }
    {
      await using proxy = await startProxy(registry.host, request =>
        request.includes("/blobs/") ? busy : undefined,
      );
      await using fresh = await engineRig();
      const { message } = await failure(fresh.files(build(proxy.host)));
      assert.match(message, /answered 503.* after 5 attempts/);
    }
    for (const status of [404, 403]) {
      await using proxy = await startProxy(registry.host, request =>
        request.includes("/manifests/") ? { kind: "answer", status } : undefined,
      );
      await using fresh = await engineRig();
      const { message } = await failure(fresh.files(build(proxy.host)));
      assert.doesNotMatch(message, /attempts/);
      assert.equal(
        proxy.requests.filter(line => line.includes("/manifests/")).length,
        1,
        proxy.requests.join("\n"),
      );
    }
  },
);

/** A git server that answers the first requests badly. */
async function flakyGit(upstream: string, failures: readonly Answer[]): Promise<Flaky> {
  return flaky(failures, (request, response) => {
    const { hostname, port } = new URL(upstream);
    const { method, url, headers } = request;
    const onward = forward({ hostname, port, method, path: url, headers }, from => {
      response.writeHead(from.statusCode ?? 500, from.headers);
      from.pipe(response);
    });
    onward.once("error", () => response.destroy());
    request.pipe(onward);
  });
}

test("a git repository is read from a server that fails now and then", { skip: skipWithoutGit }, async () => {
  await using rig = await engineRig();
  createRepository(join(rig.dir.path, "repos/app")).commit({ f: "one" });
  await using server = await serveGit(join(rig.dir.path, "repos"));
  await using proxy = await flakyGit(server.url, [answer(503), reset]);
  const files = await rig.files(git(`${proxy.url}/app.git#master`));
  assert.equal(readFileSync(join(files, "f"), "utf8"), "one");
  assert.match(saidBy(rig), /git failed: .*503.*; trying again in \d\.\d s \(attempt 2 of 4\)/);
});

test(
  "a git server that keeps failing is given up, one that refuses at once",
  { skip: skipWithoutGit },
  async () => {
    await using rig = await engineRig();
    await using busy = await flaky([], answer(500));
    assert.match((await failure(rig.files(git(`${busy.url}/app.git#main`)))).message, /after 4 attempts: /);
    await using gone = await flaky([], answer(404));
    const { message } = await failure(rig.files(git(`${gone.url}/app.git#main`)));
    assert.doesNotMatch(message, /attempts/);
  },
);
