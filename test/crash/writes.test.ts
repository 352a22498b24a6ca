// Goal: death or failure at any single write leaves a state directory with which the next build goes right.
// Method: the program with a file system that kills it, or fails, at its n-th change of a file; every n in the script's
// mode (LLBAKE_EVERY_WRITE=1), else a sample that differs from day to day.
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { bakeOk, type BakeOutcome, type Project, startBake, target, tempProject } from "../rig/bake.ts";
import { remains } from "./remains.ts";
import { expectConsistent, readLayout } from "./whole.ts";

const preload = pathToFileURL(fileURLToPath(new URL("./faultyfs.mjs", import.meta.url))).href;
const EVERY = process.env["LLBAKE_EVERY_WRITE"] === "1";
const SAMPLE = 2;

/** Writes a source file; its time would be part of the result. */
function writeSource(project: Project, path: string, text: string): void {
  project.write(path, text);
  utimesSync(join(project.cwd, path), 1_600_000_000, 1_600_000_000);
}

/** Nothing runs, so that the calls are the same each time: copies, a cache, an archive and a folder. */
function writeProject(project: Project): void {
  project.write(
    "bake.hcl",
    target(
      "default",
      `args = { SOURCE_DATE_EPOCH = "1700000000" }`,
      `output = ["type=local,dest=out", "type=oci,dest=out.tar"]`,
    ),
  );
  writeSource(project, "src/one", "one\n");
  writeSource(project, "src/deep/two", "two\n");
  project.write(
    "Dockerfile",
    `FROM scratch AS a
COPY src /src
WORKDIR /work
FROM scratch
COPY --from=a /src/deep/two /two
COPY src/one /one
`,
  );
}

function faults(project: Project, fault: string): Readonly<Record<string, string>> {
  return {
    NODE_OPTIONS: `--import ${preload}`,
    LLBAKE_FAULT: fault,
    LLBAKE_FAULT_BELOW: project.root,
    LLBAKE_FAULT_COUNT: join(project.cwd, "..", "count"),
  };
}

async function countWrites(project: Project, args: readonly string[]): Promise<number> {
  await bakeOk(args, { ...project, env: faults(project, "count") });
  return Number(readFileSync(join(project.cwd, "..", "count"), "utf8"));
}

/** All numbers from 1, or some of them. */
function numbers(count: number): readonly number[] {
  const all = Array.from({ length: count }, (_, i) => i + 1);
  if (EVERY) return all;
  const stride = Math.ceil(count / SAMPLE);
  const offset = Math.floor(Date.now() / 86_400_000) % stride;
  return all.filter(n => (n - 1) % stride === offset);
}

async function expectRight(
  project: Project,
  digest: string,
  processes: readonly string[],
  what: string,
): Promise<void> {
  for (const name of ["out", "out.tar"]) rmSync(join(project.cwd, name), { recursive: true, force: true });
  await using running = startBake([], project);
  const { exitCode, stderr } = await running.outcome;
  assert.equal(exitCode, 0, `${what}\n${stderr}`);
  assert.equal(readLayout(join(project.cwd, "out.tar")), digest, what);
  assert.equal(project.read("out/two"), "two\n", what);
  assert.deepEqual(remains({ ...project, processes: [...processes, running.name] }), [], what);
  expectConsistent(project.root, (await bakeOk(["du", "--format", "json"], project)).stdout);
}

for (const mode of ["kill", "fail"] as const) {
  for (const start of ["empty", "full"] as const) {
    test(`${mode === "kill" ? "death" : "a failing disk"} at any write of a build on an ${start} state directory`, async () => {
      using reference = tempProject();
      writeProject(reference);
      await bakeOk([], reference);
      const digest = readLayout(join(reference.cwd, "out.tar"));
      using project = tempProject();
      writeProject(project);
      // On a full one a build that has something new to do.
      if (start === "full") {
        writeSource(project, "src/one", "before\n");
        await bakeOk([], project);
        writeSource(project, "src/one", "one\n");
      }
      using counted = tempProject();
      writeProject(counted);
      const count = await countWrites(counted, []);
      assert.ok(count > 40, `a build makes ${count} changes`);
      for (const n of numbers(count)) {
        if (start === "empty") rmSync(project.root, { recursive: true, force: true });
        for (const name of ["out", "out.tar"])
          rmSync(join(project.cwd, name), { recursive: true, force: true });
        const what = `${mode} at write ${n} of ${count}`;
        await using running = startBake([], { ...project, env: faults(project, `${mode}:${n}`) });
        const outcome = await running.outcome;
        if (mode === "fail") expectClear(outcome, what);
        // Outputs are absent or whole.
        if (existsSync(join(project.cwd, "out.tar")))
          assert.equal(readLayout(join(project.cwd, "out.tar")), digest, what);
        if (existsSync(join(project.cwd, "out"))) assert.equal(project.read("out/one"), "one\n", what);
        await expectRight(project, digest, [running.name], what);
      }
    });
  }
}

test("death or failure at any write of a prune", async () => {
  using reference = tempProject();
  writeProject(reference);
  await bakeOk([], reference);
  const digest = readLayout(join(reference.cwd, "out.tar"));
  using project = tempProject();
  writeProject(project);
  await bakeOk([], project);
  const count = await countWrites(project, ["prune", "--all"]);
  for (const mode of ["kill", "fail"]) {
    for (const n of numbers(count)) {
      await bakeOk([], project);
      const what = `${mode} at write ${n} of ${count} of a prune`;
      await using running = startBake(["prune", "--all"], {
        ...project,
        env: faults(project, `${mode}:${n}`),
      });
      const outcome = await running.outcome;
      if (mode === "fail") expectClear(outcome, what);
      await expectRight(project, digest, [running.name], what);
    }
  }
});

/** It went well all the same, or says what is wrong in the words of a user. */
function expectClear({ exitCode, stderr }: BakeOutcome, what: string): void {
  assert.ok(exitCode === 0 || exitCode === 1 || exitCode === 2, `${what}: exit code ${exitCode}\n${stderr}`);
  assert.doesNotMatch(stderr, /defect of llbake|^ +at /m, what);
}
