// One HTTP request: redirects, content codings, and connections that are used again.
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { exchange } from "../../src/registry/http.ts";
import { startServer } from "../rig/registry.ts";

test("credentials stay with the origin they are for, other headers follow a redirect", async () => {
  const seen: Record<string, string | undefined>[] = [];
  await using other = await startServer((request, response) => {
    seen.push({ authorization: request.headers.authorization, range: request.headers.range });
    response.end("there");
  });
  await using server = await startServer((request, response) => {
    if (request.url === "/near") response.writeHead(302, { location: `http://${other.host}/far` }).end();
    else response.writeHead(307, { location: "/near" }).end(String(request.headers.authorization));
  });
  const headers = { authorization: "Basic s3cret", range: "bytes=1-" };
  const answer = await exchange({ method: "GET", url: `http://${server.host}/`, headers });
  assert.equal(answer.url, `http://${other.host}/far`);
  assert.equal(await answer.text(), "there");
  assert.deepEqual(seen, [{ authorization: undefined, range: "bytes=1-" }]);
});

test("a form that is answered by 303 is followed by a GET without its body; 307 sends it again", async () => {
  const got: string[] = [];
  await using server = await startServer((request, response) => {
    let body = "";
    request.on("data", piece => (body += String(piece)));
    request.on("end", () => {
      got.push(`${request.method} ${request.url} ${body}`);
      const location = request.url === "/a" ? "/b" : request.url === "/b" ? "/c" : undefined;
      if (location === undefined) response.end();
      else response.writeHead(request.url === "/a" ? 307 : 303, { location }).end();
    });
  });
  const body = Buffer.from("x=1");
  (await exchange({ method: "POST", url: `http://${server.host}/a`, headers: {}, body })).discard();
  assert.deepEqual(got, ["POST /a x=1", "POST /b x=1", "GET /c "]);
});

test("redirects without an end are given up", async () => {
  await using server = await startServer(
    (_request, response) => void response.writeHead(302, { location: "/" }).end(),
  );
  const going = exchange({ method: "GET", url: `http://${server.host}/`, headers: {} });
  await assert.rejects(going, /too many redirects/);
});

test("a body that was compressed for the way is given as it was", async () => {
  await using server = await startServer(
    (_request, response) =>
      void response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync("content")),
  );
  const answer = await exchange({ method: "GET", url: `http://${server.host}/`, headers: {} });
  assert.equal(await answer.text(), "content");
});

test("a kept connection that the server closed is replaced without a word", async () => {
  let connections = 0;
  await using server = await startServer((request, response) => {
    if (request.socket.bytesWritten > 0) request.socket.destroy();
    else {
      connections++;
      response.end("whole");
    }
  });
  const url = `http://${server.host}/`;
  assert.equal(await (await exchange({ method: "GET", url, headers: {} })).text(), "whole");
  assert.equal(await (await exchange({ method: "GET", url, headers: {} })).text(), "whole");
  assert.equal(connections, 2);
});

test("a server that answers before it has everything ends the sending", async () => {
  await using server = await startServer((_request, response) => void response.writeHead(413).end("enough"));
  let ended = false;
  const endless = (async function* () {
    try {
      for (;;) {
        yield Buffer.alloc(64 * 1024);
        await new Promise(resolve => setImmediate(resolve));
      }
    } finally {
      ended = true;
    }
  })();
  const headers = { "content-length": String(2 ** 40) };
  const answer = await exchange({ method: "PUT", url: `http://${server.host}/`, headers, body: endless });
  assert.equal(answer.status, 413);
  answer.discard();
  await new Promise<void>(resolve => Readable.from(endless).once("close", resolve).resume());
  assert.ok(ended);
});
