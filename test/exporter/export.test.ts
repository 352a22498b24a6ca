// Goal: every exporter writes what independent programs read, whole or not at all.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { mkdir, mkfile, type State, scratch } from "../../src/llb/mod.ts";
import { engineRig } from "../rig/engine.ts";
import { skipWithoutRegistry, skipWithoutSkopeo, startProxy, startRegistry } from "../rig/registry.ts";

const app: State = scratch().file(
  mkdir("/etc", 0o755).mkfile("/etc/app.conf", 0o640, "port=1\n").symlink("app.conf", "/etc/link"),
);
const skopeo = (...args: readonly string[]): string => execFileSync("skopeo", args, { encoding: "utf8" });

test(
  "an OCI archive is read by another program under each of its tags",
  { skip: skipWithoutSkopeo },
  async () => {
    await using rig = await engineRig();
    const dest = join(rig.dir.path, "image.tar");
    const report = await rig.solve(app, [
      { type: "oci", attrs: { name: "example.com/app:1,example.com/app:latest" }, dest },
    ]);
    for (const tag of ["1", "latest"]) {
      const seen = JSON.parse(skopeo("inspect", `oci-archive:${dest}:${tag}`)) as {
        Digest: string;
        Layers: unknown[];
      };
      assert.equal(seen.Digest, report.exports[0]?.descriptor?.digest);
      assert.equal(seen.Layers.length, 1);
    }
  },
);

test("a docker archive names its tags as docker load shows them", { skip: skipWithoutSkopeo }, async () => {
  await using rig = await engineRig();
  const dest = join(rig.dir.path, "image.tar");
  await rig.solve(app, [{ type: "docker", attrs: { name: "app:1" }, dest }]);
  const manifest = JSON.parse(execFileSync("tar", ["-xOf", dest, "manifest.json"], { encoding: "utf8" })) as {
    RepoTags: string[];
  }[];
  assert.deepEqual(manifest[0]?.RepoTags, ["app:1"]);
  const copied = join(rig.dir.path, "copied");
  skopeo("--insecure-policy", "copy", `docker-archive:${dest}`, `dir:${copied}`);
  assert.ok(existsSync(join(copied, "manifest.json")));
});

test("an OCI layout folder is what the archive holds", { skip: skipWithoutSkopeo }, async () => {
  await using rig = await engineRig();
  const dest = join(rig.dir.path, "layout");
  const report = await rig.solve(app, [
    { type: "oci", attrs: { tar: "false", name: "example.com/app:1" }, dest },
  ]);
  const seen = JSON.parse(skopeo("inspect", `oci:${dest}:1`)) as { Digest: string };
  assert.equal(seen.Digest, report.exports[0]?.descriptor?.digest);
});

test("two builds of the same content give the same archive, byte for byte", async () => {
  await using rig = await engineRig();
  const written = async (name: string): Promise<Buffer> => {
    const dest = join(rig.dir.path, name);
    await rig.solve(app, [{ type: "oci", attrs: { name: "app:1" }, dest }]);
    await rig.reopen();
    return readFileSync(dest);
  };
  assert.ok((await written("a.tar")).equals(await written("b.tar")));
});

test("a tar holds the files with modes and links", async () => {
  await using rig = await engineRig();
  const dest = join(rig.dir.path, "files.tar");
  await rig.solve(app, [{ type: "tar", attrs: {}, dest }]);
  const listing = execFileSync("tar", ["-tvf", dest], { encoding: "utf8" });
  assert.match(listing, /-rw-r----- .* etc\/app\.conf/);
  assert.match(listing, /etc\/link -> app\.conf/);
});

test("with an epoch all files of a tar or a folder have its time", async () => {
  await using rig = await engineRig();
  const [dest, folder] = [join(rig.dir.path, "files.tar"), join(rig.dir.path, "folder")];
  const attrs = { "source-date-epoch": "1500000000" };
  await rig.solve(app, [
    { type: "tar", attrs, dest },
    { type: "local", attrs, dest: folder },
  ]);
  const listing = execFileSync("tar", ["--utc", "-tvf", dest], { encoding: "utf8" }).trim().split("\n");
  assert.deepEqual(
    listing.filter(line => !line.includes(" 2017-07-14 02:40 ")),
    [],
  );
  for (const path of ["etc", "etc/app.conf", "etc/link"])
    assert.equal(lstatSync(join(folder, path)).mtimeMs, 1_500_000_000_000, path);
});

test("destination - writes the archive to standard output", async () => {
  await using rig = await engineRig();
  await rig.solve(app, [{ type: "tar", attrs: {}, dest: "-" }]);
  const listing = execFileSync("tar", ["-t"], { encoding: "utf8", input: rig.stdout() });
  assert.match(listing, /etc\/app\.conf/);
});

test("a folder keeps what was there and replaces what the result has", async () => {
  await using rig = await engineRig();
  const dest = join(rig.dir.path, "out");
  mkdirSync(join(dest, "etc"), { recursive: true });
  writeFileSync(join(dest, "mine"), "mine");
  writeFileSync(join(dest, "etc", "app.conf"), "old");
  await rig.solve(app, [{ type: "local", attrs: {}, dest }]);
  assert.equal(readFileSync(join(dest, "mine"), "utf8"), "mine");
  assert.equal(readFileSync(join(dest, "etc", "app.conf"), "utf8"), "port=1\n");
  assert.equal(lstatSync(join(dest, "etc", "app.conf")).mode & 0o777, 0o640);
});

test("nothing appears when one export of the run cannot be made", async () => {
  await using rig = await engineRig();
  const good = join(rig.dir.path, "good.tar");
  mkdirSync(join(rig.dir.path, "taken"));
  await assert.rejects(
    rig.solve(app, [
      { type: "oci", attrs: {}, dest: good },
      { type: "tar", attrs: {}, dest: join(rig.dir.path, "taken") },
    ]),
    /taken/,
  );
  assert.deepEqual(
    readdirSync(rig.dir.path).filter(name => name !== "state"),
    ["taken"],
  );
});

test("an empty result is an image without layers and an empty folder", async () => {
  await using rig = await engineRig();
  const dest = join(rig.dir.path, "empty");
  await rig.solve(scratch(), [
    { type: "local", attrs: {}, dest },
    { type: "oci", attrs: {}, dest: join(rig.dir.path, "empty.tar") },
  ]);
  assert.deepEqual(readdirSync(dest), []);
});

test(
  "a pushed tag is read by another program and holds the same files",
  { skip: skipWithoutRegistry || skipWithoutSkopeo },
  async () => {
    await using rig = await engineRig();
    await using registry = await startRegistry();
    const name = `${registry.host}/team/app:1`;
    const report = await rig.solve(app, [{ type: "image", attrs: { name, push: "true" } }]);
    const seen = JSON.parse(skopeo("inspect", "--tls-verify=false", `docker://${name}`)) as {
      Digest: string;
    };
    assert.equal(seen.Digest, report.exports[0]?.response["containerimage.digest"]);
    assert.equal(report.exports[0]?.response["image.name"], name);
  },
);

test(
  "of an image whose tag is there already nothing but the tag is asked; a tag that moved is put back",
  { skip: skipWithoutRegistry },
  async () => {
    await using rig = await engineRig();
    await using registry = await startRegistry();
    await using proxy = await startProxy(registry.host, () => undefined);
    const push = async (state: State): Promise<readonly string[]> => {
      const before = proxy.requests.length;
      await rig.solve(state, [{ type: "image", attrs: { name: `${proxy.host}/app:1`, push: "true" } }]);
      return proxy.requests.slice(before).filter(request => !request.endsWith(" /v2/"));
    };
    const tag = "/v2/app/manifests/1";
    assert.equal((await push(app)).at(-1), `PUT ${tag}`);
    assert.deepEqual(await push(app), [`HEAD ${tag}`]);
    assert.equal((await push(scratch().file(mkfile("/other", 0o644, "x")))).at(-1), `PUT ${tag}`);
    const again = await push(app);
    assert.equal(again.at(-1), `PUT ${tag}`);
    assert.deepEqual(
      again.filter(request => request.startsWith("PUT")),
      [`PUT ${tag}`],
      "everything else is still there",
    );
  },
);

test("pushing without a tag, unknown kinds and bad options are refused before anything is written", async () => {
  await using rig = await engineRig();
  await assert.rejects(rig.solve(app, [{ type: "image", attrs: { push: "true" } }]), /tag is needed/);
  await assert.rejects(
    rig.solve(app, [{ type: "ocii", attrs: {}, dest: "x" }]),
    /unknown output type "ocii"/,
  );
  await assert.rejects(
    rig.solve(app, [{ type: "oci", attrs: { tar: "maybe" }, dest: join(rig.dir.path, "x") }]),
    /"maybe"/,
  );
  await assert.rejects(
    rig.solve(app, [{ type: "oci", attrs: { compression: "lzma" }, dest: join(rig.dir.path, "x") }]),
    /"lzma"/,
  );
});

test("a repacked image has the compression that was asked for", { skip: skipWithoutSkopeo }, async () => {
  await using rig = await engineRig();
  const dest = join(rig.dir.path, "raw.tar");
  await rig.solve(scratch().file(mkfile("/f", 0o644, "x")), [
    { type: "oci", attrs: { compression: "uncompressed", "force-compression": "true" }, dest },
  ]);
  const raw = JSON.parse(skopeo("inspect", "--raw", `oci-archive:${dest}`)) as {
    layers: { mediaType: string }[];
  };
  assert.deepEqual(
    raw.layers.map(({ mediaType }) => mediaType),
    ["application/vnd.oci.image.layer.v1.tar"],
  );
});
