// Getting in: challenges as registries send them, a real registry with token and with password protection, and tokens
// that run out in the middle.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createSign, generateKeyPairSync, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { BakeError } from "../../src/diagnostic/error.ts";
import { mediaTypes } from "../../src/oci/descriptor.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { parseReference } from "../../src/oci/reference.ts";
import { type Credentials, parseChallenge } from "../../src/registry/auth.ts";
import { createRegistryClient } from "../../src/registry/client.ts";
import {
  skipWithoutRegistry,
  startProxy,
  startRegistry,
  startServer,
  type TestServer,
} from "../rig/registry.ts";
import { type TempDir, tempDir } from "../rig/tree.ts";

const quick = { backoffMs: 1 };
const bytes = randomBytes(50_000);
const blob = { mediaType: mediaTypes.ociLayer, digest: digestOf(bytes), size: bytes.length };

async function* open(): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function rejection(work: Promise<unknown>): Promise<BakeError> {
  try {
    await work;
  } catch (thrown) {
    assert.ok(thrown instanceof BakeError, String(thrown));
    return thrown;
  }
  return assert.fail("it should have failed");
}

test("challenges are read as registries write them", () => {
  assert.deepEqual(
    parseChallenge(
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull"',
    ),
    {
      scheme: "bearer",
      realm: "https://auth.docker.io/token",
      service: "registry.docker.io",
    },
  );
  assert.deepEqual(parseChallenge("Basic realm=Registry"), { scheme: "basic" });
  assert.deepEqual(parseChallenge('Basic realm="a, b", Bearer realm="https://h/t"'), {
    scheme: "bearer",
    realm: "https://h/t",
    service: undefined,
  });
  assert.deepEqual(parseChallenge('bearer realm="https://h/t", service="say \\"hi\\""'), {
    scheme: "bearer",
    realm: "https://h/t",
    service: 'say "hi"',
  });
  assert.equal(parseChallenge('Bearer realm="not a url"'), undefined);
  assert.equal(parseChallenge("Negotiate"), undefined);
  assert.equal(parseChallenge(null), undefined);
});

interface TokenServer {
  readonly server: TestServer;
  /** The registry's `auth` section that trusts the server. */
  readonly auth: string;
}

/** A token server whose signatures a real registry checks; `seconds` is the lifetime of its tokens. */
async function startTokenServer(
  dir: TempDir,
  { seconds = 300, password = "right" }: { readonly seconds?: number; readonly password?: string } = {},
): Promise<TokenServer> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = join(dir.path, "key.pem");
  const certificate = join(dir.path, "certificate.pem");
  writeFileSync(key, privateKey.export({ type: "pkcs8", format: "pem" }));
  execFileSync(
    "openssl",
    ["req", "-x509", "-new", "-key", key, "-subj", "/CN=test", "-days", "2", "-out", certificate],
    { stdio: "ignore" },
  );
  const { x, y } = publicKey.export({ format: "jwk" });
  const der = execFileSync("openssl", ["x509", "-in", certificate, "-outform", "DER"]).toString("base64");
  const sign = (access: unknown, lifetime: number): string => {
    const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const now = Math.floor(Date.now() / 1000);
    const head = encode({ typ: "JWT", alg: "ES256", x5c: [der], jwk: { kty: "EC", crv: "P-256", x, y } });
    const claims = encode({
      iss: "test",
      sub: "someone",
      aud: "registry",
      nbf: now - 10,
      iat: now - 10,
      exp: now + lifetime,
      jti: randomBytes(8).toString("hex"),
      access,
    });
    const signature = createSign("SHA256")
      .update(`${head}.${claims}`)
      .sign({ key: privateKey, dsaEncoding: "ieee-p1363" });
    return `${head}.${claims}.${signature.toString("base64url")}`;
  };
  const server = await startServer(async (request, response) => {
    let form = "";
    for await (const chunk of request) form += String(chunk);
    const fields =
      request.method === "POST"
        ? new URLSearchParams(form)
        : new URL(request.url ?? "", "http://x").searchParams;
    const given = request.headers.authorization ?? "";
    const known =
      given === `Basic ${Buffer.from(`user:${password}`).toString("base64")}` ||
      fields.get("refresh_token") === password;
    if (!known && (given !== "" || fields.has("refresh_token"))) {
      response.writeHead(401).end();
      return;
    }
    const access = fields
      .getAll("scope")
      .flatMap(scope => scope.split(" "))
      .map(scope => {
        const [type, name, actions = ""] = scope.split(":");
        // Anonymous users may read only.
        return { type, name, actions: actions.split(",").filter(action => known || action === "pull") };
      });
    response.setHeader("content-type", "application/json");
    response.end(
      JSON.stringify({
        [request.method === "POST" ? "access_token" : "token"]: sign(access, seconds),
        expires_in: 300,
      }),
    );
  });
  const auth = `auth: { token: { realm: "http://${server.host}/token", service: registry, issuer: test, rootcertbundle: ${JSON.stringify(certificate)} } }`;
  return { server, auth };
}

test(
  "a token is fetched once per scope, with the credentials of the user",
  { skip: skipWithoutRegistry },
  async () => {
    using dir = tempDir();
    const { server, auth } = await startTokenServer(dir);
    await using tokens = server;
    await using registry = await startRegistry({ auth });
    const asked: string[] = [];
    const client = createRegistryClient({
      ...quick,
      credentials: async (host): Promise<Credentials> => {
        asked.push(host);
        return { kind: "basic", username: "user", password: "right" };
      },
    });
    const name = parseReference(`${registry.host}/app`);
    assert.equal(await client.pushBlob(name, blob, open), "uploaded");
    assert.equal(await client.pushBlob(name, blob, open), "exists");
    assert.deepEqual(asked, [registry.host]);
    assert.equal(tokens.requests.length, 1);
    assert.match(
      tokens.requests[0] ?? "",
      /^GET \/token\?service=registry&scope=repository%3Aapp%3Apull%2Cpush$/,
    );
    for await (const chunk of client.fetchBlob(name, blob)) assert.ok(chunk.length > 0);
    assert.equal(tokens.requests.length, 2);
    assert.equal(
      await client.pushBlob(parseReference(`${registry.host}/other`), blob, open, { mountFrom: ["app"] }),
      "mounted",
    );
  },
);

test("an identity token is exchanged by OAuth2", { skip: skipWithoutRegistry }, async () => {
  using dir = tempDir();
  const { server, auth } = await startTokenServer(dir, { password: "identity" });
  await using tokens = server;
  await using registry = await startRegistry({ auth });
  const client = createRegistryClient({
    ...quick,
    credentials: async () => ({ kind: "token", identityToken: "identity" }),
  });
  assert.equal(await client.pushBlob(parseReference(`${registry.host}/app`), blob, open), "uploaded");
  assert.deepEqual(tokens.requests, ["POST /token"]);
});

test(
  "without credentials reading works, writing says how to log in",
  { skip: skipWithoutRegistry },
  async () => {
    using dir = tempDir();
    const { server, auth } = await startTokenServer(dir);
    await using _tokens = server;
    await using registry = await startRegistry({ auth });
    const client = createRegistryClient(quick);
    const name = parseReference(`${registry.host}/app:v1`);
    assert.equal((await rejection(client.resolve(name))).code, "registry-missing");
    const failure = await rejection(client.pushBlob(name, blob, open));
    assert.equal(failure.code, "registry-denied");
    assert.ok(failure.message.includes(`refused access to "${registry.host}/app"`), failure.message);
    assert.match(failure.diagnostics[0]?.hint ?? "", new RegExp(`docker login ${registry.host}`));
  },
);

test(
  "wrong credentials are refused without showing them, and asked for again next time",
  { skip: skipWithoutRegistry },
  async () => {
    using dir = tempDir();
    const { server, auth } = await startTokenServer(dir);
    await using _tokens = server;
    await using registry = await startRegistry({ auth });
    const passwords = ["hunter2", "right"];
    const client = createRegistryClient({
      ...quick,
      credentials: async () => ({ kind: "basic", username: "user", password: passwords.shift() ?? "none" }),
    });
    const name = parseReference(`${registry.host}/app`);
    const failure = await rejection(client.pushBlob(name, blob, open));
    assert.equal(failure.code, "registry-denied");
    assert.ok(
      !JSON.stringify([failure.message, failure.diagnostics, String(failure.cause)]).includes("hunter2"),
    );
    assert.equal(await client.pushBlob(name, blob, open), "uploaded");
  },
);

test(
  "a token refused in the middle of a push is replaced, and the helper asked again",
  { skip: skipWithoutRegistry },
  async () => {
    using dir = tempDir();
    const { server, auth } = await startTokenServer(dir);
    await using tokens = server;
    await using registry = await startRegistry({ auth });
    const refusals: string[] = [];
    let puts = 0;
    await using proxy = await startProxy(registry.host, (request, times) => {
      const isFirst = request.startsWith("PUT") ? puts++ === 0 : request.startsWith("POST") && times === 0;
      if (!isFirst) return undefined;
      refusals.push(request);
      return {
        kind: "answer",
        status: 401,
        headers: {
          "www-authenticate": `Bearer realm="http://${server.host}/token",service="registry",error="invalid_token"`,
        },
      };
    });
    let asked = 0;
    const client = createRegistryClient({
      ...quick,
      credentials: async () => {
        asked++;
        return { kind: "basic", username: "user", password: "right" };
      },
    });
    const name = parseReference(`${proxy.host}/app`);
    assert.equal(await client.pushBlob(name, blob, open), "uploaded");
    assert.equal(refusals.length, 2);
    assert.equal(tokens.requests.length, 3);
    assert.equal(asked, 3);
  },
);

test(
  "a token that is never accepted ends in a refusal, not in a loop",
  { skip: skipWithoutRegistry },
  async () => {
    using dir = tempDir();
    // Dead on arrival, although the server promises five minutes; registries allow a minute's skew.
    const { server, auth } = await startTokenServer(dir, { seconds: -120 });
    await using tokens = server;
    await using registry = await startRegistry({ auth });
    const client = createRegistryClient({
      ...quick,
      credentials: async () => ({ kind: "basic", username: "user", password: "right" }),
    });
    assert.equal(
      (await rejection(client.pushBlob(parseReference(`${registry.host}/app`), blob, open))).code,
      "registry-denied",
    );
    assert.equal(tokens.requests.length, 1);
  },
);

test(
  "a registry that asks for a password gets it, only from whoever has one",
  { skip: skipWithoutRegistry },
  async () => {
    await using upstream = await startServer((request, response) => {
      if (request.headers.authorization === `Basic ${Buffer.from("user:right").toString("base64")}`)
        response.writeHead(200).end();
      else response.writeHead(401, { "www-authenticate": 'Basic realm="r"' }).end();
    });
    const name = parseReference(`${upstream.host}/app`);
    const right = createRegistryClient({
      ...quick,
      credentials: async () => ({ kind: "basic", username: "user", password: "right" }),
    });
    assert.equal(await right.hasBlob(name, blob), true);
    assert.equal(await right.hasBlob(name, blob), true);
    assert.equal(upstream.requests.length, 3);
    assert.equal((await rejection(createRegistryClient(quick).hasBlob(name, blob))).code, "registry-denied");
    const wrong = createRegistryClient({
      ...quick,
      credentials: async () => ({ kind: "basic", username: "user", password: "no" }),
    });
    assert.equal((await rejection(wrong.hasBlob(name, blob))).code, "registry-denied");
  },
);
