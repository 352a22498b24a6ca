// Expressions give the values HCL defines, and failures point at the piece that is wrong.
import assert from "node:assert/strict";
import { test } from "node:test";
import { evaluateText, problems } from "../fixture.ts";

const cases: Readonly<Record<string, unknown>> = {
  "1 + 2 * 3": 7,
  "(1 + 2) * 3": 9,
  "10 % 4 - -1": 3,
  '"1" == 1': false,
  '"2" > 1': true,
  "true || nosuch": true,
  '!false && "true"': true,
  'true ? 1 : "b"': "1",
  "[1, 2, 3][1]": 2,
  "{ a = { b = [5] } }.a.b[0]": 5,
  "[{ a = 1 }, { a = 2 }][*].a": [1, 2],
  "[{ a = [1] }, { a = [2] }].*.a": [[1], [2]],
  "null[*]": [],
  '"x"[*]': ["x"],
  '[for i, v in ["a", "b"] : "${i}${v}"]': ["0a", "1b"],
  "[for v in [1, 2, 3] : v * 2 if v != 2]": [2, 6],
  "{for k, v in { a = 1, b = 2 } : upper(k) => v}": { A: 1, B: 2 },
  '{for v in ["ab", "ac", "b"] : substr(v, 0, 1) => v...}': { a: ["ab", "ac"], b: ["b"] },
  '"${"a"}-${1.50}-${true}"': "a-1.5-true",
  '"$${a} %%{b} $a"': "${a} %{b} $a",
  '"%{ if true }yes%{ else }no%{ endif }"': "yes",
  '"%{ for v in [1, 2] }<${v}>%{ endfor }"': "<1><2>",
  '"a ${~ "b" ~} c"': "abc",
  '"\\u00e9\\t\\"\\\\"': 'é\t"\\',
  '{ true = 1, "a b" = 2, (upper("c")) = 3 }': { true: 1, "a b": 2, C: 3 },
  "max([1, 5, 3]...)": 5,
  'try(nosuch, "fallback")': "fallback",
  "can(upper(null))": false,
  "convert([2, 1, 2], set(string))": ["1", "2"],
};

for (const [expression, value] of Object.entries(cases)) {
  test(`${expression} is ${JSON.stringify(value)}`, () => assert.deepEqual(evaluateText(expression), value));
}

test("a heredoc keeps its lines; the indented form drops the common indent", () => {
  assert.equal(evaluateText("<<A\n  x\n    y\nA\n"), "  x\n    y\n");
  assert.equal(evaluateText("<<-A\n  x\n    y\n  A\n"), "x\n  y\n");
});

test("a name that is nearly known is suggested, at its place", () => {
  assert.equal(
    problems('variable "REGISTRY" { default = "r" }\ntarget "default" { tags = ["a/${REGISTY}"] }\n'),
    `error: unknown variable "REGISTY"
  bake.hcl:2:34
   2 | target "default" { tags = ["a/\${REGISTY}"] }
     |                                  ^^^^^^^  did you mean "REGISTRY"?
`
      .replace("2:34", "2:33")
      .replaceAll("                                  ^", "                                 ^"),
  );
  assert.match(
    problems('target "default" { tags = [uper("x")] }'),
    /unknown function "uper"[^]*did you mean "upper"\?/,
  );
});

test("columns count characters as people see them", () => {
  assert.match(problems('target "default" { tags = ["👩‍👩‍👧é", nosuch] }'), /bake\.hcl:1:34/);
});

test("work without end is refused", () => {
  const loop = "[for a in range(1000) : [for b in range(1000) : [for c in range(1000) : 1]]]";
  assert.match(problems(`x = ${loop}\ntarget "default" {}`), /too much work|holds more than/);
  const doubling = Array.from({ length: 60 }, (_, i) => `v${i + 1} = "\${v${i}}\${v${i}}"`).join("\n");
  assert.match(problems(`v0 = "x"\n${doubling}\ntarget "default" {}`), /longer than|too much work/);
});
