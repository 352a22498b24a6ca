// What runs again and what does not: nothing without a change, and after a change only what depends on it.
import assert from "node:assert/strict";
import { utimesSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { bakeOk, baseStage, executedSteps, type Project, target, tempProject } from "../rig/bake.ts";

const rawjson = ["--progress=rawjson"];
const executedRuns = (stderr: string): readonly string[] =>
  executedSteps(stderr)
    .flatMap(({ name }) => /RUN (\w+)/.exec(name)?.[1] ?? [])
    .sort();

/** Two stages that read a file each, and one that reads both results. */
function writeDiamond(project: Project): void {
  project.write("bake.hcl", target("default", `output = ["type=local,dest=out"]`));
  project.write(
    "Dockerfile",
    `${baseStage}
FROM base AS left
COPY left.txt /in
RUN sort /in > /left
FROM base AS right
COPY right.txt /in
RUN tac /in > /right
FROM base AS both
COPY --from=left /left /
COPY --from=right /right /
RUN cat /left /right > /both
FROM scratch
COPY --from=both /both /both
`,
  );
  project.write("left.txt", "b\na\n");
  project.write("right.txt", "1\n2\n");
}

test("a second run executes nothing and says so", async () => {
  using project = tempProject();
  writeDiamond(project);
  const first = await bakeOk(rawjson, project);
  assert.deepEqual(executedRuns(first.stderr), ["cat", "sort", "tac"]);
  assert.equal(project.read("out/both"), "a\nb\n2\n1\n");
  const second = await bakeOk(rawjson, project);
  assert.deepEqual(executedRuns(second.stderr), []);
  const third = await bakeOk(["--progress=plain"], project);
  assert.match(third.stderr, /CACHED/);
});

test("an edited file rebuilds what depends on it and nothing else", async () => {
  using project = tempProject();
  writeDiamond(project);
  await bakeOk(rawjson, project);
  project.write("right.txt", "1\n3\n");
  const { stderr } = await bakeOk(rawjson, project);
  assert.deepEqual(executedRuns(stderr), ["cat", "tac"]);
  assert.equal(project.read("out/both"), "a\nb\n3\n1\n");
});

test("a file edited without a change in its effect stops the rebuilding there", async () => {
  using project = tempProject();
  writeDiamond(project);
  await bakeOk(rawjson, project);
  project.write("left.txt", "a\nb\n");
  const { stderr } = await bakeOk(rawjson, project);
  assert.deepEqual(executedRuns(stderr), ["sort"], "the sorted file is the same, so nothing after it runs");
});

test("a touched file is not a changed one", async () => {
  using project = tempProject();
  writeDiamond(project);
  await bakeOk(rawjson, project);
  utimesSync(join(project.cwd, "left.txt"), new Date(), new Date());
  const { stderr } = await bakeOk(rawjson, project);
  assert.deepEqual(executedRuns(stderr), []);
});

test("bk#853, bk#894, ea#2317: other bytes of the same size and time are a change", async () => {
  using project = tempProject();
  writeDiamond(project);
  const then = new Date("2024-01-01T00:00:00Z");
  const file = join(project.cwd, "left.txt");
  utimesSync(file, then, then);
  await bakeOk(rawjson, project);
  project.write("left.txt", "c\na\n");
  utimesSync(file, then, then);
  await bakeOk(rawjson, project);
  assert.equal(project.read("out/both"), "a\nc\n2\n1\n");
});

test("bk#4950: the second source of a copy is a change too", async () => {
  using project = tempProject();
  project.write("bake.hcl", target("default", `output = ["type=local,dest=out"]`));
  project.write("Dockerfile", "FROM scratch\nCOPY a b /\n");
  project.write("a", "1");
  project.write("b", "1");
  await bakeOk(rawjson, project);
  project.write("b", "2");
  await bakeOk(rawjson, project);
  assert.equal(project.read("out/b"), "2");
});

test("--no-cache executes every step", async () => {
  using project = tempProject();
  writeDiamond(project);
  await bakeOk(rawjson, project);
  const { stderr } = await bakeOk([...rawjson, "--no-cache"], project);
  assert.deepEqual(executedRuns(stderr), ["cat", "sort", "tac"]);
});

test("ea#4054, dg#11465: a failed step is not cached", async () => {
  using project = tempProject();
  project.write("bake.hcl", target("default"));
  project.write("Dockerfile", `${baseStage}COPY ok /ok\nRUN test "$(cat /ok)" = yes\n`);
  project.write("ok", "no\n");
  await assert.rejects(bakeOk(rawjson, project), /test/);
  project.write("ok", "yes\n");
  await bakeOk(rawjson, project);
  project.write("ok", "no\n");
  await assert.rejects(bakeOk(rawjson, project), /test/);
});

test("a folder that is not writable for the cache is told, with its path", async () => {
  using project = tempProject();
  writeDiamond(project);
  project.write("notafolder", "");
  await assert.rejects(bakeOk([], { ...project, root: join(project.cwd, "notafolder") }), /notafolder/);
});
