// Goal: what a Mockerfile says becomes steps on pinned bases and an image config; everything wrong with it is told at
// its place, and no text at all gives anything but images or such an error.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BakeError } from "../../src/diagnostic/error.ts";
import { positionAt } from "../../src/diagnostic/source.ts";
import type { FrontendRequest } from "../../src/frontend/frontend.ts";
import { decodeOp } from "../../src/llb/ops.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { timeLimit } from "../rig/timelimit.ts";
import { alpineConfig, lower } from "./host.ts";

const lines = (...text: readonly string[]): string => ["#syntax=llbake/mockerfile", ...text, ""].join("\n");

function lowerYaml(text: string, request: Partial<FrontendRequest> = {}) {
  const options = { filename: "mockerfile.yaml", ...request.options };
  return lower({ files: { "dockerfile/mockerfile.yaml": text } }, { ...request, options });
}

/** Line, message and hint of every problem. */
async function problems(text: string, request: Partial<FrontendRequest> = {}) {
  const thrown = await lowerYaml(text, request).then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(thrown instanceof BakeError, "no BakeError was thrown");
  return thrown.diagnostics.map(({ range, message, hint }) => [
    range === undefined ? undefined : positionAt(range.source, range.start).line,
    message,
    hint,
  ]);
}

const demo = lines(
  "apiVersion: v1alpha1",
  "images:",
  "- name: tools",
  "  from: ubuntu:16.04",
  "  package: { install: [curl, git] }",
  "  env: { LANG: C.UTF-8 }",
  "- name: demo",
  "  from: tools",
  "  package: { manager: archives, install: [a, b] }",
  "  cmd: [a, -v]",
);

test("images become a pinned base, a command for packages and one file op for archives", async () => {
  const [image] = (await lowerYaml(demo)).images;
  assert.ok(image !== undefined);
  const ops = image.definition.def.map(decodeOp);
  assert.deepEqual(ops.map(({ kind }) => kind).sort(), ["exec", "file", "source", "source", "terminal"]);
  const base = ops.find(op => op.kind === "source" && op.spec.identifier.startsWith("docker-image:"));
  const reference = "docker.io/library/ubuntu:16.04";
  assert.ok(base?.kind === "source");
  assert.equal(base.spec.identifier, `docker-image://${reference}@${digestOf(reference)}`);
  const exec = ops.find(op => op.kind === "exec");
  assert.ok(exec?.kind === "exec");
  assert.match(
    exec.spec.meta?.args.join(" ") ?? "",
    /^\/bin\/sh -c apt-get update && apt-get install .* curl git /,
  );
  assert.deepEqual(exec.spec.meta?.env, [...(alpineConfig.config?.Env ?? []), "LANG=C.UTF-8"]);
  assert.deepEqual(image.config.config?.Cmd, ["a", "-v"]);
  assert.deepEqual(
    image.config.history?.slice(1).map(({ created_by }) => created_by),
    ["install curl git", "install a b"],
  );
});

test("the target names an image; without one the last is built", async () => {
  const digests = async (target: string) =>
    (await lowerYaml(demo, { options: { target } })).images[0]?.definition.def.map(digestOf);
  assert.deepEqual(await digests(""), await digests("demo"));
  assert.notDeepEqual(await digests("tools"), await digests("demo"));
  assert.deepEqual(await problems(demo, { options: { target: "tool" } }), [
    [undefined, 'the Mockerfile has no image "tool"', 'did you mean "tools"?'],
  ]);
});

test("each platform is lowered with the image of that platform", async () => {
  const { images } = await lowerYaml(demo, { options: { platform: "linux/amd64,linux/arm64" } });
  assert.deepEqual(
    images.map(({ config }) => config.architecture),
    ["amd64", "arm64"],
  );
});

test("everything that is wrong is told at its place", async () => {
  const text = lines(
    "apiVersion: v2",
    "images:",
    "- name: Demo",
    "  form: x",
    "- name: demo",
    "  from: scratch",
    "  package:",
    "    manager: apd",
    '    install: [curl, "a;reboot", [b]]',
    "- name: demo",
    "  from: scratch",
    "more: 1",
  );
  assert.deepEqual(await problems(text), [
    [2, 'unknown apiVersion "v2"', "write v1alpha1"],
    [4, 'an image needs "from"', undefined],
    [4, 'invalid name "Demo"', "use lower-case letters, digits, . _ and -"],
    [5, 'an image has no "form"', 'did you mean "from"?'],
    [9, 'unknown package manager "apd"', 'did you mean "apk"?'],
    [10, 'invalid package name "a;reboot"', undefined],
    [10, "a package name is not a text", undefined],
    [11, 'the image "demo" is defined twice', "rename one of them"],
    [13, 'a Mockerfile has no "more"', "known: apiVersion, images"],
  ]);
});

test("a base or context that is not there is told at its name", async () => {
  const unknown = lines("images:", "- name: a", "  from: nowhere.example/x");
  assert.deepEqual(
    (await problems(unknown)).map(([line]) => line),
    [4],
  );
  const context = lines(
    "images:",
    "- name: a",
    "  from: scratch",
    "  package: { manager: archives, from: pkgs, install: [x] }",
  );
  assert.deepEqual(await problems(context), [
    [5, 'there is no context "pkgs"', 'give it as contexts = { pkgs = "…" } of the target'],
  ]);
});

test("deep nesting is an error like any other", async () => {
  const [[line, message] = []] = await problems(lines("images: " + "[".repeat(200_000)));
  assert.equal(typeof line, "number");
  assert.match(String(message), /cannot read the YAML/);
});

test("mutated Mockerfiles give images or errors with ranges", async () => {
  const piece = fc.constantFrom(
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "\n",
    "  ",
    "|",
    "!!x ",
    '"',
    "#",
    "0",
  );
  const edit = fc.tuple(fc.nat(demo.length), fc.nat(8), piece);
  const isOver = timeLimit(2500);
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 5 }), async edits => {
      if (isOver()) return;
      const text = edits.reduce(
        (before, [at, cut, put]) => before.slice(0, at) + put + before.slice(at + cut),
        demo,
      );
      try {
        await lowerYaml(text, { options: { "build-arg:BUILDKIT_SYNTAX": "llbake/mockerfile" } });
      } catch (thrown) {
        assert.ok(thrown instanceof BakeError && thrown.code !== "internal", String(thrown));
        for (const { range } of thrown.diagnostics)
          assert.ok(range !== undefined && range.start <= range.end && range.end <= text.length, text);
      }
    }),
    { numRuns: 1500 },
  );
});
