// Ctrl-C, and worse, while a step runs: what is left behind afterwards is nothing.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { bakeOk, baseStage, type Project, startBake, target, tempProject } from "../rig/bake.ts";
import { mountsBelow } from "../rig/mounts.ts";

/** The step's output, not its name, which has the word as well. */
const READY = /^#\d+ [\d.]+ ready$/m;

/** A build whose step says "ready" and then waits for ever. The marker finds its processes on the host. */
function writeWaiting(project: Project, marker: string): void {
  project.write("bake.hcl", target("default", `output = ["type=local,dest=out"]`));
  project.write("Dockerfile", `${baseStage}RUN mkfifo /${marker} && echo ready && cat /${marker}\n`);
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  test(`${signal} during a step ends the build with 130 and leaves nothing behind`, async () => {
    using project = tempProject();
    const marker = randomUUID();
    writeWaiting(project, marker);
    await using running = startBake(["--progress=plain"], project);
    await running.saw(READY);
    assert.equal(processesWith(marker).length > 0, true, "the step runs");
    running.kill(signal);
    const { exitCode, stderr } = await running.outcome;
    assert.equal(exitCode, 130, stderr);
    assert.deepEqual(leftBehind(project, marker), []);
    assert.equal(existsSync(join(project.cwd, "out")), false);
  });
}

test("what a killed process leaves is swept by the next one", async () => {
  using project = tempProject();
  const marker = randomUUID();
  writeWaiting(project, marker);
  await using running = startBake(["--progress=plain"], project);
  await running.saw(READY);
  running.kill("SIGKILL");
  await running.outcome;
  project.write("Dockerfile", `${baseStage}RUN echo fine > /fine\nFROM scratch\nCOPY --from=base /fine /\n`);
  await bakeOk([], project);
  assert.equal(project.read("out/fine"), "fine\n");
  assert.deepEqual(leftBehind(project, marker), []);
});

/** Everything on the machine that still belongs to a build: processes, mounts, cgroups. */
function leftBehind(project: Project, marker: string): readonly string[] {
  return [...processesWith(marker), ...mountsBelow(project.root), ...processesWith(project.root)];
}

function processesWith(text: string): readonly string[] {
  return readdirSync("/proc")
    .filter(name => /^\d+$/.test(name) && name !== String(process.pid))
    .flatMap(pid => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
        return command.includes(text) ? [`${pid}: ${command}`] : [];
      } catch {
        return [];
      }
    });
}
