// Goal: which files are read, which images asked for, and what links builds with each other. Fake: FrontendHost.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BakeError } from "../../../src/diagnostic/error.ts";
import type { FrontendResult } from "../../../src/frontend/frontend.ts";
import type { SourceOp } from "../../../src/llb/op/source.ts";
import { decodeOp } from "../../../src/llb/ops.ts";
import { digestOf } from "../../../src/oci/digest.ts";
import { createHost, lower, lowerText } from "../host.ts";

function sources({ images }: FrontendResult): readonly SourceOp[] {
  return images.flatMap(({ definition }) =>
    definition.def.map(decodeOp).flatMap(op => (op.kind === "source" ? [op.spec] : [])),
  );
}

function contextAttrs(result: FrontendResult): Readonly<Record<string, string>> {
  return sources(result).find(({ identifier }) => identifier === "local://context")?.attrs ?? {};
}

async function problem(promise: Promise<unknown>): Promise<BakeError> {
  const thrown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(thrown instanceof BakeError, "no BakeError was thrown");
  return thrown;
}

test("a missing Dockerfile is named by the path that was looked for", async () => {
  const error = await problem(lower({ files: {} }, { options: { filename: "docker/Dockerfile.dev" } }));
  assert.equal(error.code, "file-missing");
  assert.match(error.message, /docker\/Dockerfile\.dev/);
});

test("dockerfile in lower case is found when nothing else is asked for", async () => {
  const { images } = await lower({ files: { "dockerfile/dockerfile": "FROM scratch\n" } });
  assert.equal(images.length, 1);
});

test("the ignore file beside the Dockerfile wins over that of the context", async () => {
  const files = {
    "dockerfile/Dockerfile": "FROM scratch\nCOPY . /\n",
    "context/.dockerignore": "a\n# no\n\n/b/\n!c\n",
  };
  assert.equal(contextAttrs(await lower({ files }))["local.excludepatterns"], '["a","b","!c"]');
  const both = { ...files, "dockerfile/Dockerfile.dockerignore": "own\n" };
  assert.equal(contextAttrs(await lower({ files: both }))["local.excludepatterns"], '["own"]');
});

test("a malformed ignore file is reported at its line", async () => {
  const files = { "dockerfile/Dockerfile": "FROM scratch\nCOPY . /\n", "context/.dockerignore": "ok\n[\n" };
  const error = await problem(lower({ files }));
  const range = error.diagnostics[0]?.range;
  assert.deepEqual([error.code, range?.source.name, range?.start], ["pattern-invalid", ".dockerignore", 3]);
});

test("only what is read of the context is asked for, and all of it once the root is", async () => {
  const some = await lowerText(
    "FROM alpine AS a\nCOPY ./x /y/ /to\nFROM alpine AS unused\nCOPY z /\nFROM a\nRUN --mount=source=b,target=/b true\n",
  );
  assert.equal(contextAttrs(some)["local.followpaths"], '["b","x","y"]');
  const all = await lowerText("FROM alpine\nCOPY x /\nCOPY . /\n");
  assert.equal(contextAttrs(all)["local.followpaths"], undefined);
});

test("the session of a local directory can be overridden", async () => {
  const result = await lowerText("FROM scratch\nCOPY . /\n", {
    options: { "local-sessionid:context": "other" },
  });
  assert.equal(contextAttrs(result)["local.session"], "other");
});

test("images of stages that the target does not need are not asked for", async () => {
  const files = {
    "dockerfile/Dockerfile": "FROM alpine AS a\nFROM busybox AS b\nFROM debian AS c\nCOPY --from=a x y\n",
  };
  const host = createHost({ files });
  await lower({ files }, {}, host);
  assert.deepEqual(host.asked.sort(), [
    "docker.io/library/alpine:latest linux/amd64",
    "docker.io/library/debian:latest linux/amd64",
  ]);
});

test("an unknown stage in COPY --from is an image", async () => {
  const result = await lowerText("FROM scratch\nCOPY --from=busybox:1.36 /bin /bin\n");
  assert.match(
    sources(result)[0]?.identifier ?? "",
    /^docker-image:\/\/docker\.io\/library\/busybox:1\.36@sha256:/,
  );
});

test("a linked target is used with its definition and config", async () => {
  const base = await lowerText("FROM alpine\nENV FROM_BASE=yes\nWORKDIR /base\n");
  const [image] = base.images;
  assert.ok(image);
  const inputs = { base: { definition: image.definition, config: image.config } };
  const { images } = await lowerText("FROM base\nRUN true\n", {
    inputs,
    options: { "context:base": "input:base" },
  });
  const [linked] = images;
  assert.ok(linked);
  const digests = linked.definition.def.map(digestOf);
  for (const op of image.definition.def.slice(0, -1))
    assert.ok(digests.includes(digestOf(op)), "an op of the input is missing");
  assert.ok(linked.config.config?.Env?.includes("FROM_BASE=yes"));
  assert.equal(linked.config.config?.WorkingDir, "/base");
});

test("a linked target of several platforms gives each the result of its own", async () => {
  const platforms = { platform: "linux/amd64,linux/arm64" };
  const base = await lowerText("FROM alpine\nRUN true\n", { options: platforms });
  const inputs = Object.fromEntries(
    base.images.map(({ platform, definition, config }) => [
      `base::${platform.os}/${platform.architecture}`,
      { definition, config },
    ]),
  );
  const { images } = await lowerText("FROM scratch\nCOPY --from=base / /\n", {
    inputs,
    options: { ...platforms, "context:base": "input:base" },
  });
  for (const [index, { definition }] of images.entries()) {
    const digests = definition.def.map(digestOf);
    const head = base.images[index]?.definition.def.at(-2);
    assert.ok(head !== undefined && digests.includes(digestOf(head)));
  }
});

test("named contexts that cannot be used say so", async () => {
  const cases = [
    ["target:other", "not-supported"],
    ["oci-layout://x", "usage"],
    ["oci-layout://x@y", "usage"],
    ["input:none", "usage"],
    ["ftp://x", "usage"],
    ["nothing", "usage"],
  ] as const;
  for (const [value, code] of cases) {
    const error = await problem(lowerText("FROM base\n", { options: { "context:base": value } }));
    assert.equal(error.code, code, value);
    assert.ok(error.diagnostics[0]?.range, value);
  }
});

test("another frontend image is refused, releases of this one are served", async () => {
  const error = await problem(lowerText("# syntax=example.com/other:1\nFROM scratch\n"));
  assert.deepEqual([error.code, error.diagnostics[0]?.range?.start], ["frontend-unknown", 0]);
  for (const syntax of ["docker/dockerfile:1", "docker.io/docker/dockerfile:1.7-labs", "docker/dockerfile"]) {
    assert.equal((await lowerText(`# syntax=${syntax}\nFROM scratch\n`)).images.length, 1);
  }
});

test("wrong options are refused", async () => {
  const cases = [
    [{ platform: "linux/" }, "platform-invalid"],
    [{ "add-hosts": "a=b" }, "usage"],
    [{ ulimit: "nofile=x" }, "usage"],
    [{ "shm-size": "10m" }, "usage"],
    [{ "multi-platform": "maybe" }, "usage"],
    [{ memory: "0" }, "usage"],
    [{ cpusetcpus: "3-1" }, "usage"],
    [{ "frontend.caps": "none.such" }, "usage"],
  ] as const;
  for (const [options, code] of cases) {
    assert.equal(
      (await problem(lowerText("FROM alpine\n", { options }))).code,
      code,
      JSON.stringify(options),
    );
  }
});

test("bytes that are not UTF-8 are fine in comments only", async () => {
  const latin = (text: string): Uint8Array => Buffer.from(text, "latin1");
  const host = (bytes: Uint8Array) => ({
    ...createHost({ files: {} }),
    readLocal: (_local: unknown, path: string) => Promise.resolve(path === "Dockerfile" ? bytes : undefined),
  });
  const { images } = await lower({ files: {} }, {}, host(latin("# caf\xe9\nFROM alpine\nRUN true\n")));
  assert.equal(images.length, 1);
  for (const text of ["FROM alpine\nRUN a \\\n caf\xe9\n", "FROM alpine\nCOPY <<'E' /\ncaf\xe9\nE\n"]) {
    const error = await problem(lower({ files: {} }, {}, host(latin(text))));
    assert.match(error.message, /line 3 is not UTF-8/);
  }
});

test("lowering twice gives the same bytes", async () => {
  const text =
    "FROM alpine AS a\nRUN true\nFROM a\nCOPY --link . /x\nRUN --mount=type=cache,target=/c true\n";
  const digests = async (): Promise<readonly string[]> =>
    (await lowerText(text)).images.flatMap(({ definition }) => definition.def.map(digestOf));
  assert.deepEqual(await digests(), await digests());
});
