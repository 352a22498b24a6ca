// Goal: prune is safe at any time: beside builds that run and export, and killed in the middle.
// Method: the built program on small projects; prune in a loop, at a step that waits, and killed after some time.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { bakeOk, baseStage, startBake, tempProject } from "../rig/bake.ts";
import { expectWhole, MIB, usage, writeBigStep } from "../rig/cacheusage.ts";
import { skipWithoutRuntime } from "../rig/engine.ts";

const skip = skipWithoutRuntime;

test(
  "ea#4191, bk#1013, moby#39547: pruning all in a loop does not disturb builds that run meanwhile",
  { skip },
  async () => {
    using project = tempProject();
    writeBigStep(project, 1);
    let building = true;
    const pruning = (async () => {
      let rounds = 0;
      for (; building; rounds++) await bakeOk(["prune", "--all"], project);
      return rounds;
    })();
    try {
      const build = async (worker: string): Promise<void> => {
        for (const round of ["1", "2", "3"]) {
          const out = `out-${worker}`;
          await bakeOk(
            ["--set", `*.args.X=${worker}${round}`, "--set", `*.output=type=local,dest=${out}`],
            project,
          );
          assert.equal(project.read(`${out}/twice`), `${worker}${round}\n${worker}${round}\n`);
        }
      };
      // The last of them all build the same.
      await Promise.all([build("a"), build("b"), build("c")]);
    } finally {
      building = false;
      assert.ok((await pruning) > 0);
    }
    await expectWhole(project);
  },
);

test("prune killed at any moment leaves a whole store", { skip }, async () => {
  using project = tempProject();
  writeBigStep(project, 1);
  for (const afterMs of [40, 90, 110, 130, 150, 180]) {
    await bakeOk(["--set", `*.args.X=${afterMs}`], project);
    await using pruning = startBake(["prune", "--all"], project);
    const timer = setTimeout(() => pruning.kill("SIGKILL"), afterMs);
    await pruning.outcome;
    clearTimeout(timer);
    await expectWhole(project);
  }
  await bakeOk(["--set", "*.args.X=9"], project);
  assert.equal(project.read("out/twice"), "9\n9\n");
  await bakeOk(["prune", "--all"], project);
  assert.equal((await usage(project)).total, 0);
});

test("prune --all ends at zero bytes, also when it comes into the middle of a build", { skip }, async () => {
  using project = tempProject();
  writeBigStep(project);
  await bakeOk([], project);
  await bakeOk(["prune", "--all"], project);
  assert.deepEqual(readdirSync(project.root), []);
  assert.deepEqual(await usage(project), { total: 0, reclaimable: 0, shared: 0, entries: [] });
  assert.deepEqual(readdirSync(project.root), [], "looking makes nothing");

  // A step that waits until it may go on.
  project.write(
    "Dockerfile",
    `${baseStage}FROM base AS work
RUN --mount=type=cache,target=/held,id=held mkfifo /held/go && echo ready && cat /held/go > /x
FROM scratch
COPY --from=work /x /x
`,
  );
  await using running = startBake([], project);
  await running.saw(/ready$/m);
  await bakeOk(["prune", "--all"], project);
  const { entries } = await usage(project);
  assert.ok(entries.some(({ kind, inUse }) => kind === "cache-mount" && inUse));
  assert.ok(entries.some(({ kind }) => kind === "active"));
  const [cache = ""] = readdirSync(join(project.root, "cache-mounts"));
  writeFileSync(join(project.root, "cache-mounts", cache, "go"), "went on\n");
  assert.equal((await running.outcome).exitCode, 0);
  assert.equal(project.read("out/x"), "went on\n");
  await bakeOk(["prune", "--all"], project);
  assert.deepEqual(readdirSync(project.root), []);
});

test(
  "bk#7102, 3270, 6263: builds that export while others prune and limit the cache leave whole archives",
  { skip },
  async () => {
    using project = tempProject();
    writeBigStep(project, 1);
    let building = true;
    const pruning = (async () => {
      let rounds = 0;
      for (; building; rounds++) await bakeOk(["prune", "--max-used-space", "1MB"], project);
      return rounds;
    })();
    try {
      await Promise.all(
        ["a", "b", "c"].map(async worker => {
          for (const round of ["1", "2"]) {
            const dest = `${worker}${round}.tar`;
            const output = `*.output=type=oci,dest=${dest}`;
            await bakeOk(["--set", output, "--set", `*.args.X=${round}`, "--cache-max-size", "3MB"], project);
            expectWholeArchive(join(project.cwd, dest));
          }
        }),
      );
    } finally {
      building = false;
      assert.ok((await pruning) > 0);
    }
    await expectWhole(project);
  },
);

/** Every blob that the documents of an OCI archive name is in it, with the right bytes. */
function expectWholeArchive(path: string): void {
  const read = (name: string): Buffer => execFileSync("tar", ["-xOf", path, name], { maxBuffer: 64 * MIB });
  const visit = (digest: string): void => {
    const bytes = read(`blobs/sha256/${digest.slice("sha256:".length)}`);
    assert.equal(`sha256:${createHash("sha256").update(bytes).digest("hex")}`, digest);
    if (bytes[0] !== "{".charCodeAt(0)) return;
    const document = JSON.parse(bytes.toString()) as Record<string, unknown>;
    for (const member of ["config", "layers", "manifests"])
      for (const item of [document[member]].flat())
        if (typeof item === "object" && item !== null && "digest" in item) visit(String(item.digest));
  };
  const index = JSON.parse(read("index.json").toString()) as {
    readonly manifests: readonly { readonly digest: string }[];
  };
  assert.ok(index.manifests.length > 0);
  for (const { digest } of index.manifests) visit(digest);
}
