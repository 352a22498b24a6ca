// `--explain-var`: the text for every kind of origin.
import assert from "node:assert/strict";
import { test } from "node:test";
import { explainVariable } from "../../src/bakefile/explain.ts";
import { loadBakeFiles } from "../../src/bakefile/load.ts";
import { bakeInput, type RunOptions } from "./fixture.ts";

function explain(name: string, files: Readonly<Record<string, string>>, options: RunOptions = {}): string {
  const { value } = loadBakeFiles(bakeInput(files, options));
  assert.ok(value !== undefined);
  return explainVariable(value, name);
}

const base = { "a.hcl": 'variable "V" { default = "a" }' };

test("everything that is shadowed is listed in order", () => {
  const files = {
    ...base,
    "b.hcl": 'env_file { path = ".env" }\nvariable "V" {\n  default = "b"\n  description = "what it is"\n}',
  };
  const options = { others: { ".env": "# V\nexport V=file\n" }, env: { V: "env" }, vars: ["V=flag"] };
  assert.equal(
    explain("V", files, options),
    `V
  value        flag
  from         --var V=flag
  shadows      environment V=env
  shadows      .env:2 V=file
  shadows      default at b.hcl:3:13: "b"
  shadows      default at a.hcl:1:26: "a"
  declared     b.hcl:2:1
  description  what it is
`,
  );
});

test("a typed variable takes the JSON form first", () => {
  const files = { "a.hcl": 'variable "V" {\n  type = list(string)\n  default = [\n    "x",\n  ]\n}' };
  assert.equal(
    explain("V", files, { env: { V: "a,b", V_JSON: '["c"]' } }),
    `V
  value        ["c"]
  type         list of string
  from         environment V_JSON=["c"] (as JSON)
  shadows      environment V=a,b
  shadows      default at a.hcl:3:13: [ "x", ]
  declared     a.hcl:1:1
`,
  );
});

test("a global attribute of the same name takes the place of the default", () => {
  assert.match(
    explain("V", { "a.hcl": 'V = "g"\nvariable "V" { default = "a" }' }),
    /from {9}attribute of the same name, at a.hcl:1:5: "g"\n {2}shadows {6}default at/,
  );
});

test("nothing gives a value; nothing declares the name", () => {
  assert.match(explain("V", { "a.hcl": 'variable "V" {}' }), /from +nothing: .* is empty/);
  assert.match(
    explain("V", { "a.hcl": 'variable "V" { type = string }' }),
    /value +null\n[^]*nothing: it is null/,
  );
  assert.throws(() => explain("W", base), /declares the variable "W"/);
});
