// YAML as Compose reads it, and what no file may do: keep the reader busy, end its stack, or fail without a place.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isCompose, readCompose } from "../../../src/bakefile/compose/read.ts";
import { parseYaml } from "../../../src/bakefile/compose/yaml.ts";
import { BakeError } from "../../../src/diagnostic/error.ts";
import { composeProblems } from "./fixture.ts";

const failures: readonly (readonly [name: string, text: string, problem: RegExp])[] = [
  [
    "a list that does not end",
    "services:\n  a: [\n",
    /^compose\.yaml:\d:\d+ error: cannot read the YAML: expected "\]" before this$/,
  ],
  ["tabs", "services:\n\ta: 1\n", /^compose\.yaml:2:1 error: cannot read the YAML: tabs are not allowed/],
  [
    "a key twice",
    "services:\n  a: {build: .}\n  a: {build: .}\n",
    /^compose\.yaml:3:3 error: the key "a" is there twice$/,
  ],
  [
    "a key that is no string",
    "services: {a: {build: {args: {1: x}}}}",
    /^compose\.yaml:1:31 error: a key .* \(put it in quotes\)$/,
  ],
  [
    "an alias without an anchor",
    "services: *no",
    /^compose\.yaml:1:11 error: there is no anchor "&no" before its alias$/,
  ],
  [
    "an anchor in itself",
    "services: &s {a: *s}",
    /^compose\.yaml:1:18 error: the anchor "&s" contains itself$/,
  ],
  [
    "a merge of no mapping",
    "services: {<<: [x]}",
    /^compose\.yaml:1:12 error: only mappings can be merged with "<<"$/,
  ],
  [
    "a tag that does not fit",
    "services: {a: !!int x}",
    /^compose\.yaml:1:\d+ error: "x" does not fit the tag "!!int"$/,
  ],
];

for (const [name, text, problem] of failures) {
  test(`${name}: the problem is told where it is`, () => {
    const [found = "", ...more] = composeProblems(text);
    assert.match(found, problem);
    assert.deepEqual(more, []);
  });
}

for (const [name, text] of [
  ["flow lists", `services: ${"[".repeat(100_000)}`],
  ["flow mappings", `services: ${"{a: ".repeat(50_000)}`],
  ["mappings", Array.from({ length: 3000 }, (_, depth) => `${" ".repeat(depth)}a:`).join("\n")],
  ["lists on one line", "- ".repeat(50_000)],
  ["keys on one line", "? ".repeat(50_000)],
] as const) {
  test(`${name} in ${name} without end are refused`, () => {
    const [found = ""] = composeProblems(text);
    assert.match(found, /error: values nest deeper than 200 levels$/);
  });
}

test("aliases of aliases are not expanded without bound", () => {
  const rows = Array.from({ length: 30 }, (_, i) =>
    i === 0 ? "x0: &a0 [x]" : `x${i}: &a${i} [*a${i - 1}, *a${i - 1}]`,
  );
  const [found = ""] = composeProblems(`${rows.join("\n")}\nservices: {a: {build: .}}`);
  assert.match(found, /error: the file has more than 100000 values \(aliases of aliases grow fast\)$/);
});

test("a byte order mark, Windows line ends and several documents are fine", () => {
  const documents = parseYaml({ name: "c.yaml", text: "\ufeffa: 1\r\n---\r\nb: |\r\n  x\r\n" });
  assert.deepEqual(
    documents.map(
      node => node.kind === "map" && [...node.entries].map(([key, { value }]) => [key, value.kind]),
    ),
    [[["a", "int"]], [["b", "string"]]],
  );
});

const words = [
  "services",
  "build",
  "context",
  "args",
  "tags",
  "extends",
  "include",
  "secrets",
  "x-bake",
  "image",
];
const value: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown }>(tie => ({
  value: fc.oneof(
    { maxDepth: 6 },
    fc.constantFrom("${A", "$A", "", ".", "a=b", "service:a", "type=x", "~"),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...words, "a", "b.c"), tie("value"), { maxKeys: 4 }),
  ),
})).value;

const host = { readFile: () => undefined, env: {}, vars: new Map<string, string>() };

function expectDiagnostics(text: string): void {
  const source = { name: "compose.yaml", text };
  const { diagnostics } = readCompose([source], host);
  for (const { range } of diagnostics) {
    if (range === undefined) continue;
    assert.ok(range.start >= 0 && range.start <= range.end && range.start <= range.source.text.length);
  }
  isCompose(source, host);
}

test("any text gives definitions or problems with places in it", () => {
  const line = fc.stringMatching(
    /^ {0,6}(?:- )?(?:services|build|a|<<|&a|\*a|!reset|\$\{A\}|[[\]{},:|>"'#?-]|\t| ){0,6}$/,
  );
  fc.assert(
    fc.property(fc.array(line, { maxLength: 8 }), lines => expectDiagnostics(lines.join("\n"))),
    {
      numRuns: 400,
    },
  );
});

test("any values in any place give definitions or problems with places in them", () => {
  fc.assert(
    fc.property(value, value, (service, top) => {
      expectDiagnostics(JSON.stringify({ services: { a: service, b: { build: service } }, secrets: top }));
      expectDiagnostics(JSON.stringify(top));
    }),
    { numRuns: 300 },
  );
});

test("syntax errors are BakeErrors", () => {
  assert.throws(() => parseYaml({ name: "c.yaml", text: "a: [" }), BakeError);
});
