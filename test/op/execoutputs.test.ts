// Goal: each kind of mount gives the outputs that BuildKit gives (frontend/gateway/container, PrepareMounts): several
// outputs of one command, read-only mounts with and without one, scratch mounts, selectors, caches, content keys.
// Method: ops as any LLB program may write them, not only those of the builder.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  encodeOp,
  local,
  marshal,
  mkdir,
  mkfile,
  scratch,
  type State,
  stateFromDefinition,
} from "../../src/llb/mod.ts";
import { decodeOp } from "../../src/llb/ops.ts";
import type { Mount } from "../../src/llb/op/exec.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { busyboxBase, type EngineRig, engineRig, platform, skipWithoutContainers } from "../rig/engine.ts";

const PLAIN: Mount = {
  input: -1,
  selector: "",
  dest: "",
  output: -1,
  readonly: false,
  type: "bind",
  resultId: "",
  contentCache: "default",
};

/** The output `index` of a command in busybox; `mounts` name further inputs by their place in `states`, from 0. */
function outputOf(
  index: number,
  script: string,
  states: readonly State[],
  mounts: readonly Partial<Mount>[],
  cwd = "/",
): State {
  const formatted = `${platform.os}/${platform.architecture}`;
  const roots = [busyboxBase(), ...states].map(state => marshal(state, { platform: formatted }));
  const inputs = roots.map(({ def }) => {
    const last = decodeOp(def.at(-1) ?? Buffer.alloc(0));
    const [input] = last.inputs;
    if (input === undefined) throw new Error("a state without ops");
    return input;
  });
  const root = mounts.find(({ dest }) => dest === "/") ?? { output: 0 };
  const op = encodeOp({
    kind: "exec",
    inputs,
    platform,
    constraints: { filter: [] },
    spec: {
      meta: {
        args: ["/bin/sh", "-ec", script],
        env: ["PATH=/bin"],
        cwd,
        user: "",
        extraHosts: [],
        hostname: "",
        ulimits: [],
        cgroupParent: "",
        removeMountStubsRecursive: true,
        validExitCodes: [],
      },
      mounts: [
        { ...PLAIN, input: 0, dest: "/", ...root },
        ...mounts
          .filter(({ dest }) => dest !== "/")
          .map(({ input, ...mount }) => ({
            ...PLAIN,
            ...mount,
            input: input === undefined ? -1 : input + 1,
          })),
      ],
      network: "sandbox",
      security: "sandbox",
      secretEnv: [],
      cdiDevices: [],
    },
  });
  const below = roots.flatMap(({ def }) => def.slice(0, -1));
  const terminal = encodeOp({ kind: "terminal", inputs: [{ digest: digestOf(op), index }] });
  const unique = new Map([...below, op].map(bytes => [digestOf(bytes), bytes]));
  return stateFromDefinition(
    { def: [...unique.values(), terminal], metadata: new Map(), locations: new Map() },
    index,
  );
}

const data = scratch().file(mkdir("/sub", 0o755).mkfile("/sub/f", 0o644, "data").mkfile("/g", 0o644, "g"));
const read = async (rig: EngineRig, state: State, path: string): Promise<string | undefined> => {
  const file = join(await rig.files(state), path);
  return existsSync(file) ? readFileSync(file, "utf8") : undefined;
};

test("mounts of commands", { skip: skipWithoutContainers }, async t => {
  await using rig = await engineRig();
  await t.test("one command has an output a mount, and runs once for all of them", async () => {
    const of = (index: number): State =>
      outputOf(
        index,
        "echo -n root >/r; echo -n new >/m/sub/f; echo -n scratch >/s/x; echo -n lost >/l/y",
        [data],
        [
          { dest: "/", output: 0 },
          { dest: "/m", input: 0, output: 1 },
          { dest: "/s", output: 2 },
          { dest: "/l" },
        ],
      );
    assert.equal(await read(rig, of(0), "r"), "root");
    rig.executed();
    assert.equal(await read(rig, of(1), "sub/f"), "new");
    assert.equal(await read(rig, of(1), "g"), "g");
    assert.equal(await read(rig, of(2), "x"), "scratch");
    assert.deepEqual(rig.executed(), [], "the other outputs are there already");
    assert.equal(await read(rig, of(0), "m/sub/f"), undefined);
    assert.equal(await read(rig, data, "sub/f"), "data");
  });

  await t.test("the root need not have an output", async () => {
    const state = outputOf(
      0,
      "echo -n x >/made; cp /made /m/",
      [],
      [
        { dest: "/", output: -1 },
        { dest: "/m", output: 0 },
      ],
    );
    assert.equal(await read(rig, state, "made"), "x");
  });

  await t.test("a read-only mount cannot be written, and its output is its input", async () => {
    const mounts = [
      { dest: "/", output: 0 },
      { dest: "/m", input: 0, output: 1, readonly: true },
    ] as const;
    const script = "! touch /m/sub/f 2>/dev/null; cat /m/sub/f >/seen";
    assert.equal(await read(rig, outputOf(0, script, [data], mounts), "seen"), "data");
    assert.equal(await read(rig, outputOf(1, script, [data], mounts), "sub/f"), "data");
    assert.equal(
      await read(
        rig,
        outputOf(
          1,
          script,
          [data],
          [
            { dest: "/", output: 0 },
            { dest: "/m", input: 0, output: 1, readonly: true, selector: "/sub" },
          ],
        ).file(mkfile("/x", 0o644, "")),
        "g",
      ).catch(() => "failed"),
      "failed",
    );
  });

  await t.test("a read-only root cannot be written, with an output or without", async () => {
    const script = "! touch /x 2>/dev/null; echo -n y >/m/y";
    for (const output of [-1, 1]) {
      const state = outputOf(
        0,
        script,
        [],
        [
          { dest: "/", output, readonly: true },
          { dest: "/m", output: 0 },
        ],
      );
      assert.equal(await read(rig, state, "y"), "y");
    }
    const root = outputOf(
      1,
      script,
      [],
      [
        { dest: "/", output: 1, readonly: true },
        { dest: "/m", output: 0 },
      ],
    );
    const files = await rig.files(root);
    assert.ok(existsSync(join(files, "bin/busybox")) && !existsSync(join(files, "x")));
  });

  await t.test("a read-only scratch mount is empty", async () => {
    const state = outputOf(
      0,
      "ls -A /m | wc -l >/count; ! touch /m/x 2>/dev/null",
      [],
      [
        { dest: "/", output: 0 },
        { dest: "/m", readonly: true },
      ],
    );
    assert.equal((await read(rig, state, "count"))?.trim(), "0");
  });

  await t.test("a selector mounts a part, a file too, and the output is the whole", async () => {
    const mounts = [
      { dest: "/", output: 0 },
      { dest: "/m", input: 0, selector: "/sub", output: 1 },
      { dest: "/file", input: 0, selector: "sub/f", readonly: true },
    ] as const;
    const script = "cat /file /m/f >/seen; echo -n new >/m/f";
    assert.equal(await read(rig, outputOf(0, script, [data], mounts), "seen"), "datadata");
    const files = await rig.files(outputOf(1, script, [data], mounts));
    assert.deepEqual(
      [readFileSync(join(files, "sub/f"), "utf8"), readFileSync(join(files, "g"), "utf8")],
      ["new", "g"],
    );
    const missing = outputOf(
      0,
      "true",
      [data],
      [
        { dest: "/", output: 0 },
        { dest: "/m", input: 0, selector: "/nope" },
      ],
    );
    await assert.rejects(rig.files(missing), /"\/nope"/);
  });

  await t.test("the output of a cache mount is what the cache began with", async () => {
    const mounts = [
      { dest: "/", output: 0 },
      { dest: "/c", input: 0, output: 1, type: "cache", cache: { id: "c", sharing: "shared" } },
    ] as const;
    const script = "echo -n more >/c/more; cat /c/g >/seen";
    assert.equal(await read(rig, outputOf(0, script, [data], mounts), "seen"), "g");
    const files = await rig.files(outputOf(1, script, [data], mounts));
    assert.ok(existsSync(join(files, "g")) && !existsSync(join(files, "more")));
  });

  await t.test(
    "mounts within mounts are made parents first, and relative ones from the working directory",
    async () => {
      const state = outputOf(
        0,
        "cat /a/b/sub/f rel/g >/seen",
        [data],
        [
          { dest: "/", output: 0 },
          { dest: "/a/b", input: 0, readonly: true },
          { dest: "/a", type: "tmpfs" },
          { dest: "rel", input: 0, readonly: true },
        ],
        "/work",
      );
      assert.equal(await read(rig, state, "seen"), "datag");
    },
  );

  await t.test(
    "a mount is keyed by what it can show: by content where nothing else gets into a result",
    async () => {
      const context = join(rig.dir.path, "context");
      mkdirSync(join(context, "sub"), { recursive: true });
      rig.locals.set("context", context);
      const from = local("context", { uniqueId: "context" });
      const ran = async (state: State): Promise<boolean> => {
        rig.executed();
        await rig.files(state);
        return rig.executed().length > 0;
      };
      const put = (inside: string, beside: string): void => {
        writeFileSync(join(context, "sub/f"), inside);
        writeFileSync(join(context, "beside"), beside);
      };
      const rows = [
        { mount: { selector: "/sub", readonly: true }, inside: true, beside: false },
        { mount: { readonly: true }, inside: true, beside: true },
        { mount: { selector: "/sub" }, inside: true, beside: false },
        { mount: { selector: "/sub", output: 1 }, inside: true, beside: true },
        { mount: { selector: "/sub", output: 1, readonly: true }, inside: true, beside: true },
        { mount: { selector: "/sub", contentCache: "off" }, inside: true, beside: true },
      ] as const;
      for (const [index, { mount, inside, beside }] of rows.entries()) {
        put("1", "1");
        const state = outputOf(
          0,
          `cat /m/* >/seen || true; echo ${index}`,
          [from],
          [
            { dest: "/", output: 0 },
            { dest: "/m", input: 0, ...mount },
          ],
        );
        const shown = JSON.stringify(mount);
        assert.equal(await ran(state), true, `${shown} at first`);
        assert.equal(await ran(state), false, `${shown} again`);
        put("1", "2");
        assert.equal(await ran(state), beside, `${shown} after a change beside it`);
        put("2", "2");
        assert.equal(await ran(state), inside, `${shown} after a change in it`);
      }
      const unsafe = outputOf(
        1,
        "true",
        [from],
        [
          { dest: "/", output: 0 },
          { dest: "/m", input: 0, selector: "/sub", output: 1, contentCache: "on" },
        ],
      );
      await assert.rejects(rig.files(unsafe), /cannot be cached by content/);
    },
  );
});
