// The standard library, one line for each behaviour.
import assert from "node:assert/strict";
import { test } from "node:test";
import { evaluateText, problems } from "../fixture.ts";

const cases: Readonly<Record<string, unknown>> = {
  'split(",", "a,b")': ["a", "b"],
  'join("-", ["a", "b"], ["c"])': "a-b-c",
  'replace("1.2.3", ".", "-")': "1-2-3",
  'regex_replace("v1.2", "^v(\\\\d+)", "$1x")': ".2",
  'regex_replace("v1.2", "^v(\\\\d+)", "${"$"}{1}x")': "1x.2",
  'regex("(?P<y>\\\\d+)-(?P<m>\\\\d+)", "2024-05")': { y: "2024", m: "05" },
  'regexall("[ab]", "xaybz")': ["a", "b"],
  'sanitize("a/b:c")': "a_b_c",
  'title("hello world")': "Hello World",
  'substr("héllo", 1, 3)': "éll",
  'strlen("👩‍👩‍👧")': 1,
  'format("%s-%03d-%v-%q", "a", 7, [1], "x")': 'a-007-[1]-"x"',
  'formatlist("%s:%s", "img", ["1", "2"])': ["img:1", "img:2"],
  "length([1, 2])": 2,
  "keys({ b = 1, a = 2 })": ["a", "b"],
  "merge({ a = 1 }, { b = 2 }, null)": { a: 1, b: 2 },
  'concat(["a"], [1])': ["a", 1],
  'distinct(["a", "b", "a"])': ["a", "b"],
  "flatten([[1], [[2]], 3])": [1, 2, 3],
  "chunklist([1, 2, 3], 2)": [[1, 2], [3]],
  'element(["a", "b"], -1)': "b",
  "range(1, 10, 4)": [1, 5, 9],
  'setproduct(["a", "b"], ["1", "2"])': [
    ["a", "1"],
    ["a", "2"],
    ["b", "1"],
    ["b", "2"],
  ],
  'zipmap(["a", "b"], [1, 2])': { a: 1, b: 2 },
  'sha256("a")': "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
  'base64decode(base64encode("é"))': "é",
  'jsondecode("{\\"a\\": [1, 0.1]}")': { a: [1, 0.1] },
  'csvdecode("a,b\\n1,\\"x,y\\"\\n")': [{ a: "1", b: "x,y" }],
  'uuidv5("dns", "example.org")': "aad03681-8b63-5304-89e0-8ca8f49461b5",
  'formatdate("DD MMM YYYY hh:mm ZZZ", "2018-01-02T23:12:01Z")': "02 Jan 2018 23:12 UTC",
  'timeadd("2024-02-28T23:00:00Z", "1h30m")': "2024-02-29T00:30:00Z",
  'cidrsubnet("10.0.0.0/8", 8, 2)': "10.2.0.0/16",
  'cidrhost("fd00::/64", 10)': "fd00::a",
  'semvercmp("1.9.0", "^1.2 || >=3")': true,
  'parseint("ff", 16)': 255,
  "ceil(1.2) + floor(-1.2)": 0,
  'basename("/a/b.txt")': "b.txt",
  'dirname("/a/b.txt")': "/a",
};

for (const [expression, value] of Object.entries(cases)) {
  test(`${expression} is ${JSON.stringify(value)}`, () => assert.deepEqual(evaluateText(expression), value));
}

test("a wrong argument is pointed at, with what the function wants", () => {
  assert.match(
    problems('target "default" { args = { A = substr("abc", "x", 1) } }'),
    /bake\.hcl:1:47\n[^]*\^\^\^/,
  );
  assert.match(problems('target "default" { args = { A = split(",") } }'), /lacks its argument "str"/);
});

test("functions of the file see variables and their parameters", () => {
  const before =
    'variable "P" { default = "p" }\nfunction "tag" {\n  params = [name]\n  variadic_params = rest\n  result = ["${P}/${name}", length(rest)]\n}\n';
  assert.deepEqual(evaluateText('tag("a", 1, 2)', before), ["p/a", 2]);
});

test("a function that calls itself is refused", () => {
  assert.match(
    problems('function "f" {\n  params = [a]\n  result = f(a)\n}\ntarget "default" {}'),
    /"f" calls itself/,
  );
});
