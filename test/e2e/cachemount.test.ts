// Goal: what cache mounts have gathered can be carried to another machine, and a damaged or foreign archive changes
// nothing.
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { bake, bakeOk, baseStage, type Project, startBake, target, tempProject } from "../rig/bake.ts";
import { skipWithoutRuntime } from "../rig/engine.ts";

const options = { skip: skipWithoutRuntime };

/** Builds a project whose step appends a word to its caches and writes what they hold to out/. */
async function visit(project: Project, word: string): Promise<string> {
  project.write("bake.hcl", target("default", 'output = ["type=local,dest=out"]'));
  project.write(
    "Dockerfile",
    `${baseStage}RUN --mount=type=cache,id=mod,target=/mod,uid=7,mode=0750 --mount=type=cache,target=/root/.cache,sharing=locked \\
  for d in /mod /root/.cache; do echo ${word} >> $d/words; ln -sf words $d/link; done; \\
  cat /mod/words /root/.cache/link > /seen; stat -c '%u %a' /mod >> /seen
FROM scratch
COPY --from=base /seen /
`,
  );
  await bakeOk(["--no-cache"], project);
  return project.read("out/seen").replaceAll("\n", " ");
}

test("caches move to another state directory with content, owners and modes", options, async () => {
  using first = tempProject();
  using second = tempProject();
  assert.equal(await visit(first, "a"), "a a 7 750 ");
  for (const name of ["caches.tar", "caches.tar.gz"]) {
    const file = join(first.cwd, name);
    const saved = await bakeOk(["cache-mount", "save", "-o", file], first);
    assert.equal(saved.stderr, "saved 2 cache mounts: /root/.cache (locked), mod\n");
    const loaded = await bakeOk(["cache-mount", "load", file], second);
    assert.equal(loaded.stderr, "loaded 2 cache mounts: /root/.cache (locked), mod\n");
    // What was there before is replaced.
    assert.equal(await visit(second, "b"), "a b a b 7 750 ");
  }
  const du = await bakeOk(["du", "--filter", "type=cache-mount", "--format", "json"], second);
  assert.match(du.stdout, /"description": "mod"/);
});

test("ids choose what is saved; an unknown one says so and writes nothing", options, async () => {
  using project = tempProject();
  await visit(project, "a");
  const one = await bakeOk(["cache-mount", "save", "-o", "one.tar", "mod"], project);
  assert.equal(one.stderr, "saved 1 cache mount: mod\n");
  const none = await bake(["cache-mount", "save", "-o", "none.tar", "mod", "nothere"], project);
  assert.equal(none.exitCode, 2);
  assert.match(none.stderr, /no cache mount "nothere"/);
  assert.ok(!existsSync(join(project.cwd, "none.tar")));
});

test("a damaged or foreign archive changes nothing", options, async () => {
  using project = tempProject();
  await visit(project, "a");
  await bakeOk(["cache-mount", "save", "-o", "caches.tar", "mod"], project);
  const whole = readFileSync(join(project.cwd, "caches.tar"));
  writeFileSync(join(project.cwd, "half.tar"), whole.subarray(0, whole.length / 2));
  writeFileSync(join(project.cwd, "text.tar"), "no archive at all\n".repeat(100));
  writeFileSync(
    join(project.cwd, "renamed.tar"),
    Buffer.from(whole.toString("latin1").replaceAll('"/mod"', '"/dom"'), "latin1"),
  );
  for (const name of ["half.tar", "text.tar", "renamed.tar", "nothere.tar"]) {
    const { exitCode, stderr } = await bake(["cache-mount", "load", name], project);
    assert.notEqual(exitCode, 0, name);
    assert.match(stderr, /^error: .*\n/, name);
    assert.doesNotMatch(stderr, /defect/, name);
  }
  assert.equal(await visit(project, "b"), "a b a b 7 750 ");
});

test("a cache that a build uses is not replaced", options, async () => {
  using project = tempProject();
  await visit(project, "a");
  await bakeOk(["cache-mount", "save", "-o", "caches.tar"], project);
  project.write("Dockerfile", `${baseStage}RUN --mount=type=cache,id=mod,target=/mod echo busy; sleep 60\n`);
  await using running = startBake(["--progress=plain"], project);
  // The output of the step, not its name.
  await running.saw(/^#\d+ [\d.]+ busy$/m);
  const { exitCode, stderr } = await bake(["cache-mount", "load", "caches.tar"], project);
  assert.equal(exitCode, 1);
  assert.match(stderr, /cache "mod" is in use by a build/);
  running.kill("SIGINT");
  await running.outcome;
});
