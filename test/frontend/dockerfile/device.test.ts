// Goal: RUN --device as BuildKit's labs frontend lowers it, and an error that names that syntax everywhere else.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BakeError } from "../../../src/diagnostic/error.ts";
import type { CdiDevice } from "../../../src/llb/op/exec.ts";
import { decodeOp } from "../../../src/llb/ops.ts";
import { lower } from "../host.ts";

async function devices(
  flags: string,
  syntax = "docker/dockerfile:1-labs",
  options: Readonly<Record<string, string>> = {},
): Promise<readonly CdiDevice[]> {
  const text = `# syntax=${syntax}\nFROM alpine\nRUN ${flags} true\n`;
  const { images } = await lower({ files: { "dockerfile/Dockerfile": text } }, { options });
  const ops = images[0]?.definition.def.map(decodeOp) ?? [];
  return ops.flatMap(op => (op.kind === "exec" ? op.spec.cdiDevices : []));
}

async function problem(promise: Promise<unknown>): Promise<BakeError> {
  const thrown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(thrown instanceof BakeError, "no BakeError was thrown");
  return thrown;
}

test("devices are optional unless they say otherwise, and keep their order", async () => {
  const flags = "--device=b.com/gpu=1 --device=name=a.com/gpu=all,required --device=a.com/tpu,required=false";
  assert.deepEqual(await devices(flags), [
    { name: "b.com/gpu=1", optional: true },
    { name: "a.com/gpu=all", optional: false },
    { name: "a.com/tpu", optional: true },
  ]);
});

for (const syntax of [
  "docker/dockerfile:labs",
  "docker/dockerfile:1.14-labs",
  "docker.io/docker/dockerfile:1-labs@sha256:00",
  "docker/dockerfile-upstream:master-labs",
]) {
  test(`${syntax} is the labs syntax`, async () => {
    assert.equal((await devices("--device=a.com/gpu=1", syntax)).length, 1);
  });
}

for (const syntax of ["docker/dockerfile:1", "docker/dockerfile", "docker/dockerfile:1-labsx"]) {
  test(`${syntax} is not, and says which line to write`, async () => {
    const error = await problem(devices("--device=a.com/gpu=1", syntax));
    assert.equal(error.code, "dockerfile-lower");
    assert.match(error.diagnostics[0]?.hint ?? "", /# syntax=docker\/dockerfile:1-labs/);
  });
}

test("the syntax may be asked for by build arg", async () => {
  const options = { "build-arg:BUILDKIT_SYNTAX": "docker/dockerfile:1-labs" };
  assert.equal((await devices("--device=a.com/gpu=1", "docker/dockerfile:1", options)).length, 1);
});

for (const flags of [
  "--device=a.com/gpu=1,name=b.com/gpu=2",
  "--device=a.com/gpu=1,optional",
  "--device=a.com/gpu=1,required=maybe",
  "--device=required",
]) {
  test(`RUN ${flags} is refused`, async () => {
    assert.equal((await problem(devices(flags))).code, "dockerfile-syntax");
  });
}
