// Goal: a crowd of processes, exports and steps in one state directory: none hangs, all are right, nothing is made twice.
// Method: many builds at once, of the same and of different things; LLBAKE_CROWD says how many (40 in closing runs).
import assert from "node:assert/strict";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  bakeOk,
  baseStage,
  executedSteps,
  type Project,
  startBake,
  stepsOf,
  target,
  tempProject,
} from "../rig/bake.ts";
import { skipWithoutContainers } from "../rig/engine.ts";
import { remains } from "./remains.ts";
import { readLayout } from "./whole.ts";

const skip = skipWithoutContainers;
const CROWD = Number(process.env["LLBAKE_CROWD"] ?? "10");
/** Kill at every step; else at a third of them, others from day to day. */
const EVERY = process.env["LLBAKE_EVERY_WRITE"] === "1";
/** Far longer than the crowd takes on a slow machine, and short enough to tell that one hangs. */
const HANG_MS = 60_000 + CROWD * 5_000;

/** Each execution of the step leaves a line in a cache mount, which is no part of the result. */
function writeProject(project: Project): void {
  project.write("bake.hcl", target("default", `args = { SOURCE_DATE_EPOCH = "1700000000" }`));
  project.write(
    "Dockerfile",
    `${baseStage}
ARG X=0
RUN --mount=type=cache,target=/keep echo $X >> /keep/runs; echo $X > /x; touch -d @1600000000 /x
RUN --mount=type=cache,target=/keep,id=locked,sharing=locked cat /x /x > /twice; touch -d @1600000000 /twice
FROM scratch
COPY --from=base /twice /twice
`,
  );
}

test(
  `${CROWD} builds at once of the same and of different things: none hangs, each step runs once`,
  { skip },
  async () => {
    using project = tempProject();
    writeProject(project);
    const builds = Array.from({ length: CROWD }, (_, index) => {
      // Half of them the same, the others in pairs.
      const x = index % 2 === 0 ? "same" : `pair${index >> 2}`;
      const args = [
        "--progress=rawjson",
        "--set",
        `*.args.X=${x}`,
        "--set",
        `*.output=type=local,dest=out${index}`,
      ];
      return { x, running: startBake(args, { ...project, timeoutMs: HANG_MS }) };
    });
    const executed: string[] = [];
    for (const [index, { x, running }] of builds.entries()) {
      await using process = running;
      const { exitCode, stderr } = await process.outcome;
      assert.notEqual(exitCode, null, `build ${index} hung:\n${lastSteps(stderr)}`);
      assert.equal(exitCode, 0, stderr);
      assert.equal(project.read(`out${index}/twice`), `${x}\n${x}\n`);
      executed.push(
        ...executedSteps(stderr).flatMap(({ name }) => (name.includes("RUN") ? [`${name} ${x}`] : [])),
      );
    }
    // The base stage is the same for all; the others are keyed by X, which only the first of the two shows.
    const runs = readdirSync(join(project.root, "cache-mounts"))
      .map(name => join(project.root, "cache-mounts", name, "runs"))
      .flatMap(path => {
        try {
          return readFileSync(path, "utf8").trim().split("\n");
        } catch {
          return [];
        }
      });
    assert.deepEqual(runs.sort(), [...new Set(builds.map(({ x }) => x))].sort());
    const base = executed.filter(name => name.includes("--install"));
    assert.equal(base.length, 1, "the step that all have in common runs once");
    assert.deepEqual(remains({ ...project, processes: builds.map(({ running }) => running.name) }), []);
  },
);

function lastSteps(stderr: string): string {
  return stepsOf(stderr)
    .filter(step => !step.completed)
    .map(({ name }) => name)
    .join("\n");
}

test("11 exports of one result at once are all whole and the same", { skip }, async () => {
  using project = tempProject();
  writeProject(project);
  const names = Array.from({ length: 11 }, (_, index) => `t${index}`);
  const outputs = (name: string): string =>
    `output = ["type=oci,dest=${name}.oci.tar", "type=docker,dest=${name}.docker.tar", "type=local,dest=${name}"]`;
  project.write(
    "bake.hcl",
    `group "default" { targets = ${JSON.stringify(names)} }\n` +
      names.map(name => target(name, `args = { SOURCE_DATE_EPOCH = "1700000000" }`, outputs(name))).join(""),
  );
  // Two processes, so that exports of one meet those of the other.
  const running = [0, 1].map(() => startBake([], { ...project, timeoutMs: HANG_MS }));
  for (const one of running) {
    await using process = one;
    const { exitCode, stderr } = await process.outcome;
    assert.equal(exitCode, 0, stderr.slice(-4_000));
    assert.doesNotMatch(stderr, /Warning/);
  }
  const digests = names.map(name => readLayout(join(project.cwd, `${name}.oci.tar`)));
  assert.equal(new Set(digests).size, 1);
  for (const name of names) {
    readLayout(join(project.cwd, `${name}.docker.tar`));
    assert.equal(project.read(`${name}/twice`), "0\n0\n");
  }
  assert.deepEqual(remains({ ...project, processes: running.map(({ name }) => name) }), []);
});

test(
  "killed at each of its steps in turn, a build leaves nothing that the next start does not sweep",
  { skip },
  async () => {
    using project = tempProject();
    writeProject(project);
    const first = await bakeOk(["--progress=plain", "--set", "*.output=type=oci,dest=all.tar"], project);
    const digest = readLayout(join(project.cwd, "all.tar"));
    const names = [...first.stderr.matchAll(/^#\d+ (\[.*|exporting .*)$/gm)].map(([, name = ""]) => name);
    assert.ok(names.length >= 5, first.stderr);
    const processes: string[] = [];
    const today = Math.floor(Date.now() / 86_400_000);
    for (const [index, name] of [...new Set(names)].entries()) {
      if (!EVERY && index % 3 !== today % 3) continue;
      rmSync(project.root, { recursive: true, force: true });
      await using running = startBake(
        ["--progress=plain", "--set", "*.output=type=oci,dest=killed.tar"],
        project,
      );
      processes.push(running.name);
      const shown = name.replace("all.tar", "killed.tar");
      await running.saw(new RegExp(`^#\\d+ ${shown.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`, "m"));
      running.kill("SIGKILL");
      await running.outcome;
      await bakeOk(["--set", "*.output=type=oci,dest=next.tar"], project);
      assert.equal(readLayout(join(project.cwd, "next.tar")), digest, name);
      assert.deepEqual(remains({ ...project, processes }), [], name);
    }
  },
);
