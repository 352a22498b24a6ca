// Goal: what was edited while a step used it is used, and not found again under what was there before.
// Method: the file is written in the moment in which the step is told to start, after its key was made.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { copy, local, marshal, scratch } from "../../src/llb/mod.ts";
import { engineRig, platform } from "../rig/engine.ts";

test("tr#1146: a file edited under a step: the result is not recorded under the old file's key", async () => {
  await using rig = await engineRig();
  const context = join(rig.dir.path, "context");
  const file = join(context, "file");
  mkdirSync(context);
  const source = local("context", { uniqueId: "c" });
  const definition = marshal(scratch().file(copy(source, "file", "/file")), { platform });
  let copies = 0;
  const build = async (onStart: () => void): Promise<string> => {
    const steps = new Map<string, string>();
    const dest = join(rig.dir.path, "out");
    await rig.engine.solve(
      [
        {
          name: "app",
          work: { tag: "definition", definition, platform },
          exports: [{ type: "local", attrs: {}, dest }],
        },
      ],
      {
        session: {
          localDir: () => context,
          secret: () => Promise.resolve(undefined),
          credentials: () => Promise.resolve(undefined),
        },
        emit: event => {
          if (event.type === "step") steps.set(event.id, event.name);
          if (event.type !== "started" || !steps.get(event.id)?.includes("copy")) return;
          copies++;
          onStart();
        },
        signal: new AbortController().signal,
      },
    );
    return readFileSync(join(dest, "file"), "utf8");
  };
  writeFileSync(file, "old");
  assert.equal(await build(() => writeFileSync(file, "new")), "new");
  assert.equal(copies, 1);
  writeFileSync(file, "old");
  assert.equal(await build(() => undefined), "old");
  assert.equal(copies, 2, "it ran again");
  await build(() => undefined);
  assert.equal(copies, 2, "and was recorded then");
});
