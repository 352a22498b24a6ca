// What targets ask for beyond the default, from bake files as users write them.
import assert from "node:assert/strict";
import { mkdirSync, realpathSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { loadBakeFiles } from "../../src/bakefile/load.ts";
import { resolveTargets } from "../../src/bakefile/resolve.ts";
import { type Entitlements, missingEntitlements } from "../../src/build/entitlements.ts";
import { buildTarget } from "../../src/build/target.ts";
import { grantedEntitlements } from "../../src/cli/entitlements.ts";
import { platform } from "../rig/engine.ts";
import { tempDir } from "../rig/tree.ts";

interface Options {
  readonly cwd: string;
  readonly allow?: readonly string[];
  readonly set?: readonly string[];
}

/** What is missing for `target "app" { BODY }`. */
function missing(body: string, { cwd, allow = [], set = [] }: Options): Entitlements {
  const text = `target "default" {\n${body}\n}\n`;
  const loaded = loadBakeFiles({ files: [{ name: "bake.hcl", text }], env: {}, hostPlatform: platform });
  assert.ok(loaded.value, JSON.stringify(loaded.diagnostics));
  const { value } = resolveTargets(loaded.value, { targets: [], overrides: set });
  assert.ok(value);
  const targets = [...value.targets.values()].map(buildTarget);
  return missingEntitlements(targets, grantedEntitlements(allow, value.grants, cwd), { cwd, env: {} });
}

function paths({ reads, writes }: Entitlements): readonly string[] {
  return [...reads.map(path => `r ${path}`), ...writes.map(path => `w ${path}`)];
}

test("what lies in the working directory is granted, what lies outside is not", () => {
  using dir = tempDir();
  const cwd = join(realpathSync(dir.path), "work");
  mkdirSync(cwd);
  const body = `
    context = "/srv/app"
    contexts = { a = "sub", b = "/opt/b", c = "target:x", d = "docker-image://alpine", e = "https://example.com/x.git" }
    secret = ["id=s,src=/run/secret"]
    output = ["type=local,dest=out", "type=oci,dest=/var/out.tar", "type=registry"]
    cache-from = ["type=local,src=/var/cache", "type=registry,ref=x"]
    cache-to = ["type=local,dest=/var/cache"]`;
  assert.deepEqual(paths(missing(body.replace('c = "target:x", ', ""), { cwd })), [
    "r /opt/b",
    "r /run/secret",
    "r /srv/app",
    "r /var/cache",
    "w /var/cache",
    "w /var/out.tar",
  ]);
  assert.deepEqual(paths(missing(`dockerfile = "../Dockerfile"`, { cwd })), [
    `r ${join(cwd, "../Dockerfile")}`,
  ]);
  assert.deepEqual(paths(missing("", { cwd })), []);
});

test("a flag grants a folder with what is below, for reading, writing or both", () => {
  using dir = tempDir();
  const cwd = dir.path;
  const body = `contexts = { a = "/opt/a/b" }\noutput = ["type=local,dest=/opt/a"]`;
  const left = (...allow: readonly string[]): readonly string[] => paths(missing(body, { cwd, allow }));
  assert.deepEqual(left("fs.read=/opt"), ["w /opt/a"]);
  assert.deepEqual(left("fs.write=/opt/a"), ["r /opt/a/b"]);
  assert.deepEqual(left("fs=/opt"), []);
  assert.deepEqual(left("fs=*"), []);
  assert.deepEqual(left("fs=/opt/a/bc"), ["r /opt/a/b", "w /opt/a"]);
});

test("a link out of the working directory is followed", () => {
  using dir = tempDir();
  const cwd = join(realpathSync(dir.path), "work");
  mkdirSync(cwd);
  symlinkSync("/usr", join(cwd, "link"));
  assert.deepEqual(paths(missing(`contexts = { a = "link/lib" }`, { cwd })), [`r ${join(cwd, "link/lib")}`]);
  assert.deepEqual(paths(missing(`contexts = { a = "link/lib" }`, { cwd, allow: ["fs.read=/usr"] })), []);
});

test("overrides grant outputs, caches and secrets they name, and no contexts", () => {
  using dir = tempDir();
  const cwd = dir.path;
  const set = [
    "default.output=type=local,dest=/opt/out",
    "default.cache-from=type=local,src=/opt/cache",
    "default.secrets=id=s,src=/run/s",
  ];
  assert.deepEqual(paths(missing("", { cwd, set })), []);
  assert.deepEqual(paths(missing("", { cwd, set: ["default.context=/opt/app"] })), ["r /opt/app"]);
  const kept = `secret = ["id=other,src=/run/other"]`;
  assert.deepEqual(paths(missing(kept, { cwd, set: ["default.secrets+=id=s,src=/run/s"] })), [
    "r /run/other",
  ]);
  assert.equal(missing("", { cwd, set: ["default.entitlements=network.host"] }).networkHost, false);
});

test("the host's network, privileges, deleting outputs and the ssh agent need a word", () => {
  using dir = tempDir();
  const cwd = dir.path;
  assert.equal(missing(`network = "host"`, { cwd }).networkHost, true);
  assert.equal(missing(`network = "host"`, { cwd, allow: ["network.host"] }).networkHost, false);
  assert.equal(missing(`entitlements = ["security.insecure"]`, { cwd }).securityInsecure, true);
  assert.equal(missing(`output = ["type=local,dest=o,mode=delete"]`, { cwd }).localDelete, true);
  assert.equal(missing(`ssh = ["default"]`, { cwd }).ssh, true);
  assert.equal(missing(`context = "git@example.com:a.git"`, { cwd }).ssh, true);
  assert.equal(missing(`context = "git@example.com:a.git"`, { cwd, allow: ["ssh"] }).ssh, false);
  assert.deepEqual([...missing(`entitlements = ["device=gpu"]`, { cwd }).devices], ["gpu"]);
  assert.deepEqual([...missing(`entitlements = ["device=gpu"]`, { cwd, allow: ["device"] }).devices], []);
});
