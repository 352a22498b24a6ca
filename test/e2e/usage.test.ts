// Goal: du tells what the cache holds and for whom, prune takes exactly what it is asked to, and what was taken is built
// again as before.
// Method: the built program on small projects, one command after the other.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { bake, bakeOk, baseStage, executedSteps, type Project, target, tempProject } from "../rig/bake.ts";
import { diskUsage, MIB, usage, writeBigStep } from "../rig/cacheusage.ts";
import { skipWithoutRuntime } from "../rig/engine.ts";

const skip = skipWithoutRuntime;

test(
  "du tells what each step left; prune --all leaves nothing; the next build is as the first",
  { skip },
  async () => {
    using project = tempProject();
    writeBigStep(project);
    const first = await bakeOk(["--progress=rawjson"], project);
    const { total, entries } = await usage(project);
    assert.equal(
      total,
      entries.reduce((sum, { size }) => sum + size, 0),
    );
    assert.ok(
      entries.some(
        ({ description: step = "", size }) =>
          step.includes("RUN") && step.includes("/big") && size >= 2 * MIB,
      ),
    );
    assert.ok(entries.some(({ kind }) => kind === "cache-mount"));
    assert.match(
      (await bakeOk(["du"], project)).stdout,
      /^ID +KIND +SIZE +LAST USED +TARGETS +DESCRIPTION\n[^]*\nTotal: /,
    );
    const { stdout: removed } = await bakeOk(["prune", "--all", "--verbose"], project);
    assert.match(removed, /^snapshot \w+ {2}2\.\d MiB {2}\[.*RUN/m);
    assert.match(removed, /\nRemoved \d+ entries, \d/);
    assert.deepEqual(await usage(project), { total: 0, reclaimable: 0, shared: 0, entries: [] });
    const again = await bakeOk(["--progress=rawjson"], project);
    assert.equal(executedSteps(again.stderr).length, executedSteps(first.stderr).length);
    assert.equal(project.read("out/twice"), "0\n0\n");
  },
);

test("the entries of du add up to what the disk says", { skip }, async () => {
  using project = tempProject();
  writeBigStep(project);
  await bakeOk([], project);
  await bakeOk(["--set", "*.output=type=oci,dest=image.tar", "--set", "*.args.X=1"], project);
  const before = diskUsage(project.root);
  const { total } = await usage(project);
  const after = diskUsage(project.root);
  assert.ok(
    total >= Math.min(before, after) - MARGIN && total <= Math.max(before, after) + MARGIN,
    `du tells ${total}, the disk ${before} before and ${after} after`,
  );
});

/** Records change a little with each look. */
const MARGIN = 64 * 1024;

/** Two targets on one base, each with a large step and a cache of its own. */
function writeTargets(project: Project): void {
  project.write(
    "bake.hcl",
    `group "default" {\n  targets = ["a", "b"]\n}\n` +
      ["a", "b"].map(name => target(name, `target = "${name}"`, `output = ["type=cacheonly"]`)).join(""),
  );
  project.write(
    "Dockerfile",
    `${baseStage}${["a", "b"]
      .map(
        name => `FROM base AS ${name}
RUN --mount=type=cache,target=/c,id=${name} dd if=/dev/zero of=/big-${name} bs=1M count=1 && echo 1 > /c/x
`,
      )
      .join("")}`,
  );
}

test("du tells which targets use what, and prune --target takes what they alone use", { skip }, async () => {
  using project = tempProject();
  writeTargets(project);
  await bakeOk([], project);
  const { entries } = await usage(project);
  const usersOf = (words: string): readonly string[] =>
    entries
      .filter(({ description = "" }) => description.includes(words))
      .flatMap(({ targets }) => targets.map(({ target }) => target));
  assert.deepEqual(usersOf("/big-a"), ["a"]);
  assert.deepEqual(usersOf("/big-b"), ["b"]);
  assert.deepEqual(usersOf("--install"), ["a", "b"]);
  const caches = entries.filter(({ kind }) => kind === "cache-mount");
  assert.deepEqual(caches.flatMap(({ targets }) => targets.map(({ target }) => target)).sort(), ["a", "b"]);
  assert.ok(
    entries.every(({ targets }) => targets.every(({ file }) => file === join(project.cwd, "bake.hcl"))),
  );

  const dry = await bakeOk(["prune", "--target", "a", "--dry-run"], project);
  assert.match(dry.stdout, /big-a[^]*\nWould remove 2 entries, /);
  assert.deepEqual((await usage(project)).entries.length, entries.length);
  assert.match((await bakeOk(["prune", "--target", "a"], project)).stdout, /^Removed 2 entries, /);
  const steps = executedSteps((await bakeOk(["--progress=rawjson"], project)).stderr).map(({ name }) => name);
  assert.deepEqual(
    steps.filter(name => name.includes("RUN")).map(name => /big-./.exec(name)?.[0]),
    ["big-a"],
  );
  const { exitCode, stderr } = await bake(["prune", "--target", "c"], project);
  assert.equal(exitCode, 2);
  assert.match(stderr, /nothing in the cache is known to be of target "c"/);
});

test("part of the cache pruned, the rest is used and the result is right", { skip }, async () => {
  using project = tempProject();
  writeBigStep(project);
  await bakeOk([], project);
  await bakeOk(["prune", "--keep-storage", "4MB"], project);
  const { total, entries } = await usage(project);
  assert.ok(total <= 4 * MIB && entries.length > 0);
  await bakeOk(["--set", "*.args.X=7"], project);
  assert.equal(project.read("out/twice"), "7\n7\n");
  assert.match((await bakeOk(["prune", "--older-than", "1h"], project)).stdout, /^Removed 0 entries/);
});

test("prune by kind, age and space as with buildx's flags", { skip }, async () => {
  using project = tempProject();
  writeTargets(project);
  await bakeOk([], project);
  const kinds = async (): Promise<ReadonlySet<string>> =>
    new Set((await usage(project)).entries.map(({ kind }) => kind));
  const removed = async (...flags: readonly string[]): Promise<number> => {
    const { stdout } = await bakeOk(["prune", ...flags], project);
    return Number(/^Removed (\d+)/m.exec(stdout)?.[1]);
  };
  assert.equal(await removed("--filter", "until=1h"), 0);
  assert.equal(await removed("--keep-duration", "1h", "--max-used-space", "0"), 0);
  assert.equal(await removed("--reserved-space", "1GB", "--filter", "type=regular"), 0);
  assert.equal(await removed("--filter", "description~=big-[b]", "--filter", "inuse=false"), 1);
  assert.equal(await removed("--filter", "type=exec.cachemount"), 2);
  assert.ok(!(await kinds()).has("cache-mount"));
  assert.equal(await removed("--filter", "mutable"), 0);
  assert.ok((await removed("--all", "--force", "--filter", "kind=snapshot")) >= 3);
  assert.ok(!(await kinds()).has("snapshot") && (await kinds()).has("metadata"));
});

test("a step whose result was found but not loaded counts as used", { skip }, async () => {
  using project = tempProject();
  project.write("bake.hcl", target("default", `output = ["type=local,dest=out"]`));
  project.write(
    "Dockerfile",
    `${baseStage}
FROM base AS work
ARG X=0
RUN dd if=/dev/zero of=/big bs=1M count=2 && echo $X > /x
FROM scratch
COPY --from=work /x /x
`,
  );
  await bakeOk(["--set", "*.args.X=old"], project);
  await bakeOk(["--set", "*.args.X=idle"], project);
  // Nothing runs, and of the big step nothing is even read; yet it was of use last.
  await bakeOk(["--set", "*.args.X=old"], project);
  const { total } = await usage(project);
  await bakeOk(["prune", "--keep-storage", String(total - MIB)], project);
  const steps = (await usage(project)).entries
    .map(({ description: step = "" }) => step)
    .filter(step => step.includes("/big"));
  assert.equal(steps.length, 1);
  assert.match(steps[0] ?? "", /echo old/);
});

test("a wrong size or age is told before anything is done", async () => {
  using project = tempProject();
  writeBigStep(project);
  for (const [args, message] of [
    [["--cache-max-size", "lots"], /invalid size "lots" for --cache-max-size/],
    [["prune", "--keep-storage", "5X"], /invalid size "5X" for --keep-storage/],
    [["prune", "--older-than", "soon"], /invalid duration "soon" for --older-than/],
    [["prune", "--filter", "typ=git"], /unknown filter "typ"[^]*did you mean "type"/],
    [["prune", "--filter", "until=soon"], /invalid duration "soon" for --filter until/],
    [["du", "--filter", "description~=("], /invalid regular expression "\("/],
    [["prune", "--all", "--older-than", "1h"], /--all leaves nothing to keep/],
    [["du", "--format", "xml"], /unknown format "xml"/],
  ] as const) {
    const { exitCode, stderr } = await bake(args, project);
    assert.equal(exitCode, 2);
    assert.match(stderr, message);
  }
});
