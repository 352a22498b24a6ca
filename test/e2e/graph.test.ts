// All targets of a run are one graph: what they share runs once, and what is independent runs at the same time.
import assert from "node:assert/strict";
import { test } from "node:test";
import { bakeOk, baseStage, executedSteps, stepsOf, target, tempProject } from "../rig/bake.ts";

test("a step that several targets need runs once", async () => {
  using project = tempProject();
  const names = ["a", "b", "c"];
  project.write(
    "bake.hcl",
    [
      `group "default" { targets = ["a", "b", "c"] }\n`,
      ...names.map(name => target(name, `target = "${name}"`, `output = ["type=local,dest=out/${name}"]`)),
    ].join(""),
  );
  project.write(
    "Dockerfile",
    `${baseStage}
FROM base AS shared
RUN cat /proc/sys/kernel/random/uuid > /id && echo shared ran
${names.map(name => `FROM shared AS make-${name}\nRUN echo ${name} > /name\nFROM scratch AS ${name}\nCOPY --from=make-${name} /id /name /\n`).join("")}`,
  );
  const { stderr } = await bakeOk(["--progress=rawjson"], project);
  const ran = stepsOf(stderr).filter(step => step.log.includes("shared ran"));
  assert.equal(ran.length, 1);
  assert.equal(ran[0]?.log.match(/shared ran/g)?.length, 1);
  assert.equal(new Set(names.map(name => project.read(`out/${name}/id`))).size, 1);
  assert.deepEqual(
    names.map(name => project.read(`out/${name}/name`)),
    ["a\n", "b\n", "c\n"],
  );
});

test("equal steps in different Dockerfiles are one step", async () => {
  using project = tempProject();
  project.write(
    "bake.hcl",
    `group "default" { targets = ["a", "b"] }\n` +
      ["a", "b"]
        .map(name =>
          target(name, `dockerfile = "${name}.Dockerfile"`, `output = ["type=local,dest=out/${name}"]`),
        )
        .join(""),
  );
  for (const name of ["a", "b"]) {
    project.write(
      `${name}.Dockerfile`,
      `${baseStage}RUN cat /proc/sys/kernel/random/uuid > /id\nFROM scratch\nCOPY --from=base /id /\n`,
    );
  }
  await bakeOk([], project);
  assert.equal(project.read("out/a/id"), project.read("out/b/id"));
});

test("independent steps run at the same time", async () => {
  // Each of two steps opens its end of a pipe in a shared cache mount, which blocks until the other one is there:
  // one after the other they could never end. The time limit of the process is the failure.
  using project = tempProject();
  project.write(
    "bake.hcl",
    `group "default" { targets = ["reader", "writer"] }\n` +
      ["reader", "writer"].map(name => target(name, `target = "${name}"`)).join(""),
  );
  const meet = "--mount=type=cache,id=meeting,target=/meet";
  project.write(
    "Dockerfile",
    `${baseStage}
FROM base AS reader
RUN ${meet} { mkfifo /meet/pipe 2>/dev/null || test -p /meet/pipe; } && cat /meet/pipe
FROM base AS writer
RUN ${meet} { mkfifo /meet/pipe 2>/dev/null || test -p /meet/pipe; } && echo met > /meet/pipe
`,
  );
  const { stderr } = await bakeOk(["--progress=rawjson", "--max-parallelism=2"], project);
  const reader = executedSteps(stderr).find(step => /cat \/meet\/pipe/.test(step.name));
  assert.equal(reader?.log, "met\n");
});

test("stages nobody asked for do not run", async () => {
  using project = tempProject();
  project.write("bake.hcl", target("default", `target = "wanted"`));
  project.write(
    "Dockerfile",
    `${baseStage}FROM base AS unwanted\nRUN false\nFROM base AS wanted\nRUN true\n`,
  );
  const { stderr } = await bakeOk(["--progress=rawjson"], project);
  assert.deepEqual(
    stepsOf(stderr).filter(step => /RUN false/.test(step.name)),
    [],
  );
});

test("a failing target stops the run, names its step and shows its output", async () => {
  using project = tempProject();
  project.write("bake.hcl", target("default", `output = ["type=local,dest=out"]`));
  project.write("Dockerfile", `${baseStage}RUN echo about to fail && exit 7\n`);
  await assert.rejects(bakeOk(["--progress=plain"], project), /about to fail[^]*exit code:? 7|exit code:? 7/);
  assert.throws(() => project.read("out/bin/busybox"), { code: "ENOENT" }, "a failed build writes nothing");
});
