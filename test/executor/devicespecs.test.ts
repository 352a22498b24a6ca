// Goal: a device by name brings its nodes, mounts, variables and hooks, as its description says.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { findDevices } from "../../src/executor/devicespecs.ts";
import { engineRig, busyboxBase, skipWithoutContainers } from "../rig/engine.ts";
import { temporaryFolder } from "../rig/statedir.ts";

const toy = {
  cdiVersion: "0.6.0",
  kind: "example.com/toy",
  containerEdits: { env: ["TOY_ALL=1"] },
  devices: [
    {
      name: "zero",
      annotations: { "org.mobyproject.buildkit.device.class": "zeros" },
      containerEdits: {
        env: ["TOY=zero"],
        deviceNodes: [{ path: "/dev/toy0", hostPath: "/dev/zero", permissions: "r" }],
        mounts: [{ hostPath: "/etc/hostname", containerPath: "/toy/name", options: ["rbind", "ro"] }],
        hooks: [{ hookName: "createContainer", path: "/bin/true", args: ["true"] }],
      },
    },
    { name: "null", containerEdits: { deviceNodes: [{ path: "/dev/toy1", type: "c", major: 1, minor: 3 }] } },
  ],
};

test("devices are found by name, kind, wildcard and class, in JSON and YAML", async t => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, "toy.json"), JSON.stringify(toy));
  writeFileSync(
    join(folder, "other.yaml"),
    'cdiVersion: "0.6.0"\nkind: example.com/other\ndevices:\n  - name: "0"\n    containerEdits:\n      additionalGids: [44]\n',
  );
  const find = (name: string, optional = false) =>
    findDevices([{ name, optional }], [folder, "/nonexistent"]);
  const zero = await find("example.com/toy=zero");
  assert.deepEqual(zero, {
    env: ["TOY_ALL=1", "TOY=zero"],
    deviceNodes: [{ path: "/dev/toy0", type: "c", major: 1, minor: 5, access: "r" }],
    mounts: [{ destination: "/toy/name", source: "/etc/hostname", type: "bind", options: ["rbind", "ro"] }],
    additionalGids: [],
    hooks: { createContainer: [{ path: "/bin/true", args: ["true"] }] },
  });
  assert.deepEqual(await find("zeros"), zero);
  const nodes = async (name: string): Promise<readonly string[]> =>
    (await find(name)).deviceNodes.map(({ path }) => path).sort();
  assert.deepEqual(await nodes("example.com/toy"), ["/dev/toy1"]);
  assert.deepEqual(await nodes("example.com/toy=*"), ["/dev/toy0", "/dev/toy1"]);
  assert.deepEqual((await find("example.com/toy=*")).env, ["TOY_ALL=1", "TOY=zero"]);
  assert.deepEqual((await find("example.com/other=0")).additionalGids, [44]);
  assert.deepEqual(await find("example.com/none", true).then(({ deviceNodes }) => deviceNodes), []);
  await assert.rejects(find("example.com/none"), {
    code: "file-missing",
    message: /needs the device "example.com\/none", which this machine does not have/,
  });
  writeFileSync(join(folder, "broken.json"), "{");
  await assert.rejects(find("zeros"), { code: "not-supported", message: /broken\.json" cannot be used/ });
});

test("a step has the devices it asks for", { skip: skipWithoutContainers }, async t => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, "toy.json"), JSON.stringify(toy));
  await using rig = await engineRig({ deviceFolders: [folder] });
  const state = busyboxBase().run({
    shell: "head -c 3 /dev/toy0 | wc -c > /out; echo $TOY >> /out; cat /toy/name >> /out",
    devices: [{ name: "example.com/toy=zero" }],
  });
  const out = readFileSync(join(await rig.files(state.root()), "out"), "utf8");
  assert.equal(out, `3\nzero\n${readFileSync("/etc/hostname", "utf8")}`);
});
