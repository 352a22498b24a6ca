// One run shows the problems of every stage, each once and at its own place.
import assert from "node:assert/strict";
import { test } from "node:test";
import { runBake } from "./fixture.ts";
import { positionAt } from "../../src/diagnostic/source.ts";

function places(text: string, targets: readonly string[] = []): readonly string[] {
  return runBake({ "bake.hcl": text }, { targets }).diagnostics.map(({ message, range }) => {
    const at = range && positionAt(range.source, range.start);
    return `${at?.line ?? 0}:${at?.column ?? 0} ${message}`;
  });
}

test("variables, functions, names, attributes, parents and members are told together", () => {
  const text = `variable "A" { default = nope }
variable "B" {
  default = "b"
  validation { condition = B != "b" }
}
function "g" {
  params = []
  result = gone(1)
}
target "one" {
  args     = { X = A, Y = missing }
  tags     = [g()]
  inherits = ["one", "on"]
}
target "two" {
  tags = ["x", {}]
  args = { U = {}, V = [] }
  labels = { T = target.one.args.X }
}
group "default" { targets = ["one", "three"] }`;
  assert.deepEqual(places(text), [
    '1:26 unknown variable "nope"',
    '4:28 the value of the variable "B" is not valid',
    '8:12 unknown function "gone"',
    '11:27 unknown variable "missing"',
    "16:16 expected a string, found an object",
    "17:16 expected a string, found an object",
    "17:24 expected a string, found a tuple",
    '13:22 target "one" inherits from unknown target "on"',
    '20:37 group "default" has the unknown member "three"',
  ]);
});

test("what depends on something that failed is not told again", () => {
  const text = `variable "A" { default = nope }
variable "B" { default = A }
variable "C" {
  default = "c"
  validation { condition = C == B }
}
function "f" {
  params = []
  result = A
}
target "a" { args = { X = B, Y = f() } }
target "default" { args = target.a.args }`;
  assert.deepEqual(places(text), ['1:26 unknown variable "nope"']);
});

test("a name that cannot be made hides no other problem and makes no new one", () => {
  const text = `target "a" {
  matrix = { v = ["x", "y"] }
  args = { A = nope }
}
target "default" {
  tags = [target.a.tags[0]]
  args = { B = gone }
}`;
  assert.deepEqual(places(text), [
    '1:8 the matrix makes the target "a" more than once',
    '3:16 unknown variable "nope"',
    '7:16 unknown variable "gone"',
  ]);
});

test("several wrong items of a list or object are told each at its place", () => {
  assert.deepEqual(
    places('target "default" {\n  tags = ["a", [], {}]\n  args = {\n    A = 1\n    B = []\n  }\n}'),
    [
      "2:16 expected a string, found a tuple",
      "2:20 expected a string, found an object",
      "5:9 expected a string, found a tuple",
    ],
  );
  assert.deepEqual(places('variable "V" {\n  type = list(number)\n  default = [1, "x"]\n}'), [
    '3:17 expected a number, found "x"',
  ]);
});

test("all unknown parents and links of all requested targets are told", () => {
  const text = `target "a" { inherits = ["x", "y"] }
target "b" { contexts = { c = "target:z" } }
target "c" {
  contexts = {
    d = "target:bb"
  }
}`;
  assert.deepEqual(places(text, ["a", "b", "c"]), [
    '1:26 target "a" inherits from unknown target "x"',
    '1:31 target "a" inherits from unknown target "y"',
  ]);
  assert.deepEqual(places(text, ["b", "c"]), [
    '2:31 target "b" has the unknown target "z" as its context "c"',
    '5:9 target "c" has the unknown target "bb" as its context "d"',
  ]);
});
