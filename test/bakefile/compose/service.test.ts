// How the settings of a service become those of a target.
import assert from "node:assert/strict";
import { test } from "node:test";
import { compose, composeProblems } from "./fixture.ts";

/** The target of one service "app" with these settings of `build`. */
function build(settings: string, around = ""): Record<string, unknown> {
  const lines = settings.split("\n").map(line => `      ${line}\n`);
  return compose(`services:\n  app:\n    build:\n      context: .\n${lines.join("")}${around}`)["app"] ?? {};
}

test("contexts are cleaned paths below the working directory, or URLs as they are", () => {
  const context = (text: string): unknown =>
    compose(`services: {app: {build: "${text}"}}`)["app"]?.["context"];
  assert.equal(context("./a/../b"), "b");
  assert.equal(context(".."), "..");
  assert.equal(context("/abs"), "/abs");
  assert.equal(context("https://example.com/repo.git#v1:sub"), "https://example.com/repo.git#v1:sub");
  assert.equal(context("git@example.com:a/b.git"), "git@example.com:a/b.git");
});

test("a home directory in a path is that of HOME", () => {
  const targets = compose("services: {app: {build: ~/src}}", { env: { HOME: "/home/u" } });
  assert.equal(targets["app"]?.["context"], "/home/u/src");
});

test("arguments become text as Compose writes it, and those without value come from the environments", () => {
  const text = `services:
  app:
    environment: {OWN: svc, PASSED: }
    env_file: app.env
    build:
      context: .
      args: {N: 0755, F: 1.50, B: true, D: 2020-01-01, T: "007", OWN: , FILE: , PASSED: , OUTER: , NONE: }
`;
  const targets = compose(text, {
    env: { OUTER: "o", PASSED: "p" },
    others: { "app.env": "FILE=f\nOWN=no\n" },
  });
  assert.deepEqual(targets["app"]?.["args"], {
    ...{ N: "493", F: "1.5", B: "true", D: "2020-01-01 00:00:00 +0000 UTC", T: "007" },
    ...{ OWN: "svc", FILE: "f", PASSED: "p", OUTER: "o" },
  });
});

test("lists of arguments and labels", () => {
  const target = build('args: ["A=1", "B", "C=", "A=2"]\nlabels: ["x=1", "y"]');
  assert.deepEqual(target["args"], { A: "2", C: "" });
  assert.deepEqual(target["labels"], { x: "1", y: "" });
});

test("the image is the tag unless the build has tags", () => {
  const image = (rest: string): unknown =>
    compose(`services: {app: {image: "i:1", build: {context: .${rest}}}}`)["app"]?.["tags"];
  assert.deepEqual(image(""), ["i:1"]);
  assert.deepEqual(image(", tags: []"), ["i:1"]);
  assert.deepEqual(image(", tags: [t, t]"), ["t"]);
});

test("sizes read as people write them and print in binary units", () => {
  const size = (text: string): unknown => build(`shm_size: ${text}`)["shm-size"];
  assert.equal(size("64mb"), "64MiB");
  assert.equal(size("1g"), "1GiB");
  assert.equal(size("1500"), "1.465KiB");
  assert.equal(size("1073741824"), "1GiB");
  assert.equal(size('"0.5 GiB"'), "512MiB");
  assert.equal(size("0"), undefined);
});

test("limits, hosts, network and switches", () => {
  const target = build(
    [
      "ulimits: {nofile: {soft: 10, hard: 20}, nproc: 5}",
      'extra_hosts: ["a=1.1.1.1", "b:2.2.2.2", "v6=[::1]"]',
      "network: host",
      "pull: true",
      'no_cache: "yes"',
      "privileged: true",
    ].join("\n"),
  );
  assert.deepEqual(target["ulimits"], ["nofile=10:20", "nproc=0:0"]);
  assert.deepEqual(target["extra-hosts"], { a: "1.1.1.1", b: "2.2.2.2", v6: "::1" });
  assert.equal(target["network"], "host");
  assert.deepEqual(target["entitlements"], ["network.host"]);
  assert.equal(target["pull"], true);
  assert.equal(target["no-cache"], true);
});

test("switches that are off say nothing", () => {
  const target = build("pull: false\nno_cache: false");
  assert.deepEqual(Object.keys(target), ["context", "dockerfile"]);
});

test("attestations", () => {
  assert.deepEqual(build("provenance: mode=max\nsbom: true")["attest"], [
    { type: "sbom" },
    { type: "provenance", mode: "max" },
  ]);
  assert.deepEqual(build("provenance: false")["attest"], [{ type: "provenance", disabled: true }]);
});

test("caches, platforms, secrets and named contexts", () => {
  const target = build(
    [
      "cache_from: [example.com/c, type=gha]",
      "cache_to: [type=inline]",
      "platforms: [linux/amd64]",
      "secrets: [a, {source: b, target: x}]",
      "additional_contexts: [lib=../lib, svc=service:other.one, img=docker-image://x]",
    ].join("\n"),
    "  other.one: {build: ./o}\nsecrets: {a: {environment: A}, b: {file: ./b.txt}}\n",
  );
  assert.deepEqual(target["cache-from"], [{ ref: "example.com/c", type: "registry" }, { type: "gha" }]);
  assert.deepEqual(target["cache-to"], [{ type: "inline" }]);
  assert.deepEqual(target["platforms"], ["linux/amd64"]);
  assert.deepEqual(target["secret"], [
    { id: "a", env: "A" },
    { id: "b", src: "b.txt" },
  ]);
  assert.deepEqual(target["contexts"], {
    lib: "../lib",
    svc: "target:other_one",
    img: "docker-image://x",
  });
});

test("x-bake adds to lists, fills in contexts and sets switches", () => {
  const target = build(
    [
      "tags: [one]",
      "cache_from: [c1]",
      "additional_contexts: {lib: ./lib}",
      "x-bake:",
      "  tags: [two, one]",
      "  cache-from: c1 c2",
      '  cache-to: "type=local,dest=x"',
      "  output: [type=docker]",
      "  platforms: linux/amd64 linux/arm64",
      '  secret: ["id=s,env=E"]',
      "  no-cache-filter: [stage]",
      "  no-cache: true",
      "  contexts: {lib: ./other, more: target:a.b}",
      "  anything: 1",
    ].join("\n"),
    "  a.b: {build: ./b}\n",
  );
  assert.deepEqual(target, {
    context: ".",
    contexts: { lib: "lib", more: "target:a_b" },
    dockerfile: "Dockerfile",
    tags: ["one", "two"],
    "cache-from": [
      { ref: "c1", type: "registry" },
      { ref: "c2", type: "registry" },
    ],
    "cache-to": [{ dest: "x", type: "local" }],
    secret: [{ id: "s", env: "E" }],
    platforms: ["linux/amd64", "linux/arm64"],
    output: [{ type: "docker" }],
    "no-cache": true,
    "no-cache-filter": ["stage"],
  });
});

test("wrong settings are reported where they are, all at once", () => {
  const text = `services:
  app:
    build:
      dockerfil: x
      tags: foo
      shm_size: [1]
      args: {A: {B: 1}}
      target: 5
  img: {image: 5}
secrets:
  s: {fil: x}
`;
  assert.deepEqual(composeProblems(text), [
    'compose.yaml:4:7 error: a build has no setting "dockerfil" (did you mean "dockerfile"?)',
    'compose.yaml:5:13 error: "tags" must be a list of strings, found a string (put it in brackets)',
    'compose.yaml:6:17 error: "shm_size" must be a size, found a list',
    'compose.yaml:7:17 error: the value of "A" in "args" must be a string, a number, a bool or nothing, found a mapping',
    'compose.yaml:8:15 error: "target" must be a string, found a number (put it in quotes)',
    'compose.yaml:9:16 error: "image" of service "img" must be a string, found a number (put it in quotes)',
    'compose.yaml:11:7 error: secret "s" has no setting "fil" (did you mean "file"?)',
  ]);
});

test("values that cannot be are reported where they are, all at once", () => {
  const text = `services:
  app:
    build:
      context: .
      secrets: [s, t]
      additional_contexts: {x: "service:ap", y: "service:img"}
      shm_size: 64xb
      extra_hosts: [foo]
      ulimits: {nofle: {soft: 1, hard: 2}}
      dockerfile: D
      dockerfile_inline: FROM scratch
  img: {image: x}
  none: {}
secrets:
  s: {external: true}
  e: {name: e}
`;
  assert.deepEqual(composeProblems(text), [
    'compose.yaml:11:26 error: service "app" has both a dockerfile and a dockerfile_inline (keep one of them)',
    'compose.yaml:6:32 error: service "app" uses the unknown service "ap" as its context "x" (did you mean "app"?)',
    'compose.yaml:6:49 error: service "app" uses the service "img" as its context "y", which is not built (give "img" a build, or name its image: docker-image://...)',
    'compose.yaml:5:17 error: the build secret "s" is external (give it a file or environment)',
    'compose.yaml:7:17 error: "64xb" is not a size (for example 64mb)',
    'compose.yaml:8:21 error: the host "foo" has no address (write "name=address")',
    'compose.yaml:9:17 error: unknown ulimit "nofle" (did you mean "nofile"?)',
    'compose.yaml:13:3 error: service "none" has neither an image nor a build',
    'compose.yaml:16:3 error: the secret "e" has neither a file nor an environment',
  ]);
});

test("slips in x-bake are warned about", () => {
  const text = "services: {app: {build: {context: ., x-bake: {platform: linux/amd64}}}}";
  assert.deepEqual(composeProblems(text), [
    'compose.yaml:1:47 warning: the key "platform" of "x-bake" is ignored (did you mean "platforms"?)',
  ]);
});
