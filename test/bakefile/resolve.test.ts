// Groups, inheritance, matrices, links and overrides give what the bake reference says.
import assert from "node:assert/strict";
import { test } from "node:test";
import { bake, problems, runBake } from "./fixture.ts";

test("children extend maps and replace tags; the nearest value wins", () => {
  const { target } = bake(`
    target "base" {
      args = { A = "1", B = "1" }
      tags = ["base"]
      cache-from = ["one"]
    }
    target "default" {
      inherits = ["base"]
      args = { B = "2" }
      tags = ["own"]
      cache-from = ["two"]
    }`);
  assert.deepEqual(target["default"], {
    context: ".",
    dockerfile: "Dockerfile",
    args: { A: "1", B: "2" },
    tags: ["own"],
    "cache-from": [
      { ref: "one", type: "registry" },
      { ref: "two", type: "registry" },
    ],
  });
});

test("groups expand to their members, the default group is sorted", () => {
  const { group, target } = bake(
    'group "all" { targets = ["b", "a"] }\ntarget "a" {}\ntarget "b" {}\ntarget "c" {}',
    { targets: ["c", "all"] },
  );
  assert.deepEqual(group, { all: { targets: ["b", "a"] }, default: { targets: ["all", "c"] } });
  assert.deepEqual(Object.keys(target), ["a", "b", "c"]);
});

test("a matrix makes a target for each combination and a group of them", () => {
  const { group, target } = bake(
    'target "app" {\n  name = "app-${v}-${replace(os, ".", "-")}"\n  matrix = { os = ["a.1"], v = ["x", "y"] }\n  args = { V = v }\n}',
    { targets: ["app"] },
  );
  assert.deepEqual(group["app"], { targets: ["app-x-a-1", "app-y-a-1"] });
  assert.deepEqual(target["app-y-a-1"]?.["args"], { V: "y" });
});

test("a target used as a context is linked, its outputs stay in the cache", () => {
  const { target } = bake(
    'target "base" { output = ["type=docker"] }\ntarget "default" {\n  contexts = { base = "target:base" }\n}',
    {
      overrides: ["*.push=true"],
    },
  );
  assert.deepEqual(target["base"]?.["output"], [{ type: "cacheonly" }]);
  assert.deepEqual(target["default"]?.["output"], [{ push: "true", type: "image" }]);
});

test("overrides replace, append and match patterns", () => {
  const text =
    'group "default" { targets = ["a", "b"] }\ntarget "a" { tags = ["t"] }\ntarget "b" { tags = ["t"] }';
  const { target } = bake(text, {
    overrides: ["*.args.X=1", "a.tags+=u", "b.platform=linux/arm64", "b.tags=v=w"],
  });
  assert.deepEqual(target["a"]?.["tags"], ["t", "u"]);
  assert.deepEqual(target["b"]?.["tags"], ["v=w"]);
  assert.deepEqual(target["b"]["platforms"], ["linux/arm64"]);
  assert.deepEqual(target["a"]["args"], { X: "1" });
});

test("of overrides that buildx does not read as lists, the file's values go and nothing comes", () => {
  const text = 'target "default" {\n  no-cache-filter = ["a"]\n  ulimits = ["nofile=1024"]\n}';
  for (const override of ["no-cache-filter=b", "no-cache-filter+=b", "ulimits=core=1", "ulimits+=core=1"]) {
    const { target } = bake(text, { overrides: [`*.${override}`] });
    const [key = ""] = override.split(/\+?=/);
    const kept = Object.keys(target["default"] ?? {}).filter(name => /filter|ulimits/.test(name));
    assert.deepEqual(
      kept,
      ["no-cache-filter", "ulimits"].filter(name => name !== key),
      override,
    );
  }
});

test("variables take the command line before the environment, converted to their type", () => {
  const text =
    'variable "L" {\n  type = list(number)\n  default = [1]\n}\nvariable "S" { default = "d" }\ntarget "default" { args = { L = jsonencode(L), S = S } }';
  const { target } = bake(text, { env: { L: "2,3", S: "env" }, vars: ["S=flag"] });
  assert.deepEqual(target["default"]?.["args"], { L: "[2,3]", S: "flag" });
  assert.match(problems(text, { env: { L: "x" } }), /"L" must be a number, found "x"/);
});

test("an unknown parent, member or target is named where it is written, with the nearest name", () => {
  assert.equal(
    problems('target "_base" {}\ntarget "default" {\n  inherits = ["_bas"]\n}'),
    `error: target "default" inherits from unknown target "_bas"
  bake.hcl:3:15
   3 |   inherits = ["_bas"]
     |               ^^^^^^  did you mean "_base"?
`,
  );
  assert.match(
    problems('group "default" { targets = ["ap"] }\ntarget "app" {}'),
    /unknown member "ap"[^]*did you mean "app"\?/,
  );
  assert.match(
    problems('target "app" {}', { targets: ["aps"] }),
    /unknown target "aps"\n  did you mean "app"\?/,
  );
});

test("circles: inheritance is cut, links and references are errors", () => {
  const cut = bake(
    'target "default" {\n  inherits = ["b"]\n  args = { A = 1 }\n}\ntarget "b" { inherits = ["default"] }',
  );
  assert.deepEqual(cut.target["default"]?.["args"], { A: "1" });
  assert.match(
    problems(
      'target "default" {\n  contexts = { b = "target:b" }\n}\ntarget "b" {\n  contexts = { a = "target:default" }\n}',
    ),
    /default -> b -> default/,
  );
  assert.match(problems('a = b\nb = a\ntarget "default" {}'), /refers to itself/);
  assert.match(
    problems('target "default" {\n  tags = target.default.tags\n}'),
    /"target\.default\.tags" refers to itself/,
  );
});

test("all problems of a file are reported at once", () => {
  const text = problems('target "a" { tags = [x1] }\ntarget "b" { tags = [x2] }\n');
  assert.match(text, /"x1"[^]*"x2"/);
  const syntax = problems('target "a" {\n  tags = [\n}\ntarget "b" {\n  x = @\n  y = )\n}\n');
  assert.equal(syntax.match(/^error:/gm)?.length, 3);
});

test("an ignored attribute that is nearly a known one gives a warning", () => {
  const { printed, diagnostics } = runBake({ "bake.hcl": 'target "default" {\n  tgas = ["x"]\n}' });
  assert.ok(printed);
  assert.deepEqual(
    diagnostics.map(({ severity, hint }) => [severity, hint]),
    [["warning", 'did you mean "tags"?']],
  );
});

test("contexts follow the file when paths are relative to files", () => {
  const files = {
    "sub/a.hcl":
      'target "default" {\n  context = "x"\n  contexts = { l = "../lib", i = "docker-image://a" }\n}',
  };
  const { printed } = runBake(files, { relativePaths: true });
  assert.match(printed ?? "", /"context": "sub\/x"/);
  assert.match(printed ?? "", /"l": "lib"/);
});
