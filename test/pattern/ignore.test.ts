// Goal: the rules of .dockerignore. Tables for single rules, laws for the incremental form, a size for speed.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { cleanPath, compileIgnore, compileInclude, type MatchState } from "../../src/pattern/ignore.ts";

const rows: readonly (readonly [readonly string[], string, boolean])[] = [
  [["**"], "file", true],
  [["**"], "dir/file", true],
  [["**/"], "dir/file", true],
  [["**/**"], "dir/file", true],
  [["dir/**"], "dir/file", true],
  [["dir/**"], "dir", false],
  [["dir/**"], "dir2/file", false],
  [["**/dir"], "a/b/dir", true],
  [["**/dir"], "dir/file", true],
  [["**/dir2/*"], "dir/dir2/file", true],
  [["**/dir2/*"], "dir/dir2/dir2/file", true],
  [["**file"], "dir/file", true],
  [["**file"], "xfile", true],
  [["**/*.txt"], "a/b/c.txt", true],
  [["*.txt"], "a/c.txt", false],
  [["a**/*.txt"], "a/dir/file.txt", true],
  [["a/*.txt"], "a/dir/file.txt", false],
  [["a[b-d]e"], "ace", true],
  [[".*"], ".foo", true],
  [[".*"], "foo", false],
  [["abc.def"], "abcdef", false],
  [["abc?def"], "abczdef", true],
  [["a\\*b"], "a*b", true],
  [["**/foo/bar"], "foo/bar", true],
  [["abc/**"], "abc/def/ghi", true],
  [["**/.foo"], "bar/.foo", true],
  [["docs", "!docs/README.md"], "docs/README.md", false],
  [["docs", "!docs/README.md"], "docs/other.md", true],
  [["docs", "!docs/README.md", "docs/README*"], "docs/README.md", true],
  [["!a", "*"], "a", true],
  [["*", "!a/b"], "a/b/c", false],
  [["*", "!a/b"], "a/c", true],
  [["/./a//b/"], "/a/b", true],
  [["node_modules"], "node_modules/x/y", true],
  [["node_modules"], "sub/node_modules", false],
  [[" spaced "], "spaced", true],
  [[], "anything", false],
];

test("patterns decide as in .dockerignore files", () => {
  for (const [patterns, path, expected] of rows) {
    assert.equal(compileIgnore(patterns).matches(path), expected, `${JSON.stringify(patterns)} on ${path}`);
  }
});

test("the deciding pattern is the last that applies, a re-including one too", () => {
  const list = compileIgnore(["docs", "!docs/keep", "*.log"]);
  assert.deepEqual(list.decidedBy("docs/a"), { pattern: "docs", index: 0 });
  assert.deepEqual(list.decidedBy("docs/keep/b"), { pattern: "!docs/keep", index: 1 });
  assert.equal(list.decidedBy("src/a"), undefined);
});

test("a walk enters an ignored directory only when something below may be re-included", () => {
  const list = compileIgnore(["*", "!src/*/keep", "!docs/**/x"]);
  for (const directory of ["", "src", "src/a", "docs", "docs/q/r", "src/a/keep/deeper"]) {
    assert.equal(list.mayReinclude(directory), true, directory);
  }
  for (const directory of ["out", "src/a/other", "srcs"])
    assert.equal(list.mayReinclude(directory), false, directory);
});

test("a walk enters a directory only when an include pattern may match there", () => {
  const list = compileInclude(["src/*.ts", "a/b/c"]);
  assert.deepEqual(["", "src", "src/x.ts", "a", "a/b", "b", "src/lib"].map(list.mayContain), [
    true,
    true,
    true,
    true,
    true,
    false,
    false,
  ]);
  assert.deepEqual(["src/x.ts", "src", "a/b/c/d", "a/b"].map(list.matches), [true, false, true, false]);
});

test("paths are cleaned as Go does", () => {
  const cases = ["", "a//b", "./a", "a/../b", "../a", "/../a", "/", "a/./b/", "a/..", "../../x/.."];
  assert.deepEqual(cases.map(cleanPath), [".", "a/b", "a", "b", "../a", "/a", "/", "a/b", ".", "../.."]);
});

const segment = fc.constantFrom("a", "b", "ab", "c");
const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map(parts => parts.join("/"));
const pattern = fc
  .tuple(
    fc.boolean(),
    fc.array(fc.constantFrom("a", "b", "*", "**", "a*", "?", "[ab]"), { minLength: 1, maxLength: 4 }),
  )
  .map(([negated, parts]) => (negated ? "!" : "") + parts.join("/"));

test("stepping down gives what asking for the whole path gives, and entering decisions lose nothing", () => {
  fc.assert(
    fc.property(fc.array(pattern, { maxLength: 4 }), path, (patterns, whole) => {
      const ignore = compileIgnore(patterns);
      const include = compileInclude(patterns);
      const parts = whole.split("/");
      const states: MatchState[] = [];
      for (let i = 1; i <= parts.length; i++)
        states.push(ignore.step(states.at(-1), parts.slice(0, i).join("/")));
      const matched = states.map(state => state.matched);
      assert.equal(matched.at(-1), ignore.matches(whole));
      const parent = parts.slice(0, -1).join("/");
      if (matched.at(-2) === true && matched.at(-1) === false) assert.ok(ignore.mayReinclude(parent));
      if (include.matches(whole)) assert.ok(include.mayContain(parent));
    }),
    { numRuns: 500 },
  );
});

test("50,000 files against 40 patterns take well under a second", () => {
  const list = compileIgnore([
    ...Array.from({ length: 38 }, (_, i) => `**/*.gen${i}`),
    "node_modules",
    "!**/keep",
  ]);
  // Of the processor: others may be busy too.
  const start = process.cpuUsage();
  let matched = 0;
  for (let directory = 0; directory < 500; directory++) {
    const parent = list.step(undefined, `d${directory}`);
    for (let file = 0; file < 100; file++)
      if (list.step(parent, `d${directory}/f${file}.gen${file}`).matched) matched++;
  }
  assert.equal(matched, 500 * 38);
  const { user, system } = process.cpuUsage(start);
  assert.ok(user + system < 3_000_000, `took ${user + system} µs`);
});
