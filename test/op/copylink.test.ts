// Goal: what COPY --link lays over a base arrives whole through every exporter: capabilities, attributes, setuid bits,
// hard links, deletions (moby#45111 "COPY --link loses capabilities", moby#43742 "COPY --link loses files",
// buildkit#2381 "opaque directories of merged layers"). And hard links of a context in whatever order their names come
// (buildkit#4831, buildkit#4879).
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { applyLayer } from "../../src/layer/apply.ts";
import { copy, image, local, merge, mkdir, mkfile, rm, scratch, type State } from "../../src/llb/mod.ts";
import { type EngineRig, engineRig } from "../rig/engine.ts";
import { skipWithoutRegistry, startRegistry } from "../rig/registry.ts";
import { describeTree, isRoot, makeTree, tempDir } from "../rig/tree.ts";

/** cap_net_raw=ep, as setcap(8) writes it. */
const NET_RAW = Buffer.from("0100000200200000000000000000000000000000", "hex").toString("latin1");

async function lend(rig: EngineRig, tree: Parameters<typeof makeTree>[1]): Promise<State> {
  const root = join(rig.dir.path, `context${rig.locals.size}`);
  mkdirSync(root);
  await makeTree(root, tree);
  const name = `context${rig.locals.size}`;
  rig.locals.set(name, root);
  return local(name, { uniqueId: name });
}

async function* bytesOf(path: string): AsyncGenerator<Uint8Array, void, void> {
  yield await Promise.resolve(readFileSync(path));
}

/** The tree of an OCI layout's or docker archive's image, its layers applied one over the other. */
async function unpackLayout(folder: string, root: string): Promise<void> {
  const json = (path: string): unknown => JSON.parse(readFileSync(join(folder, path), "utf8"));
  const index = json("index.json") as { readonly manifests: readonly { readonly digest: string }[] };
  const blob = (digest: string): string => `blobs/${digest.replace(":", "/")}`;
  const { layers } = json(blob(index.manifests[0]?.digest ?? "")) as {
    readonly layers: readonly { readonly digest: string }[];
  };
  for (const { digest } of layers) await applyLayer(bytesOf(join(folder, blob(digest))), root);
}

type Way = (rig: EngineRig, state: State, root: string) => Promise<void>;

const ways: Readonly<Record<string, Way>> = {
  local: (rig, state, dest) => rig.solve(state, [{ type: "local", attrs: {}, dest }]).then(() => undefined),
  tar: async (rig, state, root) => {
    const dest = `${root}.tar`;
    await rig.solve(state, [{ type: "tar", attrs: {}, dest }]);
    mkdirSync(root);
    await applyLayer(bytesOf(dest), root, { whiteouts: false });
  },
  oci: async (rig, state, root) => {
    await rig.solve(state, [{ type: "oci", attrs: { tar: "false" }, dest: `${root}.layout` }]);
    mkdirSync(root);
    await unpackLayout(`${root}.layout`, root);
  },
  docker: async (rig, state, root) => {
    await rig.solve(state, [{ type: "docker", attrs: {}, dest: `${root}.tar` }]);
    mkdirSync(`${root}.layout`);
    await applyLayer(bytesOf(`${root}.tar`), `${root}.layout`, { whiteouts: false });
    mkdirSync(root);
    await unpackLayout(`${root}.layout`, root);
  },
};

const registryWay: Way = async (rig, state, root) => {
  await using registry = await startRegistry();
  const name = `${registry.host}/app:1`;
  await rig.solve(state, [{ type: "image", attrs: { name, push: "true" } }]);
  await using other = await engineRig();
  await other.solve(image(name), [{ type: "local", attrs: {}, dest: root }]);
};

test(
  "COPY --link keeps capabilities, attributes, setuid bits, hard links and deletions through every exporter",
  { skip: !isRoot && "needs root to set capabilities" },
  async t => {
    await using rig = await engineRig();
    const files = await lend(rig, {
      "bin/ping": { kind: "file", data: "ping", mode: 0o755, xattrs: { "security.capability": NET_RAW } },
      "bin/su": { kind: "file", data: "su", mode: 0o4755, xattrs: { "user.note": "kept" } },
      "bin/hard": { kind: "link", to: "bin/ping" },
      bin: { kind: "dir", mode: 0o711, xattrs: { "user.dir": "kept" } },
      "bin/link": { kind: "symlink", target: "../nowhere" },
      "bin/fifo": { kind: "fifo" },
    });
    const base = scratch()
      .file(
        mkdir("/opt/bin", 0o755, { makeParents: true })
          .mkfile("/opt/bin/old", 0o644, "old")
          .mkfile("/opt/gone", 0o644, ""),
      )
      .file(mkdir("/srv", 0o755).symlink("/srv", "/opt2").mkfile("/srv/kept", 0o644, ""))
      .file(rm("/opt/gone"));
    const linked = (dest: string): State =>
      scratch().file(copy(files, "/bin", dest, { createDestPath: true, dirCopyContents: true }));
    const capability = " security.capability=0100000200200000000000000000000000000000";
    const content = (dir: string): readonly string[] => [
      `${dir}: dir 711 0:0 user.dir=6b657074`,
      `${dir}/fifo: fifo 644 0:0`,
      `${dir}/hard: file 755 "ping" 0:0${capability}`,
      `${dir}/link: symlink -> ../nowhere 0:0`,
      `${dir}/ping: file 755 "ping" 0:0${capability} = ${dir}/hard`,
      `${dir}/su: file 4755 "su" 0:0 user.note=6b657074`,
    ];
    const [directory = "", ...entries] = content("opt/bin");
    const expected = [
      "opt: dir 755 0:0",
      directory.replace("711", "755").replace(/ user.*/, ""),
      ...[...entries, 'opt/bin/old: file 644 "old" 0:0'].sort(),
      // A directory takes the place of the link, as when layers lie over each other.
      "opt2: dir 755 0:0",
      ...content("opt2").slice(1),
      "srv: dir 755 0:0",
      'srv/kept: file 644 "" 0:0',
    ];
    const state = merge([base, linked("/opt/bin"), linked("/opt2")]);
    for (const [name, way] of Object.entries({
      ...ways,
      ...(!skipWithoutRegistry && { registry: registryWay }),
    })) {
      await t.test(name, async () => {
        const root = join(rig.dir.path, `tree-${name}`);
        await way(rig, state, root);
        assert.deepEqual(await describeTree(root), expected);
      });
    }
  },
);

test("hard links in a context come through whatever the order of their names", async t => {
  const names = ["a", "b", "z/c"];
  const orders = names.flatMap(first =>
    names
      .filter(name => name !== first)
      .map(second => [first, second, ...names.filter(name => name !== first && name !== second)]),
  );
  for (const order of orders) {
    await t.test(order.join(", "), async () => {
      await using rig = await engineRig();
      const [first = "", ...others] = order;
      const from = await lend(rig, {
        [first]: "content",
        ...Object.fromEntries(others.map(name => [name, { kind: "link", to: first } as const])),
        other: "other",
      });
      const whole = [
        'a: file 644 "content"',
        'b: file 644 "content" = a',
        'other: file 644 "other"',
        "z: dir 755",
        'z/c: file 644 "content" = a',
      ];
      const all = scratch().file(copy(from, "/", "/", { dirCopyContents: true }));
      assert.deepEqual(await describeTree(await rig.files(all), { owners: false }), whole);
      assert.deepEqual(await describeTree(await rig.files(merge([file("/below"), all])), { owners: false }), [
        ...whole.slice(0, 2),
        'below: file 644 ""',
        ...whole.slice(2),
      ]);
      // One name of several, by itself.
      for (const name of names) {
        const alone = scratch().file(copy(from, `/${name}`, "/alone"));
        assert.deepEqual(await describeTree(await rig.files(alone), { owners: false }), [
          'alone: file 644 "content"',
        ]);
      }
      using unpacked = tempDir();
      await rig.solve(all, [{ type: "oci", attrs: { tar: "false" }, dest: join(rig.dir.path, "layout") }]);
      await unpackLayout(join(rig.dir.path, "layout"), unpacked.path);
      assert.deepEqual(await describeTree(unpacked.path, { owners: false }), whole);
      // Some of them hidden by the ignore file.
      const context = [...rig.locals.keys()].at(-1) ?? "";
      for (const hidden of names) {
        const rest = local(context, { uniqueId: `without ${hidden}`, excludePatterns: [hidden] });
        const shown = await describeTree(
          await rig.files(scratch().file(copy(rest, "/", "/", { dirCopyContents: true }))),
          { owners: false },
        );
        assert.deepEqual(shown.filter(line => line.includes("content")).length, 2, shown.join("\n"));
        assert.ok(
          shown.some(line => line.includes(" = ")),
          shown.join("\n"),
        );
      }
    });
  }
});

function file(path: string): State {
  return scratch().file(mkfile(path, 0o644, ""));
}
