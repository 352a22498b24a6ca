// Goal: what two processes want at the same time one makes, and the other gets, or takes over whatever ends the first.
// Method: a step tells that it runs, then reads from a fifo in a cache mount, which the test finds in the state
// directory; each execution leaves a line there, which is no part of the result.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import {
  baseStage,
  type Project,
  type RunningBake,
  startBake,
  stepsOf,
  target,
  tempProject,
} from "../rig/bake.ts";
import { openStateRoot } from "../../src/content/root.ts";
import { sweepDeadOwners } from "../../src/content/sweep.ts";
import { skipWithoutContainers } from "../rig/engine.ts";
import { remains } from "./remains.ts";

const skip = skipWithoutContainers;

/** The held step says so; its name has the word as well. */
const READY = /^#\d+ [\d.]+ ready$/m;
const WAITS = /^#\d+ waiting for another bake \(pid (\d+)\), which runs this step$/m;

/** A build whose step does not end before the test says how. */
function writeHeld(project: Project, mount = "type=cache,target=/held,id=held"): void {
  project.write("bake.hcl", target("default", `output = ["type=local,dest=out"]`));
  project.write(
    "Dockerfile",
    `${baseStage}
RUN --mount=${mount} \\
  echo run >> /held/runs; mkfifo /held/go 2> /dev/null; echo ready; \\
  read word < /held/go && [ "$word" = go ] && echo fine > /result
RUN cat /result /result > /twice
FROM scratch
COPY --from=base /twice /
`,
  );
}

/** A held step outlives a test that failed, unless its owner is swept. */
function sweptAtEnd({ root }: Project): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      await sweepDeadOwners(await openStateRoot(root));
    },
  };
}

function heldFolder({ root }: Project): string {
  const folders = readdirSync(join(root, "cache-mounts"), { withFileTypes: true });
  const [only, ...others] = folders.filter(entry => entry.isDirectory());
  assert.ok(only !== undefined && others.length === 0, "one cache mount");
  return join(root, "cache-mounts", only.name);
}

/** Lets the step that runs now go on. */
async function letGo(project: Project, word: "go" | "fail"): Promise<void> {
  // Opens when the step does.
  const fifo = await open(join(heldFolder(project), "go"), "w");
  await fifo.write(`${word}\n`);
  await fifo.close();
}

function executions(project: Project): number {
  return readFileSync(join(heldFolder(project), "runs"), "utf8").split("\n").length - 1;
}

/** Two builds of the same, the first of which runs the step for which the second waits. */
async function startTwo(
  project: Project,
  secondArgs: readonly string[] = [],
): Promise<readonly [RunningBake, RunningBake]> {
  const first = startBake(["--progress=plain"], project);
  await first.saw(READY);
  const second = startBake(
    ["--progress=plain", "--set", "default.output=type=local,dest=out2", ...secondArgs],
    project,
  );
  await second.saw(WAITS);
  return [first, second];
}

test("a step that another process runs is waited for, and its result used", { skip }, async () => {
  using project = tempProject();
  await using _swept = sweptAtEnd(project);
  writeHeld(project);
  const [first, second] = await startTwo(project);
  await using _first = first;
  await using _second = second;
  await letGo(project, "go");
  assert.equal((await first.outcome).exitCode, 0);
  const { exitCode, stderr } = await second.outcome;
  assert.equal(exitCode, 0, stderr);
  assert.equal(WAITS.exec(stderr)?.[1], String(first.pid));
  const number = /^#(\d+) waiting/m.exec(stderr)?.[1];
  assert.match(stderr, new RegExp(`^#${number} CACHED$`, "m"));
  assert.equal(project.read("out/twice"), "fine\nfine\n");
  assert.equal(project.read("out2/twice"), "fine\nfine\n");
  assert.equal(executions(project), 1);
  assert.deepEqual(remains({ ...project, processes: [first.name, second.name] }), []);
});

for (const end of ["SIGKILL", "SIGINT", "failure"] as const) {
  test(`the first process ends by ${end}: the second takes over and finishes`, { skip }, async () => {
    using project = tempProject();
    await using _swept = sweptAtEnd(project);
    writeHeld(project);
    const [first, second] = await startTwo(project);
    await using _first = first;
    await using _second = second;
    const seen = await second.saw(WAITS);
    if (end === "failure") await letGo(project, "fail");
    else first.kill(end);
    await second.saw(READY, seen);
    assert.deepEqual(
      (await first.outcome).exitCode,
      { SIGKILL: null, SIGINT: 130, failure: 1 }[end],
      (await first.outcome).stderr,
    );
    // Whatever the killed one ran is gone by now: the only one who reads this is the second.
    await letGo(project, "go");
    const { exitCode, stderr } = await second.outcome;
    assert.equal(exitCode, 0, stderr);
    assert.equal(project.read("out2/twice"), "fine\nfine\n");
    assert.equal(executions(project), 2);
    assert.deepEqual(remains({ ...project, processes: [first.name, second.name] }), []);
  });
}

test("who waits for another process can be interrupted", { skip }, async () => {
  using project = tempProject();
  await using _swept = sweptAtEnd(project);
  writeHeld(project);
  const [first, second] = await startTwo(project);
  await using _first = first;
  await using _second = second;
  second.kill("SIGINT");
  assert.equal((await second.outcome).exitCode, 130);
  await letGo(project, "go");
  assert.equal((await first.outcome).exitCode, 0);
  assert.equal(executions(project), 1);
});

test("who waits holds no slot: what nobody else runs goes on", { skip }, async () => {
  using project = tempProject();
  await using _swept = sweptAtEnd(project);
  writeHeld(project);
  project.write(
    "bake.hcl",
    `group "default" { targets = ["held", "other"] }
${target("held", `output = ["type=cacheonly"]`, `target = "base"`)}
${target("other", `dockerfile = "other.Dockerfile"`, `output = ["type=local,dest=out"]`)}`,
  );
  project.write(
    "other.Dockerfile",
    `${baseStage}RUN echo other > /other\nFROM scratch\nCOPY --from=base /other /\n`,
  );
  await using first = startBake(["held", "--progress=plain"], project);
  await first.saw(READY);
  await using second = startBake(["--max-parallelism=1", "--progress=rawjson"], project);
  await second.saw(/which runs this step/);
  const other = stepIn(second, /RUN echo other/);
  await other;
  await letGo(project, "go");
  assert.equal((await first.outcome).exitCode, 0);
  const { exitCode, stderr } = await second.outcome;
  assert.equal(exitCode, 0, stderr);
  assert.equal(stepsOf(stderr).filter(({ name }) => /echo run/.test(name))[0]?.cached, true);
  assert.equal(executions(project), 1);
});

/** Resolves when a step of that name has ended. */
async function stepIn(running: RunningBake, name: RegExp): Promise<void> {
  await running.saw(new RegExp(`"name":"[^"]*${name.source}[^\\n]*"completed"`));
}

test(
  "a locked cache held by another process is waited for, told, and free when that one is killed",
  { skip },
  async () => {
    using project = tempProject();
    await using _swept = sweptAtEnd(project);
    writeHeld(project, "type=cache,target=/held,id=held,sharing=locked");
    await using first = startBake(["--progress=plain"], project);
    await first.saw(READY);
    // Another step, so nobody waits for the result of the first.
    project.write("Dockerfile", project.read("Dockerfile").replace("echo fine", "echo well"));
    await using second = startBake(["--progress=plain"], project);
    await second.saw(/^#\d+ waiting for the cache "[^"]*held", used by another bake \(pid \d+\)$/m);
    assert.equal(executions(project), 1);
    first.kill("SIGKILL");
    await second.saw(READY);
    await letGo(project, "go");
    const { exitCode, stderr } = await second.outcome;
    assert.equal(exitCode, 0, stderr);
    assert.equal(project.read("out/twice"), "well\nwell\n");
    assert.equal(executions(project), 2);
    assert.deepEqual(remains({ ...project, processes: [first.name, second.name] }), []);
  },
);
