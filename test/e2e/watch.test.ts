// `--watch`: one build at the start, one for each change, none without one.
import assert from "node:assert/strict";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { busyboxDir, type Project, startBake, tempProject } from "../rig/bake.ts";

/** As editors do: whoever looks sees the old file or the new one, which is one change however busy the machine is. */
function save({ cwd }: Project, path: string, text: string): void {
  const beside = join(cwd, "..", "saving");
  writeFileSync(beside, text);
  renameSync(beside, join(cwd, path));
}

test("saving a file rebuilds once; Ctrl-C ends the watch", async () => {
  using project = tempProject("examples/watch");
  await using running = startBake(["--watch", "--progress=plain"], {
    ...project,
    env: { BUSYBOX_DIR: busyboxDir },
  });
  const WATCHING = /watching[^\n]*\n/i;
  const built = await running.saw(WATCHING);
  assert.match(project.read("out/index.html"), /Fresh bread/);
  save(project, "page.txt", "Rye on Fridays\n");
  const rebuilt = await running.saw(WATCHING, built);
  assert.match(project.read("out/index.html"), /Rye on Fridays/);
  save(project, "template.html", "<h1>@PAGE@</h1>\n");
  await running.saw(WATCHING, rebuilt);
  assert.equal(project.read("out/index.html"), "<h1>Rye on Fridays</h1>\n");
  running.kill("SIGINT");
  const { exitCode, stderr } = await running.outcome;
  assert.equal(exitCode, 0, stderr);
  // What the build writes into its own folder is no change: three builds, not more.
  assert.equal(stderr.match(new RegExp(WATCHING, "gi"))?.length, 3, stderr);
});

test("a change that breaks the build is told, and mending it builds again", async () => {
  using project = tempProject("examples/watch");
  await using running = startBake(["--watch", "--progress=plain"], {
    ...project,
    env: { BUSYBOX_DIR: busyboxDir },
  });
  const WATCHING = /watching[^\n]*\n/i;
  const dockerfile = project.read("Dockerfile");
  let at = await running.saw(WATCHING);
  save(project, "Dockerfile", dockerfile.replace("RUN sed", "RUNN sed"));
  at = await running.saw(/RUNN/, at);
  at = await running.saw(WATCHING, at);
  save(project, "Dockerfile", dockerfile.replace("@PAGE@/", "@PAGE@/Bakery: "));
  await running.saw(WATCHING, at);
  assert.match(project.read("out/index.html"), /Bakery: Fresh bread/);
  running.kill("SIGINT");
  await running.outcome;
});
