// schemas/bake.schema.json and docs/bake-reference.md: that they are current, that every example of the reference is
// good HCL, and that the schema takes what the program takes and refuses slips.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { projectRoot } from "../rig/sourcetree.ts";
import { problems, runBake } from "./fixture.ts";
import { validate } from "./jsonschema.ts";

type Schema = Parameters<typeof validate>[0];
const schema = JSON.parse(readFileSync(join(projectRoot, "schemas", "bake.schema.json"), "utf8")) as Schema;
const reference = readFileSync(join(projectRoot, "docs", "bake-reference.md"), "utf8");

test("the generated files are current", () => {
  const args = ["--import", "tsx", join("scripts", "generate.mjs"), "--check"];
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: projectRoot, encoding: "utf8" });
  assert.equal(status, 0, stderr);
});

test("every example of the reference is accepted", () => {
  const examples = [...reference.matchAll(/```hcl\n([^]*?)```/g)].map(match => match[1] ?? "");
  assert.ok(examples.length >= 29);
  const others = 'target "base" {}\ntarget "_common" {}\n';
  for (const example of examples)
    assert.equal(problems(`${others}target "default" {\n${example}}\n`), "", example);
});

const good: Readonly<Record<string, unknown>> = {
  empty: {},
  "all of it": {
    "//": "comment",
    import: { path: "a.json" },
    env_file: [{ path: [".env"], optional: true }],
    extra: { any: "thing" },
    group: { default: { targets: ["a"] }, other: { targets: "${list}", description: "d" } },
    variable: {
      V: { type: "list(string)", default: ["x"], validation: [{ condition: "${length(V) > 0}" }] },
      W: {},
    },
    function: { f: { params: ["a"], result: "${a}" } },
    target: {
      a: {
        "//": "comment",
        args: { N: 1, B: true, S: "s", O: null },
        tags: ["t", "${V[0]}"],
        pull: "${true}",
        "no-cache": true,
        output: ["type=docker", { type: "local", dest: "out" }],
        secret: [{ id: "a", env: "B" }],
        ssh: [{ id: "default", paths: ["k"] }],
        resources: { memory: "1g", "cpu-shares": 3 },
        matrix: { v: ["1", "2"] },
        name: "a-${v}",
      },
      b: [{ inherits: ["c"] }, { context: "." }],
      c: {},
    },
  },
  "lists of objects": { target: [{ a: { context: "." } }] },
};

for (const [name, document] of Object.entries(good)) {
  test(`the schema takes: ${name}`, () => {
    assert.deepEqual(validate(schema, document), []);
  });
}

test("the program takes the same document", () => {
  const text = JSON.stringify(good["all of it"]).replace("${list}", "${[]}");
  const others = { "a.json": '{"target": {}}', ".env": "" };
  assert.deepEqual(runBake({ "b.json": text }, { targets: ["a"], others }).diagnostics, []);
});

const bad: readonly (readonly [string, unknown])[] = [
  ["/target/a/tgas", { target: { a: { tgas: ["x"] } } }],
  ["/target/a/tags", { target: { a: { tags: "x" } } }],
  ["/target/a/tags/0", { target: { a: { tags: [{}] } } }],
  ["/target/a/args/A", { target: { a: { args: { A: [] } } } }],
  ["/target/a/pull", { target: { a: { pull: "yes" } } }],
  ["/target/a/resources/cpus", { target: { a: { resources: { cpus: 1 } } } }],
  ["/target/a/resources/cpu-shares", { target: { a: { resources: { "cpu-shares": 1.5 } } } }],
  ["/group/g", { group: { g: {} } }],
  ["/group/g/matrix", { group: { g: { targets: [], matrix: {} } } }],
  ["/variable/V/defualt", { variable: { V: { defualt: 1 } } }],
  ["/function/f", { function: { f: { params: [] } } }],
  ["/import", { import: { optional: true } }],
  ["/target", { target: "x" }],
];

for (const [place, document] of bad) {
  test(`the schema refuses ${JSON.stringify(document)}`, () => {
    const found = validate(schema, document);
    assert.ok(
      found.some(problem => problem.startsWith(`${place}:`)),
      `expected a problem at ${place}, found ${found.join("; ")}`,
    );
  });
}
