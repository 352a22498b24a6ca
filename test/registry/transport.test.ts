// Addresses, time limits and patience of the HTTP layer.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BakeError } from "../../src/diagnostic/error.ts";
import { parseReference } from "../../src/oci/reference.ts";
import { createRegistryClient } from "../../src/registry/client.ts";
import { exchange } from "../../src/registry/http.ts";
import { createTransport, redactUrl } from "../../src/registry/transport.ts";
import { startServer } from "../rig/registry.ts";

async function rejection(work: Promise<unknown>): Promise<BakeError> {
  try {
    await work;
  } catch (thrown) {
    assert.ok(thrown instanceof BakeError, String(thrown));
    return thrown;
  }
  return assert.fail("it should have failed");
}

test("registries of this machine speak http, all others https unless marked", () => {
  const transport = createTransport({ insecureHosts: new Set(["registry.lan:5000"]) });
  assert.equal(transport.baseUrl("localhost:5000"), "http://localhost:5000");
  assert.equal(transport.baseUrl("127.0.0.1:80"), "http://127.0.0.1:80");
  assert.equal(transport.baseUrl("[::1]:5000"), "http://[::1]:5000");
  assert.equal(transport.baseUrl("registry.lan:5000"), "http://registry.lan:5000");
  assert.equal(transport.baseUrl("registry.lan"), "https://registry.lan");
  assert.equal(transport.baseUrl("localhost.example.com"), "https://localhost.example.com");
  assert.equal(transport.baseUrl("127.0.0.1.example.com"), "https://127.0.0.1.example.com");
});

test("Docker Hub is reached at its API's host and known by its short name", async () => {
  await using server = await startServer((request, response) => {
    if (request.url?.startsWith("/token") === true) response.writeHead(401).end();
    else
      response
        .writeHead(401, {
          "www-authenticate": `Bearer realm="https://auth.docker.io/token",service="registry.docker.io"`,
        })
        .end();
  });
  const hosts: string[] = [];
  const asked: string[] = [];
  const client = createRegistryClient({
    backoffMs: 1,
    exchange: request => {
      const url = new URL(request.url);
      hosts.push(`${url.protocol}//${url.host}${url.pathname}`);
      return exchange({ ...request, url: `http://${server.host}${url.pathname}${url.search}` });
    },
    credentials: async host => {
      asked.push(host);
      return undefined;
    },
  });
  const failure = await rejection(client.resolve(parseReference("alpine")));
  assert.deepEqual(hosts, [
    "https://registry-1.docker.io/v2/library/alpine/manifests/latest",
    "https://auth.docker.io/token",
  ]);
  assert.deepEqual(asked, ["docker.io"]);
  assert.equal(failure.code, "registry-denied");
  assert.equal(failure.message, 'the registry refused access to "docker.io/library/alpine"');
  assert.equal(failure.diagnostics[0]?.hint, "log in if it exists: docker login");
});

test("a registry that hangs is given up after two tries", async () => {
  await using server = await startServer(() => undefined);
  let tries = 0;
  const client = createRegistryClient({
    backoffMs: 1,
    timeoutMs: 50,
    // Counted where they are made: on a busy machine one may be over before the server has heard of it.
    exchange: request => {
      tries++;
      return exchange(request);
    },
  });
  const failure = await rejection(client.resolve(parseReference(`${server.host}/app`)));
  assert.equal(
    failure.message,
    `cannot reach the registry at ${server.host} after 2 attempts: no answer in time`,
  );
  assert.equal(tries, 2);
});

test("patience has an end, and the last answer is reported", async () => {
  await using server = await startServer((_request, response) => {
    response.writeHead(429, { "retry-after": "0", "content-type": "application/json" });
    response.end('{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}');
  });
  const failure = await rejection(
    createRegistryClient({ backoffMs: 1, attempts: 3 }).fetchManifest(parseReference(`${server.host}/app`)),
  );
  assert.equal(server.requests.length, 3);
  assert.equal(failure.code, "registry-failed");
  assert.match(failure.message, /answered 429 \(TOOMANYREQUESTS: slow down\) after 3 attempts$/);
  assert.match(failure.diagnostics[0]?.hint ?? "", /limits requests/);
});

test("waiting for a retry ends with the signal", async () => {
  const controller = new AbortController();
  await using server = await startServer((_request, response) => {
    response.writeHead(503, { "retry-after": "50" }).end();
    setImmediate(() => controller.abort());
  });
  await assert.rejects(
    createRegistryClient().resolve(parseReference(`${server.host}/app`), { signal: controller.signal }),
    { name: "AbortError" },
  );
});

test("a host that does not exist or does not speak https is said so", async () => {
  const unknown = await rejection(
    createRegistryClient({ backoffMs: 1, attempts: 2 }).resolve(parseReference("registry.invalid/app")),
  );
  assert.match(
    unknown.message,
    /^cannot reach the registry at registry\.invalid:443: (?:no such host|the host name could not be looked up)$/,
  );
  await using server = await startServer((_request, response) => void response.end());
  const transport = createTransport({ backoffMs: 1 });
  const plain = await rejection(transport.send({ method: "GET", url: `https://${server.host}/v2/` }));
  assert.equal(plain.message, `cannot reach the registry at ${server.host}: it does not speak https`);
  assert.match(plain.diagnostics[0]?.hint ?? "", /mark it as insecure/);
});

test("addresses are shown without what may be secret", () => {
  assert.equal(redactUrl("https://user:pass@host:1/path?sig=abc#x"), "https://host:1/path?…");
  assert.equal(redactUrl("nonsense"), "(malformed URL)");
});
