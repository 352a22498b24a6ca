// Goal: a build op gives what the definition in its input's file gives, on the graph of the run.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { encodeOp } from "../../src/llb/mod.ts";
import {
  copy,
  image,
  local,
  marshal,
  mkdir,
  mkfile,
  scratch,
  type State,
  symlink,
  writeDefinition,
} from "../../src/llb/mod.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { skipWithoutRegistry, startRegistry } from "../rig/registry.ts";
import { busyboxBase, type EngineRig, engineRig, platform, skipWithoutContainers } from "../rig/engine.ts";

const NAME = "/buildkit.llb.definition";
const formatted = `${platform.os}/${platform.architecture}`;
const bytesOf = (state: State): Uint8Array => writeDefinition(marshal(state, { platform: formatted }));
const holding = (inner: State, path = NAME): State => scratch().file(mkfile(path, 0o644, bytesOf(inner)));
const fileOf = async (rig: EngineRig, state: State, path: string): Promise<string> =>
  readFileSync(join(await rig.files(state), path), "utf8");

test("the definition in a file is solved in place of the op", async () => {
  await using rig = await engineRig();
  const inner = scratch().file(mkfile("/f", 0o644, "inner"));
  assert.equal(await fileOf(rig, holding(inner).build(), "f"), "inner");
  assert.equal(await fileOf(rig, holding(inner, "/other").build({ filename: "/other" }), "f"), "inner");
  const linked = scratch().file(
    mkdir("/d", 0o755).mkfile("/d/real", 0o644, bytesOf(inner)).symlink("/d/real", NAME),
  );
  assert.equal(await fileOf(rig, linked.build(), "f"), "inner");
});

test("builds nest, and share steps with the graph around them", async () => {
  await using rig = await engineRig();
  const shared = scratch().file(mkfile("/shared", 0o644, "s"), { customName: "shared step" });
  const inner = shared.file(mkfile("/f", 0o644, "inner"));
  const outer = holding(holding(inner).build()).build();
  const both = scratch().file(copy(shared, "/shared", "/one").copy(outer, "/f", "/two"));
  assert.equal(await fileOf(rig, both, "two"), "inner");
  assert.equal(rig.executed().filter(name => name === "shared step").length, 1);
});

test(
  "with one slot a build inside a build does not wait for itself",
  { skip: skipWithoutContainers },
  async () => {
    await using rig = await engineRig({ maxParallelism: 1 });
    const inner = busyboxBase()
      .run({ args: ["sh", "-c", "echo -n ran >/f"] })
      .root();
    assert.equal(await fileOf(rig, holding(holding(inner).build()).build(), "f"), "ran");
  },
);

test("a repeated build runs nothing; another definition is another build", async () => {
  await using rig = await engineRig();
  const of = (text: string): State => holding(scratch().file(mkfile("/f", 0o644, text))).build();
  assert.equal(await fileOf(rig, of("one"), "f"), "one");
  rig.executed();
  await rig.reopen();
  assert.equal(await fileOf(rig, of("one"), "f"), "one");
  assert.deepEqual(rig.executed(), []);
  assert.equal(await fileOf(rig, of("two"), "f"), "two");
});

test("a folder read by the inner build is read anew in every build", async () => {
  await using rig = await engineRig();
  const root = join(rig.dir.path, "context");
  mkdirSync(root);
  rig.locals.set("context", root);
  const outer = holding(scratch().file(copy(local("context", { uniqueId: "c" }), "/f", "/f"))).build();
  writeFileSync(join(root, "f"), "one");
  assert.equal(await fileOf(rig, outer, "f"), "one");
  writeFileSync(join(root, "f"), "two");
  await rig.reopen();
  assert.equal(await fileOf(rig, outer, "f"), "two");
});

test(
  "a tag that the inner build asks for is asked for in every build",
  { skip: skipWithoutRegistry },
  async () => {
    await using registry = await startRegistry();
    await using rig = await engineRig();
    const name = `${registry.host}/base:1`;
    const publish = async (text: string): Promise<void> => {
      const attrs = { name, push: "true" };
      await rig.solve(scratch().file(mkfile("/f", 0o644, text)), [{ type: "image", attrs }]);
    };
    const outer = holding(scratch().file(copy(image(name), "/f", "/f"))).build();
    const copied = scratch().file(copy(outer, "/f", "/g"));
    await publish("one");
    assert.equal(await fileOf(rig, copied, "g"), "one");
    await publish("two");
    await rig.reopen();
    assert.equal(await fileOf(rig, copied, "g"), "two");
    await rig.reopen();
    rig.executed();
    assert.equal(await fileOf(rig, copied, "g"), "two");
    assert.deepEqual(rig.executed(), ["build"], "only the definition is read again");
  },
);

test("an empty definition gives the empty file system", async () => {
  await using rig = await engineRig();
  const terminal = encodeOp({ kind: "terminal", inputs: [] });
  const bytes = writeDefinition({ def: [terminal], metadata: new Map(), locations: new Map() });
  assert.ok(digestOf(terminal));
  const state = scratch()
    .file(mkfile(NAME, 0o644, bytes))
    .build();
  await assert.rejects(async () => readFileSync(join(await rig.files(state), "f")), /ENOENT/);
});

test("what is no definition, is not there or fails is told", async () => {
  await using rig = await engineRig();
  const files = scratch().file(mkfile(NAME, 0o644, "no definition").mkdir("/dir", 0o755));
  await assert.rejects(
    rig.files(files.build()),
    /cannot build from the definition "buildkit.llb.definition": /,
  );
  await assert.rejects(rig.files(files.build({ filename: "/dir" })), /it is not a file/);
  await assert.rejects(
    rig.files(files.build({ filename: "/nope" })),
    /cannot build from the definition "\/nope": .*not exist/,
  );
  const failing = scratch().file(copy(scratch().file(mkdir("/x", 0o755)), "/missing", "/"));
  await assert.rejects(rig.files(holding(failing).build()), /"\/missing"/);
});

test("a definition cannot be reached through a link that leads out of its tree", async () => {
  await using rig = await engineRig();
  const outside = join(rig.dir.path, "secret");
  writeFileSync(outside, bytesOf(scratch().file(mkfile("/f", 0o644, "outside"))));
  await assert.rejects(rig.files(scratch().file(symlink(outside, NAME)).build()), /cannot build from/);
});
