// `import` and `env_file` blocks, on files held in memory.
import assert from "node:assert/strict";
import { test } from "node:test";
import { renderDiagnostics } from "../../src/diagnostic/render.ts";
import { runBake, type RunOptions } from "./fixture.ts";

function target(
  files: Readonly<Record<string, string>>,
  others: Readonly<Record<string, string>>,
  name = "default",
  options: RunOptions = {},
): Record<string, unknown> {
  const { printed, diagnostics } = runBake(files, { ...options, others, targets: [name] });
  assert.ok(printed !== undefined, renderDiagnostics(diagnostics));
  const found = (JSON.parse(printed) as { target: Record<string, Record<string, unknown>> }).target[name];
  assert.ok(found !== undefined);
  return found;
}

function problems(files: Readonly<Record<string, string>>, others: Readonly<Record<string, string>>): string {
  return renderDiagnostics(runBake(files, { others }).diagnostics);
}

test("the contexts of an imported file are relative to its folder, also when another file extends the target", () => {
  const files = { "bake.hcl": 'import { path = "api/bake.hcl" }\ntarget "api" { tags = ["a"] }' };
  const others = { "api/bake.hcl": 'target "api" {}\ntarget "sub" { context = "src" }' };
  assert.deepEqual(target(files, others, "api"), { context: "api", dockerfile: "Dockerfile", tags: ["a"] });
  assert.equal(target(files, others, "sub")["context"], "api/src");
});

test("imports are relative to the importing file, in HCL and JSON, and happen once", () => {
  const files = { "x/bake.json": '{"import": [{"path": ["a.hcl", "b.hcl"]}], "target": {"default": {}}}' };
  const others = {
    "x/a.hcl": 'import { path = "../c.hcl" }',
    "x/b.hcl": 'import { path = "../c.hcl" }\ntarget "default" { inherits = ["c"] }',
    "c.hcl": 'target "c" {\n  secret = ["id=s,src=f"]\n  tags = ["c"]\n}',
  };
  assert.deepEqual(target(files, others)["tags"], ["c"]);
});

test("what is imported comes below the file that imports it", () => {
  const files = {
    "bake.hcl":
      'import { path = "base.hcl" }\nvariable "V" { default = "own" }\ntarget "default" { args = { V = V } }',
  };
  const others = { "base.hcl": 'variable "V" { default = "base" }\ntarget "default" { args = { W = V } }' };
  assert.deepEqual(target(files, others)["args"], { V: "own", W: "own" });
});

test("an import that is missing, a loop or not written out is underlined", () => {
  assert.match(
    problems({ "bake.hcl": 'import { path = ["a.hcl", "no.hcl"] }' }, { "a.hcl": "" }),
    /there is no bake file "no.hcl"\n {2}bake.hcl:1:27\n/,
  );
  assert.match(
    problems({ "bake.hcl": 'import { path = "a.hcl" }' }, { "a.hcl": 'import { path = "./bake.hcl" }' }),
    /import each other: bake.hcl -> a.hcl -> bake.hcl\n {2}a.hcl:1:17/,
  );
  assert.match(problems({ "bake.hcl": 'import { path = "${X}.hcl" }' }, {}), /must be a plain string/);
  assert.match(
    problems({ "bake.hcl": 'import { pth = "a" }' }, {}),
    /no attribute "pth"[^]*did you mean "path"/,
  );
  assert.match(problems({ "bake.hcl": 'import "x" { path = "a" }' }, {}), /has no name/);
  assert.match(problems({ "bake.hcl": 'import { path = "compose.yaml" }' }, {}), /Compose file[^]*-f/);
});

test("problems of imported files name their file", () => {
  assert.match(
    problems({ "bake.hcl": 'import { path = "a/b.hcl" }' }, { "a/b.hcl": 'target "x" { tags = [ }' }),
    /a\/b\.hcl:1:/,
  );
});

test("attributes called import and env_file are plain attributes", () => {
  const files = {
    "bake.hcl": 'import = "i"\nenv_file = "e"\ntarget "default" { tags = [import, env_file] }',
  };
  assert.deepEqual(target(files, {})["tags"], ["i", "e"]);
});

test("env files give values below the environment, later files first", () => {
  const text = `env_file { path = [".env", "local.env"] }
env_file {
  path     = "no.env"
  optional = true
}
variable "A" { default = "default" }
variable "B" { default = "default" }
variable "C" { default = "default" }
variable "N" {
  type    = list(number)
  default = []
}
target "default" { args = { A = A, B = B, C = C, N = jsonencode(N) } }`;
  const others = { ".env": "A=1\nB=1\nC=1\nN=1,2\n", "local.env": "B=2\nC='2'\n" };
  assert.deepEqual(target({ "bake.hcl": text }, others, "default", { env: { C: "3" } })["args"], {
    A: "1",
    B: "2",
    C: "3",
    N: "[1,2]",
  });
  const json = { ...others, "local.env": "N_JSON=[7]" };
  assert.equal((target({ "bake.hcl": text }, json)["args"] as Record<string, string>)["N"], "[7]");
  const given = target({ "bake.hcl": text }, json, "default", { env: { N: "9" } });
  assert.equal((given["args"] as Record<string, string>)["N"], "[9]", "the environment is above every file");
});

test("an env file that is missing or malformed is an error", () => {
  assert.match(
    problems({ "bake.hcl": 'env_file { path = ".env" }' }, {}),
    /no env file ".env"\n {2}bake.hcl:1:19/,
  );
  assert.match(problems({ "bake.hcl": 'env_file { path = ".env" }' }, { ".env": 'A="x' }), /\.env:1/);
});
