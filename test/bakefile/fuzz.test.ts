// Whatever the text: parsing and evaluating end soon, fail only with diagnostics, and point inside the source.
// Method: mutations of a file that uses the whole language, and texts made of its pieces.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Diagnostic } from "../../src/diagnostic/diagnostic.ts";
import { timeLimit } from "../rig/timelimit.ts";
import { runBake } from "./fixture.ts";

const seed = `variable "TAG" {
  type = string
  default = "v\${1 + 2}"
  validation {
    condition = TAG != ""
    error_message = "no tag"
  }
}
function "name" {
  params = [a]
  variadic_params = rest
  result = join("-", concat([a], rest))
}
group "default" { targets = ["app", "m"] }
target "app" {
  inherits = ["_base"]
  args = { A = name("x", TAG), B = jsonencode(try(nosuch, [for i, v in range(3) : v * i if v > 0][*])) }
  dockerfile-inline = <<-EOT
    FROM a
    %{ for x in ["1", "2"] ~}
    RUN \${x}
    %{ endfor ~}
  EOT
  output = ["type=local,dest=out", { type = "docker" }]
  tags = [TAG == "v3" ? "a:\${TAG}" : "b", target._base.context]
}
target "_base" {
  contexts = { c = "target:m-1" }
  context = "."
}
target "m" {
  name = "m-\${n}"
  matrix = { n = [1, 2e0] }
}
`;
const json = JSON.stringify({
  variable: { A: { default: "x" } },
  target: { default: { args: { B: "${upper(A)}" }, tags: ["a\\u00e9${A}"] } },
});

function check(name: string, text: string): void {
  const { diagnostics } = runBake({ [name]: text }, { overrides: ["*.args.Z=1"] });
  for (const { range, related } of diagnostics) {
    for (const one of [
      range,
      ...(related ?? []).map((more: NonNullable<Diagnostic["related"]>[number]) => more.range),
    ]) {
      if (one === undefined) continue;
      assert.ok(
        one.start >= 0 && one.start <= one.end && one.end <= one.source.text.length,
        `${one.start}-${one.end}`,
      );
      assert.equal(one.source.text, text);
    }
  }
}

const pieces = [
  "{",
  "}",
  "[",
  "]",
  "(",
  ")",
  '"',
  "${",
  "%{",
  "~}",
  "<<E\n",
  "\nE\n",
  "$",
  "\\",
  "=",
  "?",
  ":",
  "*",
  ".",
  ",",
  "...",
  "for ",
  " in ",
  "target ",
  "x",
  "0",
  "1e",
  "\n",
  "#",
  "/*",
  "\u0000",
  "\ud800",
  "é",
  "👩‍👩‍👧",
];

function fuzz(name: string, original: string): void {
  const mutation = fc.array(
    fc.record({
      at: fc.nat(original.length),
      cut: fc.nat(12),
      put: fc.oneof(fc.constantFrom("", ...pieces), fc.string({ maxLength: 4 })),
    }),
    { minLength: 1, maxLength: 4 },
  );
  const isOver = timeLimit(1200);
  fc.assert(
    fc.property(mutation, changes => {
      if (isOver()) return;
      let text = original;
      for (const { at, cut, put } of changes) text = text.slice(0, at) + put + text.slice(at + cut);
      check(name, text);
    }),
    { numRuns: 1500 },
  );
}

test("the unchanged file is valid", () => {
  const { diagnostics } = runBake({ "bake.hcl": seed });
  assert.deepEqual(diagnostics, []);
});

test("mutations of an HCL file", () => fuzz("bake.hcl", seed));

test("mutations of a JSON file", () => fuzz("bake.json", json));

test("texts made of the pieces of the language", () => {
  const isOver = timeLimit(800);
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 40 }), parts => {
      if (isOver()) return;
      check("bake.hcl", parts.join(""));
      check("bake.hcl", `a = ${parts.join("")}\n`);
    }),
    { numRuns: 1000 },
  );
});

test("nesting and chains of any length end in an error, not in a crash", () => {
  const many = 50_000;
  for (const text of [
    `a = ${"(".repeat(many)}`,
    `a = ${"[".repeat(many)}1${"]".repeat(many)}`,
    `a = ${"-".repeat(many)}1`,
    `a = ${"!".repeat(many)}true`,
    `a = 1${"+1".repeat(many)}`,
    `a = b${".c".repeat(many)}`,
    `a = ${"{a=".repeat(many)}`,
    `a = ${'"${'.repeat(many)}`,
    `a = ${"true ? 1 : ".repeat(many)}1`,
    "a {\n".repeat(many),
    `a = "${"%{ if true }".repeat(many)}"`,
    Array.from({ length: 5000 }, (_, i) => `v${i} = v${i + 1}`).join("\n"),
  ]) {
    check("bake.hcl", text);
  }
  check("bake.json", `{"a":${"[".repeat(many)}`);
  check("bake.json", `{"a":${'{"a":'.repeat(many)}`);
});
