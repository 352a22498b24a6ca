// Environment files in the form that Docker Compose reads.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDotenv } from "../../../src/bakefile/compose/dotenv.ts";
import { renderDiagnostics } from "../../../src/diagnostic/render.ts";
import { BakeError } from "../../../src/diagnostic/error.ts";

function parse(text: string, outer: Readonly<Record<string, string>> = {}): Record<string, string> {
  return Object.fromEntries(parseDotenv({ name: ".env", text }, name => outer[name]));
}

test("names, values, comments, quotes and exports", () => {
  const text = [
    "# comment",
    "A=1",
    "B = two words # comment",
    "C=no#comment",
    'D="quoted # not a comment" # comment',
    "E='raw $A \\n'",
    'F="a\\tb\\nc \\"q\\" \\x"',
    "export G=7",
    "H:yaml",
    "I=",
    'J="over',
    'two lines"',
    "K.l-m[0]=odd",
    "L=trail   ",
  ].join("\n");
  assert.deepEqual(parse(text), {
    A: "1",
    B: "two words",
    C: "no#comment",
    D: "quoted # not a comment",
    E: "raw $A \\n",
    F: 'a\tb\nc "q" \\x',
    G: "7",
    H: "yaml",
    I: "",
    J: "over\ntwo lines",
    "K.l-m[0]": "odd",
    L: "trail",
  });
});

test("variables come from outside first, then from above in the file", () => {
  const text = 'A=own\nB=$A/${OUT}\nC="${NONE:-d}"\nD=\'$A\'\nE="\\$A"\nF=$$A\n';
  assert.deepEqual(parse(text, { OUT: "out", A: "outer" }), {
    A: "own",
    B: "outer/out",
    C: "d",
    D: "$A",
    E: "$A",
    F: "$A",
  });
});

test("a name alone takes its value from outside", () => {
  assert.deepEqual(parse("A\nB\n", { A: "1" }), { A: "1" });
});

test("a byte order mark and Windows line ends are no part of the values", () => {
  assert.deepEqual(parse("\ufeffA=1\r\nB=2\r\n"), { A: "1", B: "2" });
});

for (const [text, rendered] of [
  ["A=1\nB C=2\n", 'error: the name "B C" has a space in it\n  .env:2:1\n'],
  ["A!=1\n", 'error: the name of a variable cannot have "!"\n  .env:1:2\n'],
  ["A='x\nB=1\n", 'error: the value of "A" has no closing quote\n  .env:1:3\n'],
  ["A=${B:?gone}\n", 'error: the variable "B" must have a value: gone\n  .env:1:3\n'],
] as const) {
  test(`a malformed file points at its line: ${JSON.stringify(text)}`, () => {
    assert.throws(
      () => parse(text),
      (thrown: unknown) => {
        assert.ok(thrown instanceof BakeError);
        assert.ok(renderDiagnostics(thrown.diagnostics).startsWith(rendered));
        return true;
      },
    );
  });
}
