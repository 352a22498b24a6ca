// http sources against a real server: file, mode and time, what is asked again, and what errors say.
import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { BakeError } from "../../src/diagnostic/error.ts";
import { copy, digestOf, http, scratch } from "../../src/llb/mod.ts";
import { engineRig } from "../rig/engine.ts";

interface Served extends AsyncDisposable {
  readonly url: string;
  readonly statuses: readonly number[];
}

async function serve(listener: RequestListener): Promise<Served> {
  const statuses: number[] = [];
  const server = createServer((request, response) => {
    response.once("finish", () => statuses.push(response.statusCode));
    listener(request, response);
  });
  await new Promise<void>(done => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    statuses,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<unknown>(done => server.close(done));
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

test("a file has the URL's name, mode 600 and the time the server says", async () => {
  await using server = await serve((_, response) =>
    response.setHeader("last-modified", "Sat, 03 Feb 2024 04:05:06 GMT").end("hello"),
  );
  await using rig = await engineRig();
  const path = join(await rig.files(http(`${server.url}/dir/a%20b.txt?x=1`)), "a b.txt");
  assert.equal(readFileSync(path, "utf8"), "hello");
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(path).mtime.toISOString(), "2024-02-03T04:05:06.000Z");
});

test("name and mode can be chosen, and the server may give a name", async () => {
  await using server = await serve((_, response) =>
    response.setHeader("content-disposition", 'attachment; filename="../../tool.sh"').end("x"),
  );
  await using rig = await engineRig();
  assert.equal(readFileSync(join(await rig.files(http(server.url)), "tool.sh"), "utf8"), "x");
  const chosen = await rig.files(http(server.url, { filename: "run", perm: 0o755 }));
  assert.equal(statSync(join(chosen, "run")).mode & 0o777, 0o755);
});

test("an unchanged file is not fetched again, a changed one is", async () => {
  let content = "one";
  await using server = await serve((request, response) => {
    const etag = `"${content}"`;
    response.setHeader("etag", etag);
    if (request.headers["if-none-match"] === etag) response.writeHead(304).end();
    else response.end(content);
  });
  await using rig = await engineRig();
  const state = scratch().file(copy(http(`${server.url}/f`), "f", "/g"));
  const build = async (): Promise<string> => {
    await rig.reopen();
    return readFileSync(join(await rig.files(state), "g"), "utf8");
  };
  assert.equal(await build(), "one");
  assert.equal(await build(), "one");
  content = "two";
  assert.equal(await build(), "two");
  assert.deepEqual(server.statuses, [200, 304, 200]);
});

test("with a checksum nothing is asked once the file is here, and another file is an error that says which", async () => {
  await using server = await serve((_, response) => response.end("hello"));
  await using rig = await engineRig();
  const state = http(`${server.url}/f`, { checksum: digestOf("hello") });
  await rig.files(state);
  await rig.reopen();
  await rig.files(state);
  assert.equal(server.statuses.length, 1);
  const error = await failure(rig.files(http(`${server.url}/f`, { checksum: digestOf("other") })));
  assert.equal(error.code, "content-corrupt");
  assert.match(error.diagnostics[0]?.hint ?? "", new RegExp(digestOf("hello")));
});

test("a server that is busy for a moment is asked again", async () => {
  let busy = true;
  await using server = await serve((_, response) => {
    response.writeHead(busy ? 503 : 200, { "retry-after": "0" }).end("hello");
    busy = false;
  });
  await using rig = await engineRig();
  assert.equal(readFileSync(join(await rig.files(http(`${server.url}/f`)), "f"), "utf8"), "hello");
});

test("a missing file, a refusal and a missing server are errors that name the URL without its query", async () => {
  await using server = await serve((request, response) =>
    response.writeHead(request.url?.startsWith("/denied") === true ? 403 : 404).end(),
  );
  await using rig = await engineRig();
  const missing = await failure(rig.files(http(`${server.url}/nothing?signature=abc`)));
  assert.equal(missing.code, "source-missing");
  assert.ok(!missing.message.includes("abc"), missing.message);
  const denied = await failure(rig.files(http(`${server.url}/denied`)));
  assert.equal(denied.code, "source-denied");
  assert.match(denied.diagnostics[0]?.hint ?? "", /HTTP_AUTH_TOKEN_127\.0\.0\.1/);
  const closed = await closedPort();
  const gone = await failure(rig.files(http(`http://127.0.0.1:${closed}/x`)));
  assert.equal(gone.code, "source-failed");
  assert.match(gone.message, /cannot reach the server at 127\.0\.0\.1:\d+: connection refused/);
});

test("a token from a secret is sent to its host", async () => {
  await using server = await serve((request, response) =>
    response.writeHead(request.headers.authorization === "Bearer abc" ? 200 : 401).end("hello"),
  );
  await using rig = await engineRig();
  rig.secrets.set("HTTP_AUTH_TOKEN_127.0.0.1", "abc");
  await rig.files(http(`${server.url}/f`));
});

/** A port that nothing listens on: one that a server has just left. */
async function closedPort(): Promise<number> {
  await using server = await serve(() => undefined);
  return Number(new URL(server.url).port);
}
