// `target.name`: the name of the target that is built, also in what it inherits.
import assert from "node:assert/strict";
import { test } from "node:test";
import { bake, problems } from "./fixture.ts";

test("an inherited attribute sees the heir's name, over any number of levels", () => {
  const { target } = bake(
    `target "_base" {
  tags = ["example.com/\${target.name}:1"]
  args = { OWN = target.name, UP = upper(target.name) }
}
target "_middle" { inherits = ["_base"] }
target "web" { inherits = ["_middle"] }
target "default" {
  inherits = ["_middle"]
  args     = { UP = "x-\${target.name}" }
  contexts = { w = "target:web" }
}`,
  );
  assert.deepEqual(target["default"]?.["tags"], ["example.com/default:1"]);
  assert.deepEqual(target["default"]["args"], { OWN: "default", UP: "x-default" });
  assert.deepEqual(target["web"]?.["args"], { OWN: "web", UP: "WEB" });
});

test("a matrix gives each of its targets its own name", () => {
  const { target } = bake(
    'target "default" {\n  matrix = { v = ["a", "b"] }\n  name = "t-${v}"\n  tags = [target.name]\n}',
  );
  assert.deepEqual(target["t-b"]?.["tags"], ["t-b"]);
});

test("references to blocks stay what they are", () => {
  const { target } = bake(
    'target "name" { tags = ["t"] }\ntarget "default" { args = { A = target.name.tags[0], B = jsonencode(target.name.tags) } }',
  );
  assert.deepEqual(target["default"]?.["args"], { A: "t", B: '["t"]' });
  const both = bake(
    'target "a" { tags = ["t"] }\ntarget "default" { tags = ["${target.name}-${target.a.tags[0]}"] }',
  );
  assert.deepEqual(both.target["default"]?.["tags"], ["default-t"]);
  const raw = bake(
    'target "a" { tags = [target.name] }\ntarget "default" { args = { A = target.a.tags[0], B = target.a.name } }',
  );
  assert.deepEqual(raw.target["default"]?.["args"], { A: "a", B: "a" });
});

test("later blocks of a target go over what was inherited with its name", () => {
  const { target } = bake(
    'target "_b" { args = { A = target.name, B = 1 } }\ntarget "_b" { args = { B = 2 } }\ntarget "default" { inherits = ["_b"] }',
  );
  assert.deepEqual(target["default"]?.["args"], { A: "default", B: "2" });
});

test("what only fails with the heir's name is an error of the run", () => {
  assert.match(
    problems(
      'target "_b" { args = { A = { _b = "x" }[target.name] } }\ntarget "default" { inherits = ["_b"] }',
    ),
    /no attribute "default"/,
  );
});
