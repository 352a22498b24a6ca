// Goal: what was edited while a step used it is used, and not found again under what was there before.
// Method: the file is written in the moment in which the step is told to start, after its key was made, or when its
// command has said something.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { copy, local, marshal, scratch, type State } from "../../src/llb/mod.ts";
import { busyboxBase, type EngineRig, engineRig, platform, skipWithoutContainers } from "../rig/engine.ts";

const source = local("context", { uniqueId: "c" });

interface Edited {
  readonly file: string;
  /** Builds, and gives what became of the file; edits are made when the step starts, and when its command prints. */
  build(edits?: { readonly onStart?: () => void; readonly onLog?: () => void }): Promise<string>;
  /** How often the step was executed so far. */
  readonly executions: number;
}

/** A context with one file, and a state whose last step reads it and makes "/file". */
function edited(rig: EngineRig, state: State, step: RegExp): Edited {
  const context = join(rig.dir.path, "context");
  mkdirSync(context);
  rig.locals.set("context", context);
  const definition = marshal(state, { platform });
  let executions = 0;
  return {
    file: join(context, "file"),
    get executions() {
      return executions;
    },
    async build({ onStart, onLog } = {}) {
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
            localDir: name => rig.locals.get(name),
            secret: () => Promise.resolve(undefined),
            credentials: () => Promise.resolve(undefined),
          },
          emit: event => {
            if (event.type === "step") steps.set(event.id, event.name);
            if (event.type === "log") onLog?.();
            if (event.type !== "started" || !step.test(steps.get(event.id) ?? "")) return;
            executions++;
            onStart?.();
          },
          signal: new AbortController().signal,
        },
      );
      return readFileSync(join(dest, "file"), "utf8");
    },
  };
}

test("tr#1146: a file edited under a step: the result is not recorded under the old file's key", async () => {
  await using rig = await engineRig();
  const copied = edited(rig, scratch().file(copy(source, "file", "/file")), /copy/);
  writeFileSync(copied.file, "old");
  assert.equal(await copied.build({ onStart: () => writeFileSync(copied.file, "new") }), "new");
  assert.equal(copied.executions, 1);
  writeFileSync(copied.file, "old");
  assert.equal(await copied.build(), "old");
  assert.equal(copied.executions, 2, "it ran again");
  await copied.build();
  assert.equal(copied.executions, 2, "and was recorded then");
});

test(
  "a file that a command was given counts as it was then, whatever becomes of it while the command runs",
  { skip: skipWithoutContainers },
  async () => {
    await using rig = await engineRig();
    const command = busyboxBase()
      .run({
        shell: "cat /c/file > /file; echo read",
        mounts: [{ kind: "bind", target: "/c", from: source, noOutput: true }],
      })
      .root();
    const read = edited(rig, command, /cat/);
    const write = (text: string) => (): void => writeFileSync(read.file, text);
    write("old")();
    assert.equal(await read.build({ onStart: write("new"), onLog: write("old") }), "new");
    assert.equal(await read.build(), "old", "what was read is nothing that the key says");
    assert.equal(read.executions, 2);
    write("older")();
    assert.equal(await read.build({ onLog: write("old") }), "older");
    write("older")();
    assert.equal(await read.build(), "older");
    assert.equal(read.executions, 3, "what was read is what the key says");
  },
);
