// Goal: a registry that lacks, cuts off or swaps any part of an image never spoils a build: it fails by name or goes
// right, and the next pull is whole. Method: each document and layer of a real image in turn, behind a proxy.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { BakeError } from "../../src/diagnostic/error.ts";
import { image, mkfile, scratch } from "../../src/llb/mod.ts";
import { bakeOk, startBake, target, tempProject } from "../rig/bake.ts";
import { engineRig } from "../rig/engine.ts";
import { readLayout } from "../crash/whole.ts";
import { type Fault, skipWithoutRegistry, startProxy, startRegistry } from "../rig/registry.ts";

async function publish(name: string, layers: number): Promise<string> {
  await using rig = await engineRig();
  let state = scratch();
  for (let i = 0; i < layers; i++) state = state.file(mkfile(`/f${i}`, 0o644, `content ${i}\n`));
  const report = await rig.solve(state, [{ type: "image", attrs: { name, push: "true" } }]);
  return report.exports[0]?.descriptor?.digest ?? "";
}

interface Manifest {
  readonly config: { readonly digest: string };
  readonly layers: readonly { readonly digest: string }[];
}

describe("broken registries", { skip: skipWithoutRegistry }, () => {
  test("any part of an image missing, cut off or swapped fails by name or is fetched again; then all is right", async () => {
    await using registry = await startRegistry();
    const head = await publish(`${registry.host}/app:1`, 2);
    const accept = "application/vnd.oci.image.manifest.v1+json";
    const answer = await fetch(`http://${registry.host}/v2/app/manifests/${head}`, { headers: { accept } });
    const { config, layers } = (await answer.json()) as Manifest;
    const faults: Readonly<Record<string, (times: number) => Fault | undefined>> = {
      missing: () => ({ kind: "answer", status: 404 }),
      swapped: () => ({ kind: "answer", status: 200, headers: { "content-type": accept }, body: "{}" }),
      "cut off once": times => (times === 0 ? { kind: "truncate", afterBytes: 7 } : undefined),
    };
    let broken: { readonly part: string; readonly fault: (times: number) => Fault | undefined } | undefined;
    await using proxy = await startProxy(registry.host, (request, times) =>
      request.startsWith("GET") && broken !== undefined && request.endsWith(broken.part)
        ? broken.fault(times)
        : undefined,
    );
    for (const part of [head, config.digest, ...layers.slice(1).map(({ digest }) => digest)]) {
      for (const [what, fault] of Object.entries(faults)) {
        await using rig = await engineRig();
        broken = { part, fault };
        const state = image(`${proxy.host}/app@${head}`);
        const failure = await rig.files(state).then(
          () => undefined,
          (thrown: unknown) => BakeError.from(thrown),
        );
        if (what !== "cut off once") assert.ok(failure, `${what}: ${part}`);
        if (failure !== undefined) {
          assert.notEqual(failure.code, "internal", `${what}: ${failure.message}`);
          assert.match(failure.message, new RegExp(`${part}|${proxy.host}/app`), what);
        }
        broken = undefined;
        const files = await rig.files(state);
        assert.equal(readFileSync(join(files, "f1"), "utf8"), "content 1\n", `after ${what}: ${part}`);
      }
    }
  });

  test("a registry that fails every 25th request is pushed to and pulled from", async () => {
    await using registry = await startRegistry();
    let requests = 0;
    await using proxy = await startProxy(registry.host, () =>
      ++requests % 25 === 0 ? { kind: "answer", status: requests % 50 === 0 ? 503 : 500 } : undefined,
    );
    await publish(`${proxy.host}/app:1`, 20);
    await using rig = await engineRig();
    const files = await rig.files(image(`${proxy.host}/app:1`));
    assert.equal(readFileSync(join(files, "f19"), "utf8"), "content 19\n");
    assert.ok(requests > 75, `${requests} requests`);
  });

  test("what two processes pull at once is downloaded once", async () => {
    await using registry = await startRegistry();
    await publish(`${registry.host}/app:1`, 2);
    let letGo = (): void => undefined;
    const held = new Promise<void>(resolve => (letGo = resolve));
    let isAsked = (): void => undefined;
    const asked = new Promise<void>(resolve => (isAsked = resolve));
    await using proxy = await startProxy(registry.host, async request => {
      // The image's configuration, a blob too, is asked for before.
      if (!request.startsWith("GET") || !/\/blobs\//.test(request) || configs.has(request)) return undefined;
      isAsked();
      await held;
      return undefined;
    });
    const configs = new Set<string>();
    const manifest = await fetch(`http://${registry.host}/v2/app/manifests/1`, {
      headers: { accept: "application/vnd.oci.image.manifest.v1+json" },
    });
    configs.add(`GET /v2/app/blobs/${((await manifest.json()) as Manifest).config.digest}`);
    using project = tempProject();
    project.write("bake.hcl", target("default"));
    project.write("Dockerfile", `FROM ${proxy.host}/app:1\n`);
    const args = (n: number): readonly string[] => [
      "--progress=plain",
      "--set",
      `*.output=type=local,dest=out${n}`,
    ];
    await using first = startBake(args(1), project);
    await asked;
    await using second = startBake(args(2), project);
    await second.saw(/waiting for another bake \(pid \d+\), which runs this step/);
    letGo();
    for (const one of [first, second])
      assert.equal((await one.outcome).exitCode, 0, (await one.outcome).stderr);
    assert.equal(project.read("out2/f1"), "content 1\n");
    const layers = proxy.requests.filter(
      request => /^GET .*\/blobs\//.test(request) && !configs.has(request.replace(/\?.*/, "")),
    );
    assert.equal(layers.length, new Set(layers).size, layers.join("\n"));
    assert.equal(layers.length, 2);
  });

  test("an image built upon a base that is cached but not here is whole when exported", async () => {
    await using registry = await startRegistry();
    await publish(`${registry.host}/app:1`, 3);
    using project = tempProject();
    project.write("bake.hcl", target("default", `args = { SOURCE_DATE_EPOCH = "1700000000" }`));
    project.write("src/new", "new\n");
    project.write("Dockerfile", `FROM ${registry.host}/app:1\nCOPY src/new /new\n`);
    const build = (dest: string, root = project.root): Promise<unknown> =>
      bakeOk(["--set", `*.output=type=tar,dest=${dest}`], { ...project, root });
    // Made, but never exported: the base has been pulled, its layers are packed as they came.
    await bakeOk(["--set", "*.output=type=cacheonly"], project);
    await bakeOk(["--set", "*.output=type=oci,dest=cached.oci.tar"], project);
    await build("cached.tar");
    await build("clean.tar", `${project.root}2`);
    await bakeOk(["--set", "*.output=type=oci,dest=clean.oci.tar"], { ...project, root: `${project.root}3` });
    assert.deepEqual(namesIn(join(project.cwd, "cached.tar")), namesIn(join(project.cwd, "clean.tar")));
    assert.deepEqual(layersIn(join(project.cwd, "cached.oci.tar")).length, 4);
    assert.deepEqual(
      layersIn(join(project.cwd, "cached.oci.tar")).slice(0, 3),
      layersIn(join(project.cwd, "clean.oci.tar")).slice(0, 3),
    );
  });
});

function namesIn(archive: string): readonly string[] {
  return execFileSync("tar", ["-tf", archive]).toString().split("\n").filter(Boolean).sort();
}

/** Digests of the layers of the image in an OCI archive, all of which are there. */
function layersIn(archive: string): readonly string[] {
  const digest = readLayout(archive);
  const manifest = execFileSync("tar", ["-xOf", archive, `blobs/${digest.replace(":", "/")}`]).toString();
  return (JSON.parse(manifest) as Manifest).layers.map(layer => layer.digest);
}
