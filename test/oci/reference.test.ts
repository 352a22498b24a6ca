import assert from "node:assert/strict";
import { test } from "node:test";
import { digestHex, digestOf, isDigest, parseDigest } from "../../src/oci/digest.ts";
import { formatReference, parseReference, withDefaultTag } from "../../src/oci/reference.ts";

const digest = digestOf("x");

test("short names are completed the way the container world does", () => {
  const rows: Readonly<Record<string, string>> = {
    alpine: "docker.io/library/alpine",
    "alpine:3.20": "docker.io/library/alpine:3.20",
    "user/app": "docker.io/user/app",
    "docker.io/alpine": "docker.io/library/alpine",
    "index.docker.io/alpine": "docker.io/library/alpine",
    "ghcr.io/a/b:c": "ghcr.io/a/b:c",
    "localhost/app": "localhost/app",
    "localhost:5000/app:1": "localhost:5000/app:1",
    "[::1]:5000/app": "[::1]:5000/app",
    [`alpine:3@${digest}`]: `docker.io/library/alpine:3@${digest}`,
    "a__b/c-d--e.f": "docker.io/a__b/c-d--e.f",
  };
  for (const [text, full] of Object.entries(rows))
    assert.equal(formatReference(parseReference(text)), full, text);
});

test("what is no reference is refused with its reason", () => {
  const rows: Readonly<Record<string, RegExp>> = {
    "": /empty/,
    "localhost:5000/": /empty/,
    Alpine: /lower case/,
    "a/B": /lower case/,
    "alpine:": /not a valid tag/,
    "alpine:-x": /not a valid tag/,
    "alpine@sha256:12": /not a digest/,
    "a//b": /not a valid repository/,
    "a_-b": /not a valid repository/,
    "-host.example/a": /registry host/,
    [digestHex(digest)]: /image id/,
    [`r.example/${"a".repeat(256)}`]: /255/,
  };
  for (const [text, why] of Object.entries(rows)) {
    assert.throws(() => parseReference(text), { code: "reference-invalid", message: why }, text);
  }
});

test("the tag latest is only for references that name nothing else", () => {
  assert.equal(withDefaultTag(parseReference("a")).tag, "latest");
  assert.equal(withDefaultTag(parseReference("a:1")).tag, "1");
  assert.equal(withDefaultTag(parseReference(`a@${digest}`)).tag, undefined);
});

test("digests are checked, never mended", () => {
  assert.equal(digestOf(""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  assert.equal(isDigest(digest.toUpperCase()), false);
  assert.throws(() => parseDigest("sha256:xyz"), { code: "content-corrupt" });
  assert.equal(parseDigest(digest), digest);
});
