// Docker's configuration file, as docker login and credential helpers leave it.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  credentialsFromHelper,
  lookUpCredentials,
  parseDockerConfig,
} from "../../src/registry/dockerconfig.ts";

const encoded = (text: string): string => Buffer.from(text).toString("base64");

test("hosts are found by any spelling docker uses", () => {
  const config = parseDockerConfig(
    JSON.stringify({
      auths: {
        "https://index.docker.io/v1/": { auth: encoded("me:pass:word") },
        "ghcr.io": { auth: encoded("you:token") },
        "https://registry.example.com:5000/v2/": { username: "u", password: "" },
        "azure.example.com": { auth: encoded("00000000:"), identitytoken: "refresh" },
        "empty.example.com": {},
      },
    }),
    "config.json",
  );
  assert.deepEqual(lookUpCredentials(config, "docker.io"), {
    kind: "found",
    credentials: { kind: "basic", username: "me", password: "pass:word" },
  });
  assert.deepEqual(lookUpCredentials(config, "ghcr.io"), {
    kind: "found",
    credentials: { kind: "basic", username: "you", password: "token" },
  });
  assert.deepEqual(lookUpCredentials(config, "registry.example.com:5000"), {
    kind: "found",
    credentials: { kind: "basic", username: "u", password: "" },
  });
  assert.deepEqual(lookUpCredentials(config, "azure.example.com"), {
    kind: "found",
    credentials: { kind: "token", identityToken: "refresh" },
  });
  assert.equal(lookUpCredentials(config, "empty.example.com"), undefined);
  assert.equal(lookUpCredentials(config, "other.example.com"), undefined);
});

test("a helper for the host goes before the general store, and both before plain entries", () => {
  const config = parseDockerConfig(
    JSON.stringify({
      auths: { "a.example.com": { auth: encoded("x:y") } },
      credsStore: "desktop",
      credHelpers: { "b.example.com": "ecr-login" },
    }),
    "config.json",
  );
  assert.deepEqual(lookUpCredentials(config, "b.example.com"), {
    kind: "helper",
    program: "docker-credential-ecr-login",
    server: "b.example.com",
  });
  assert.deepEqual(lookUpCredentials(config, "a.example.com"), {
    kind: "helper",
    program: "docker-credential-desktop",
    server: "a.example.com",
  });
  assert.deepEqual(lookUpCredentials(config, "docker.io"), {
    kind: "helper",
    program: "docker-credential-desktop",
    server: "https://index.docker.io/v1/",
  });
});

test("what helpers print becomes credentials", () => {
  assert.deepEqual(credentialsFromHelper('{"ServerURL":"x","Username":"u","Secret":"s"}'), {
    kind: "basic",
    username: "u",
    password: "s",
  });
  assert.deepEqual(credentialsFromHelper('{"Username":"<token>","Secret":"s"}'), {
    kind: "token",
    identityToken: "s",
  });
  assert.equal(credentialsFromHelper("credentials not found in native keychain"), undefined);
  assert.equal(credentialsFromHelper('{"Username":"u","Secret":""}'), undefined);
});

test("a broken file is named", () => {
  assert.throws(() => parseDockerConfig("{", "/home/me/.docker/config.json"), {
    code: "registry-failed",
    message: /"\/home\/me\/\.docker\/config\.json": it is not valid JSON/,
  });
  assert.equal(parseDockerConfig('{"auths":[1],"credHelpers":{"x":3}}', "c").auths.size, 0);
});
