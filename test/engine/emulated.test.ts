// Goal: a target that spends long in emulated commands is told of once, with the step that took longest; the way to
// emulate shows in failures. Method: events with times of the test's choosing; an engine that may take one way only.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import type { BakeError } from "../../src/diagnostic/error.ts";
import { watchEmulation } from "../../src/engine/emulated.ts";
import { copy, local, marshal, scratch } from "../../src/llb/mod.ts";
import type { ProgressEvent } from "../../src/progress/event.ts";
import { engineRig, skipWithoutContainers } from "../rig/engine.ts";
import { foreignDir, foreignProblem } from "../rig/foreign.ts";

interface Step {
  readonly id: string;
  readonly seconds: number;
  readonly targets: readonly string[];
  readonly emulated?: boolean;
  readonly fails?: boolean;
}

function warningsOf(steps: readonly Step[], targets: readonly string[]) {
  const passed: ProgressEvent[] = [];
  const watch = watchEmulation(event => passed.push(event));
  const sent = steps.flatMap(({ id, seconds, emulated = true, fails = false }): ProgressEvent[] => [
    { type: "step", id, name: `RUN ${id}`, inputs: [] },
    { type: "started", id, at: 1_000 },
    ...(emulated ? [{ type: "emulated", id, platform: "linux/arm64" } as const] : []),
    fails
      ? { type: "failed", id, at: 1_000 + seconds * 1_000, message: "no" }
      : { type: "done", id, at: 1_000 + seconds * 1_000 },
  ]);
  sent.forEach(event => watch.emit(event));
  assert.deepEqual(passed, sent);
  const source = { name: "Dockerfile", text: "RUN x\n" };
  return watch.warnings(targets, {
    targetsOf: id => steps.find(step => step.id === id)?.targets ?? [],
    rangeOf: id => (id === "make" ? { source, start: 0, end: 5 } : undefined),
  });
}

test("the longest emulated step of a slow target is pointed at, once, with the remedy", () => {
  const warnings = warningsOf(
    [
      { id: "configure", seconds: 8, targets: ["app"] },
      { id: "make", seconds: 31.25, targets: ["app", "test"] },
      { id: "native", seconds: 100, targets: ["app"], emulated: false },
    ],
    ["app"],
  );
  assert.equal(warnings.length, 1);
  const [{ target, diagnostic } = assert.fail()] = warnings;
  assert.equal(target, "app");
  assert.equal(
    diagnostic.message,
    'target "app" spent 39.3 s in emulated commands, 31.3 s of them in "RUN make" for linux/arm64',
  );
  assert.match(diagnostic.hint ?? "", /FROM --platform=\$BUILDPLATFORM for \$TARGETARCH/);
  assert.equal(diagnostic.range?.source.name, "Dockerfile");
});

test("each slow target is told of; short emulation is not worth a word", () => {
  const warnings = warningsOf(
    [
      { id: "shared", seconds: 9, targets: ["a", "b", "c"] },
      { id: "more", seconds: 2, targets: ["b"] },
      { id: "failing", seconds: 12, targets: ["c"], fails: true },
    ],
    ["a", "b", "c"],
  );
  assert.deepEqual(
    warnings.map(({ target, diagnostic }) => [target, /"(RUN \w+)"/.exec(diagnostic.message)?.[1]]),
    [
      ["b", "RUN shared"],
      ["c", "RUN failing"],
    ],
  );
});

const skip =
  skipWithoutContainers || (process.arch === "arm64" && "arm64 is not foreign") || foreignProblem("arm64");

test("a failure under a mounted emulator tells what that cannot do", { skip }, async () => {
  await using rig = await engineRig({ emulationWays: ["mounted"] });
  rig.locals.set("busybox", join(foreignDir, "arm64"));
  const platform = { os: "linux", architecture: "arm64" };
  const run = (script: string): Promise<unknown> => {
    const state = scratch()
      .file(copy(local("busybox", { uniqueId: "busybox" }), "busybox", "/bin/", { createDestPath: true }))
      .run({ args: ["/bin/busybox", "sh", "-c", script] })
      .root();
    const work = { tag: "definition", definition: marshal(state, { platform }), platform } as const;
    const session = {
      localDir: (name: string) => rig.locals.get(name),
      secret: () => Promise.resolve(undefined),
      credentials: () => Promise.resolve(undefined),
    };
    return rig.engine.solve([{ name: "app", work, exports: [] }], {
      session,
      emit: () => undefined,
      signal: new AbortController().signal,
    });
  };
  await run("echo of the shell itself > /x");
  await assert.rejects(run("/bin/busybox true"), (error: BakeError) => {
    assert.match(error.message, /exit code 126/);
    assert.match(error.diagnostics[0]?.hint ?? "", /only its own program runs on this kernel/);
    return true;
  });
});
